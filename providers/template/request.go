// Package template is the requests of a provider file as it has them, such as
// "GET /v1/jobs/{id}": which of its parameters stand where, what a request is
// with their values, and which values a request has.
package template

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
)

// Request is a request template of a provider file, such as
// "GET /v2/agents/{agent_key}/responses/{task_id}?view=full", its path relative
// to the upstream's base URL. It is immutable.
type Request struct {
	Method string
	text   string
	path   []segment
	query  []pair
}

// A segment is literal, or holds one parameter between two literals.
type segment struct {
	prefix, suffix string
	param          int  // index of a parameter, or one of the two below
	slashes        bool // the parameter's value may hold slashes, so it is more than one segment
}

const (
	literal  = -1
	wildcard = -2 // a placeholder of a create that is no parameter: fits any value
)

// pair is a query parameter of the template.
type pair struct {
	name  string
	value string // when param is literal
	param int
}

// String returns the template as the file has it.
func (r Request) String() string { return r.text }

// Path is its path as the file has it, with parameters in braces.
func (r Request) Path() string {
	_, path, _ := strings.Cut(r.text, " ")
	path, _, _ = strings.Cut(path, "?")
	return path
}

// Parse reads a template. A name that is no parameter is a fault unless wild is
// set. The faults say what is wrong with the template, in lower case.
func Parse(text string, params Params, wild bool) (Request, []string) {
	t := parser{params: params, wild: wild}
	method, target, ok := strings.Cut(text, " ")
	if !ok || !isMethod(method) || !strings.HasPrefix(target, "/") {
		return Request{}, []string{"want a method and a path, such as GET /v1/jobs/{id}"}
	}
	path, query, hasQuery := strings.Cut(target[1:], "?")
	r := Request{Method: method, text: text, path: t.segments(path)}
	if hasQuery {
		r.query = t.pairs(query)
	}
	return r, t.faults
}

func isMethod(s string) bool {
	switch s {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return true
	}
	return false
}

// parser collects what is wrong with one template.
type parser struct {
	params Params
	wild   bool
	faults []string
}

func (p *parser) fault(message string) { p.faults = append(p.faults, message) }

func (p *parser) segments(path string) []segment {
	raw := strings.Split(path, "/")
	all := make([]segment, len(raw))
	for i, s := range raw {
		all[i] = p.segment(s)
		if s == "" && i < len(raw)-1 {
			p.fault("the path has an empty segment")
		}
	}
	return all
}

func (p *parser) segment(s string) segment {
	prefix, rest, found := strings.Cut(s, "{")
	name, suffix, closed := strings.Cut(rest, "}")
	switch {
	case found && (!closed || strings.ContainsAny(suffix, "{}")) || !found && strings.Contains(s, "}"):
		p.fault("a path segment may hold one {param}")
	case !isLiteral(prefix) || !isLiteral(suffix) || s == "." || s == "..":
		p.fault("the path holds a character or dot segment that must not stand in one")
	case found:
		i := p.param(name)
		return segment{prefix: prefix, suffix: suffix, param: i, slashes: i >= 0 && p.params[i].Slashes}
	}
	return segment{prefix: s, param: literal}
}

func (p *parser) pairs(query string) []pair {
	var all []pair
	for _, s := range strings.Split(query, "&") {
		name, value, ok := strings.Cut(s, "=")
		one := pair{name: name, value: value, param: literal}
		inner, braced := strings.CutPrefix(value, "{")
		switch {
		case !ok || name == "" || !isLiteral(name):
			p.fault("the query wants name=value, joined by &")
		case braced && strings.HasSuffix(inner, "}"):
			one.param, one.value = p.param(strings.TrimSuffix(inner, "}")), ""
		case !isLiteral(value) || value == "":
			p.fault("a value in the query is {param} or plain text")
		}
		all = append(all, one)
	}
	return all
}

func (p *parser) param(name string) int {
	i, ok := p.params.Index(name)
	switch {
	case ok:
		return i
	case p.wild && IsName(name):
		return wildcard
	}
	p.fault("{" + name + "} is no parameter of this file")
	return literal
}

// isLiteral reports whether s can stand in a path or query as it is.
func isLiteral(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isUnreserved(c) && !strings.ContainsRune("!$'()*+,;:@%", rune(c)) {
			return false
		}
	}
	decoded, fault := Unescape(nil, []byte(s), false)
	return fault == "" && (len(decoded) == 0 || valueFault(decoded, LongestMax) == "" || len(decoded) > LongestMax)
}

// HasQuery reports whether the template has a query.
func (r *Request) HasQuery() bool { return len(r.query) > 0 }

// Count is how often the template holds a parameter.
func (r *Request) Count(param int) int {
	inPath, inQuery := r.count(param)
	return inPath + inQuery
}

func (r *Request) count(param int) (inPath, inQuery int) {
	for _, s := range r.path {
		if s.param == param {
			inPath++
		}
	}
	for _, q := range r.query {
		if q.param == param {
			inQuery++
		}
	}
	return inPath, inQuery
}

