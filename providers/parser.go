package providers

import (
	"bytes"
	"slices"
	"strings"

	"pollux/providers/strictyaml"
	"pollux/providers/template"
)

// Parser reads which task of one upstream is meant. It is immutable and safe
// for concurrent use.
type Parser struct {
	provider *Provider
	fixed    [][]byte // by parameter, what the upstream's config fixes; nil: nothing
	task     []int    // the parameters in the reference's path, in order
	free     []int    // those of task that are not fixed
	oneOf    [][]int  // Provider.OneOf by index
}

// ReferenceError says what is wrong with a reference. It never holds a value.
type ReferenceError struct {
	Name   string // of the parameter; "path" or "query" when none is concerned
	Reason string // as in "is sent twice"
}

func (e *ReferenceError) Error() string { return e.Name + " " + e.Reason }

// NewParser returns the parser for an upstream whose config fixes the values
// of some parameters. Its error is strictyaml.Faults, one for each name that
// is no parameter and each value that cannot be one, with Key set to the name.
func NewParser(p *Provider, fixed map[string]string) (*Parser, error) {
	parser := &Parser{provider: p, fixed: make([][]byte, len(p.Params))}
	var faults strictyaml.Faults
	for name, value := range fixed {
		i, known := p.Params.Index(name)
		if !known {
			faults.Add(name, "is no parameter of provider %s", p.Name)
			continue
		}
		if reason := p.Params[i].Fault([]byte(value)); reason != "" {
			faults.Add(name, "%s", reason)
		}
		parser.fixed[i] = []byte(value)
	}
	if len(faults) > 0 {
		slices.SortFunc(faults, func(a, b strictyaml.Fault) int { return strings.Compare(a.Key, b.Key) })
		return nil, faults
	}
	for i, param := range p.Params {
		if !param.Task {
			continue
		}
		parser.task = append(parser.task, i)
		if parser.fixed[i] == nil {
			parser.free = append(parser.free, i)
		}
	}
	for _, group := range p.OneOf {
		indices := make([]int, len(group))
		for i, name := range group {
			indices[i], _ = p.Params.Index(name)
		}
		parser.oneOf = append(parser.oneOf, indices)
	}
	return parser, nil
}

// ParseURL reads a reference from the path after /v1/tasks/{upstream}/, as the
// client escaped it, and the query without Pollux's own and the identity
// parameters. Values are decoded once and nothing is folded: a plus in the
// query is a plus, and what cannot be a value is an error, a *ReferenceError.
// A v that has grown to its size is filled without allocating; it is valid
// until the next use and holds no part of escapedPath and query.
func (p *Parser) ParseURL(v *View, escapedPath, query []byte) error {
	return p.parse(v, escapedPath, query, false)
}

// ParseString reads a reference from its string form, such as
// "my-agent/01K6?user_id=u": like the URL, but blanks and characters beyond
// ASCII may also stand for themselves. The error is a *ReferenceError.
func (p *Parser) ParseString(s string) (Reference, error) {
	path, query, _ := strings.Cut(s, "?")
	var v View
	if err := p.parse(&v, []byte(path), []byte(query), true); err != nil {
		return Reference{}, err
	}
	return v.Reference(), nil
}

// FromValues makes a reference of the decoded values of the parameters in its
// path, in order, and the others by name. The error is a *ReferenceError.
func (p *Parser) FromValues(id []string, params map[string]string) (Reference, error) {
	var v View
	v.reset(len(p.fixed), 0)
	names := p.pathParams(len(id))
	if names == nil && len(id) > 0 {
		return Reference{}, p.wrongPath()
	}
	for i, value := range id {
		if err := p.set(&v, names[i], []byte(value)); err != nil {
			return Reference{}, err
		}
	}
	known := 0
	for i := range p.provider.Params {
		param := &p.provider.Params[i]
		value, sent := params[param.Name]
		if !sent || param.Task && v.values[i] != nil {
			continue
		}
		known++
		if err := p.set(&v, i, []byte(value)); err != nil {
			return Reference{}, err
		}
	}
	if known < len(params) {
		return Reference{}, &ReferenceError{"params", "holds a parameter that the provider does not have, or one that is in id"}
	}
	if err := p.complete(&v); err != nil {
		return Reference{}, err
	}
	return v.Reference(), nil
}

func (p *Parser) parse(v *View, path, query []byte, raw bool) error {
	v.reset(len(p.fixed), len(path)+len(query))
	if err := p.parsePath(v, path, raw); err != nil {
		return err
	}
	if err := p.parseQuery(v, query, raw); err != nil {
		return err
	}
	if err := p.complete(v); err != nil {
		return err
	}
	return nil
}

