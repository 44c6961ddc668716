package providers

import (
	"bytes"

	"github.com/tidwall/gjson"

	"pollux/normalize"
)

// MatchPoll reports whether a native request is exactly a status poll of the
// provider, and fills v if so. The path is relative to the upstream's base
// URL, with or without its first slash, and the query is without identity
// parameters. Whatever leaves a doubt is no match, and so a request of its
// own: a parameter that the file does not list or that comes twice, a plus
// that may mean a blank, a value that cannot be one. It allocates nothing when
// it matches.
func (p *Parser) MatchPoll(v *View, method, escapedPath, query []byte) bool {
	v.reset(len(p.fixed), len(escapedPath)+len(query))
	r := &p.provider.Poll.Request
	return string(method) == r.Method && p.matchPath(v, r, escapedPath) &&
		p.matchQuery(v, r, query) && p.complete(v) == nil
}

// matchPath matches a path against a template and sets the parameters in it.
func (p *Parser) matchPath(v *View, r *Request, path []byte) bool {
	path = bytes.TrimPrefix(path, []byte("/"))
	for i, s := range r.path {
		raw, rest, more := bytes.Cut(path, []byte("/"))
		if more != (i < len(r.path)-1) || !p.matchSegment(v, s, raw) {
			return false
		}
		path = rest
	}
	return true
}

func (p *Parser) matchSegment(v *View, s segment, raw []byte) bool {
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
	return s.param == wildcard && len(value) > 0 || s.param >= 0 && p.decode(v, s.param, value, false) == nil
}

// matchQuery sets the parameters in a query that may hold the declared ones
// and must hold the template's.
func (p *Parser) matchQuery(v *View, r *Request, query []byte) bool {
	literals := 0
	for rest := query; len(rest) > 0; {
		var pair []byte
		pair, rest, _ = bytes.Cut(rest, []byte("&"))
		name, value, _ := bytes.Cut(pair, []byte("="))
		if i := p.provider.queryParam(name); i >= 0 {
			if bytes.IndexByte(value, '+') >= 0 || p.decode(v, i, value, false) != nil {
				return false
			}
			continue
		}
		if !r.hasLiteral(name, value) {
			return false
		}
		literals++
	}
	return literals == r.literals()
}

func (r *Request) hasLiteral(name, value []byte) bool {
	for _, q := range r.query {
		if q.param == literal && string(name) == q.name && string(value) == q.value {
			return true
		}
	}
	return false
}

func (r *Request) literals() int {
	n := 0
	for _, q := range r.query {
		if q.param == literal {
			n++
		}
	}
	return n
}

// Create returns the declared request that makes a task and has this method
// and path (relative to the upstream's base URL), nil if there is none.
func (p *Parser) Create(method, escapedPath []byte) *Create {
	var v View
	for i := range p.provider.Creates {
		c := &p.provider.Creates[i]
		v.reset(len(p.fixed), len(escapedPath))
		if string(method) == c.Request.Method && p.matchPath(&v, &c.Request, escapedPath) {
			return c
		}
	}
	return nil
}

// Created returns the reference of the task that the answer to a create names.
// Its other parameters are those of the request's path, query and, where the
// file says so, body. It is false if the answer names none, or if a poll would
// need a parameter that the request did not tell.
func (p *Parser) Created(c *Create, escapedPath, query, request, answer []byte) (Reference, bool) {
	return p.created(c, escapedPath, query, request, firstText(answer, c.ID))
}

// Affected returns the reference of the stored task that a forwarded request
// may change: one that cancels it, continues it, or is listed under touch. It
// is false for every other request.
func (p *Parser) Affected(method, escapedPath, query, body []byte) (Reference, bool) {
	if c := p.Create(method, escapedPath); c != nil {
		if c.Continues == "" {
			return Reference{}, false
		}
		return p.created(c, escapedPath, query, body, firstText(body, []string{c.Continues}))
	}
	if a := p.provider.Cancel; a != nil {
		if r, ok := p.acts(&a.Request, a.Body, method, escapedPath, query, body); ok {
			return r, true
		}
	}
	for i := range p.provider.touch {
		if r, ok := p.acts(&p.provider.touch[i], nil, method, escapedPath, query, body); ok {
			return r, true
		}
	}
	return Reference{}, false
}

func (p *Parser) created(c *Create, escapedPath, query, request []byte, id string) (Reference, bool) {
	var v View
	v.reset(len(p.fixed), len(escapedPath)+len(query))
	if id == "" || !p.matchPath(&v, &c.Request, escapedPath) || !p.scope(&v, query) {
		return Reference{}, false
	}
	last := p.task[len(p.task)-1]
	if p.set(&v, last, []byte(id)) != nil {
		return Reference{}, false
	}
	if normalize.CheckBody(request) == nil {
		for i, path := range c.params {
			if value, ok := textAt(request, path); ok && v.values[i] == nil && value != "" && p.set(&v, i, []byte(value)) != nil {
				return Reference{}, false
			}
		}
	}
	if p.complete(&v) != nil {
		return Reference{}, false
	}
	return v.Reference(), true
}

// acts matches a request about one task: its parameters are in the path, the
// query, and the members of the body that fields names as {param}.
func (p *Parser) acts(r *Request, fields map[string]string, method, escapedPath, query, body []byte) (Reference, bool) {
	var v View
	v.reset(len(p.fixed), len(escapedPath)+len(query))
	if string(method) != r.Method || !p.matchPath(&v, r, escapedPath) || !p.scope(&v, query) {
		return Reference{}, false
	}
	if len(fields) > 0 && normalize.CheckBody(body) == nil {
		for member, value := range fields {
			name, ok := placeholder(value)
			if !ok {
				continue
			}
			i, _ := p.provider.param(name)
			text, ok := textAt(body, gjson.Escape(member))
			if ok && text != "" && v.values[i] == nil && p.set(&v, i, []byte(text)) != nil {
				return Reference{}, false
			}
		}
	}
	if p.complete(&v) != nil {
		return Reference{}, false
	}
	return v.Reference(), true
}

// scope sets the declared parameters in the query of a request that is
// forwarded as it is, and leaves the others alone.
func (p *Parser) scope(v *View, query []byte) bool {
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte("&"))
		name, value, _ := bytes.Cut(pair, []byte("="))
		if i := p.provider.queryParam(name); i >= 0 && p.decode(v, i, value, false) != nil {
			return false
		}
	}
	return true
}