// Misplaced says where a poll with this body does not agree with what params
// says of places. Its query may not fix a parameter, nor one of reserved.
func (r *Request) Misplaced(params Params, body Body, reserved []string) (faults []string) {
	fault := func(before, param, after string) { faults = append(faults, before+" {"+param+"} "+after) }
	for i := range params {
		param := &params[i]
		inPath, inQuery := r.count(i)
		inBody := body.Count(i)
		switch {
		case param.In == "body" && (inPath > 0 || inQuery > 0 || inBody != 1):
			fault("wants", param.Name, "once in poll.body, where params says it is")
		case param.In != "body" && inBody > 0:
			fault("has", param.Name, "in poll.body, so params wants it in: body")
		case param.In == "path" && (inPath != 1 || inQuery > 0):
			fault("wants", param.Name, "once in its path, where params says it is")
		case param.In == "query" && (inPath > 0 || inQuery > 1):
			fault("has", param.Name, "elsewhere than once in its query, where params says it is")
		}
	}
	for _, q := range r.query {
		if q.param >= 0 && params[q.param].Name != q.name {
			fault("wants", params[q.param].Name, "under its own name")
		}
		if _, known := params.Index(q.name); q.param == literal && known || slices.Contains(reserved, q.name) {
			faults = append(faults, "gives a parameter of this file a fixed value")
		}
	}
	return faults
}

// AppendPath appends the escaped path with those values, from its first slash.
func (r *Request) AppendPath(dst []byte, values []string) []byte {
	for _, s := range r.path {
		dst = append(dst, '/')
		dst = append(dst, s.prefix...)
		switch {
		case s.param < 0:
			continue
		case s.slashes:
			dst = appendSlashedValue(dst, values[s.param])
		default:
			dst = AppendPathValue(dst, values[s.param])
		}
		dst = append(dst, s.suffix...)
	}
	return dst
}

// AppendQuery appends the template's query with those values, then every other
// query parameter that has one, in the order of the file, but for those that
// the request's body has.
func (r *Request) AppendQuery(dst []byte, params Params, values []string, body Body) []byte {
	name := func(name string) {
		if len(dst) > 0 {
			dst = append(dst, '&')
		}
		dst = append(append(dst, name...), '=')
	}
	for _, q := range r.query {
		switch {
		case q.param == literal:
			name(q.name)
			dst = append(dst, q.value...)
		case values[q.param] != "":
			name(q.name)
			dst = AppendQueryValue(dst, values[q.param])
		}
	}
	for i := range params {
		if params[i].In == "query" && values[i] != "" && r.Count(i) == 0 && body.Count(i) == 0 {
			name(params[i].Name)
			dst = AppendQueryValue(dst, values[i])
		}
	}
	return dst
}

// MatchPath reports whether an escaped path, with or without its first slash,
// is the template's. set is given what it has for each parameter, still
// escaped, and says whether that can be its value.
func (r *Request) MatchPath(path []byte, set func(param int, escaped []byte) bool) bool {
	path = bytes.TrimPrefix(path, []byte("/"))
	for i, s := range r.path {
		after := len(r.path) - 1 - i
		raw, rest, more := bytes.Cut(path, []byte("/"))
		if s.slashes {
			raw, rest, more = cutBefore(path, after)
		}
		if more != (after > 0) || !s.match(raw, set) {
			return false
		}
		path = rest
	}
	return true
}

// cutBefore cuts path before its last n segments.
func cutBefore(path []byte, n int) (before, last []byte, found bool) {
	end := len(path)
	for range n {
		if end = bytes.LastIndexByte(path[:end], '/'); end < 0 {
			return nil, nil, false
		}
	}
	if n == 0 {
		return path, nil, false
	}
	return path[:end], path[end+1:], true
}

func (s *segment) match(raw []byte, set func(param int, escaped []byte) bool) bool {
	if s.param == literal {
		return string(raw) == s.prefix
	}
	if len(raw) < len(s.prefix)+len(s.suffix) {
		return false
	}
	end := len(raw) - len(s.suffix)
	if string(raw[:len(s.prefix)]) != s.prefix || string(raw[end:]) != s.suffix {
		return false
	}
	value := raw[len(s.prefix):end]
	if s.slashes && (bytes.Contains(value, []byte("%2F")) || bytes.Contains(value, []byte("%2f"))) {
		return false // upstream this need not be the same as a slash
	}
	return s.param == wildcard && len(value) > 0 || s.param >= 0 && set(s.param, value)
}

// MatchQuery is MatchPath for a query, which may hold every parameter whose
// place is one, and must hold what is fixed in the template's. A plus may mean
// a blank, so it matches nothing.
func (r *Request) MatchQuery(query []byte, params Params, set func(param int, escaped []byte) bool) bool {
	literals := 0
	for rest := query; len(rest) > 0; {
		var pair []byte
		pair, rest, _ = bytes.Cut(rest, []byte("&"))
		name, value, _ := bytes.Cut(pair, []byte("="))
		if i := params.Query(name); i >= 0 {
			if bytes.IndexByte(value, '+') >= 0 || !set(i, value) {
				return false
			}
			continue
		}
		if !r.hasLiteral(name, value) {
			return false
		}
		literals++
	}
	for _, q := range r.query {
		if q.param == literal {
			literals--
		}
	}
	return literals == 0
}

func (r *Request) hasLiteral(name, value []byte) bool {
	for _, q := range r.query {
		if q.param == literal && string(name) == q.name && string(value) == q.value {
			return true
		}
	}
	return false
}