func (p *Parser) parsePath(v *View, path []byte, raw bool) *ReferenceError {
	count := 0
	if len(path) > 0 {
		count = bytes.Count(path, []byte("/")) + 1
	}
	params := p.pathParams(count)
	if params == nil && count > 0 || count == 0 && len(p.free) > 0 {
		return p.wrongPath()
	}
	for _, i := range params {
		segment, rest, _ := bytes.Cut(path, []byte("/"))
		path = rest
		if err := p.decode(v, i, segment, raw); err != nil {
			return err
		}
	}
	return nil
}

// pathParams are the parameters that a path of n values holds: all of the
// task's, or those that are not fixed; nil if neither.
func (p *Parser) pathParams(n int) []int {
	switch n {
	case len(p.task):
		return p.task
	case len(p.free):
		return p.free
	}
	return nil
}

func (p *Parser) wrongPath() *ReferenceError {
	names := make([]string, len(p.task))
	for i, param := range p.task {
		names[i] = "{" + p.provider.Params[param].Name + "}"
	}
	return &ReferenceError{"path", "wants " + strings.Join(names, "/")}
}

func (p *Parser) parseQuery(v *View, query []byte, raw bool) *ReferenceError {
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte("&"))
		name, value, _ := bytes.Cut(pair, []byte("="))
		i := p.provider.scopeParam(name)
		if i < 0 {
			return &ReferenceError{"query", "holds a parameter that the provider does not have"}
		}
		if err := p.decode(v, i, value, raw); err != nil {
			return err
		}
	}
	return nil
}

// scopeParam returns the index of a parameter that a reference has in its
// query, -1 if there is none of that name.
func (p *Provider) scopeParam(name []byte) int {
	for i := range p.Params {
		if !p.Params[i].Task && string(name) == p.Params[i].Name {
			return i
		}
	}
	return -1
}

// decode sets parameter i from its escaped value.
func (p *Parser) decode(v *View, i int, escaped []byte, raw bool) *ReferenceError {
	start := len(v.buf)
	buf, reason := template.Unescape(v.buf, escaped, raw)
	v.buf = buf
	if reason != "" {
		return &ReferenceError{p.provider.Params[i].Name, reason}
	}
	return p.set(v, i, v.buf[start:len(v.buf):len(v.buf)])
}

// set sets parameter i to its decoded value, which v keeps.
func (p *Parser) set(v *View, i int, value []byte) *ReferenceError {
	param := &p.provider.Params[i]
	reason := ""
	switch {
	case v.values[i] != nil:
		reason = "is sent twice"
	case p.fixed[i] != nil && !bytes.Equal(p.fixed[i], value):
		reason = "differs from the value that the upstream's config fixes"
	default:
		reason = param.Fault(value)
	}
	if reason != "" {
		return &ReferenceError{param.Name, reason}
	}
	v.values[i] = value
	return nil
}

// complete leaves out what means nothing, fills in what is fixed and checks that
// nothing is missing.
func (p *Parser) complete(v *View) *ReferenceError {
	for i := range v.values {
		param := &p.provider.Params[i]
		if param.Default != "" && string(v.values[i]) == param.Default {
			v.values[i] = nil
		}
		if v.values[i] == nil {
			v.values[i] = p.fixed[i]
		}
		if v.values[i] == nil && !param.Optional {
			return &ReferenceError{param.Name, "is missing"}
		}
	}
	for i, group := range p.oneOf {
		if !v.hasAny(group) {
			return &ReferenceError{"query", "wants one of " + strings.Join(p.provider.OneOf[i], ", ")}
		}
	}
	return nil
}

// Format returns the canonical string form of r, as after "{upstream}/" in a
// URL: ParseURL and ParseString read it back.
func (p *Parser) Format(r Reference) string {
	var b []byte
	for _, i := range p.task {
		if len(b) > 0 {
			b = append(b, '/')
		}
		b = template.AppendPathValue(b, r.Values[i])
	}
	separator := byte('?')
	for i, param := range p.provider.Params {
		if param.Task || r.Values[i] == "" {
			continue
		}
		b = append(b, separator)
		b = append(b, param.Name...)
		b = append(b, '=')
		b = template.AppendQueryValue(b, r.Values[i])
		separator = '&'
	}
	return string(b)
}

// TaskID returns the task's own id in r: the last value of its path.
func (p *Parser) TaskID(r Reference) string { return p.provider.taskID(r) }

func (p *Provider) taskID(r Reference) string {
	if i := p.Params.Task(); i >= 0 && i < len(r.Values) {
		return r.Values[i]
	}
	return ""
}
