package providers

import (
	"bytes"
	"net/http"

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
	poll := &p.provider.Poll
	return poll.Body == nil && string(method) == poll.Request.Method && p.matchPath(v, &poll.Request, escapedPath) &&
		p.matchQuery(v, &poll.Request, query) && p.complete(v) == nil
}

// MayPoll reports whether a request with this method and path may be a status
// poll whose body has to be looked at, with MatchPollBody.
func (p *Parser) MayPoll(method, escapedPath []byte) bool {
	var v View
	poll := &p.provider.Poll
	v.reset(len(p.fixed), len(escapedPath))
	return poll.Body != nil && string(method) == poll.Request.Method && p.matchPath(&v, &poll.Request, escapedPath)
}

// MatchPollBody is MatchPoll for a poll that has a body: the parsed body must
// be the file's, with values in place of its parameters, and nothing more.
func (p *Parser) MatchPollBody(v *View, method, escapedPath, query, body []byte) bool {
	v.reset(len(p.fixed), len(escapedPath)+len(query)+len(body))
	poll := &p.provider.Poll
	return poll.Body != nil && string(method) == poll.Request.Method && p.matchPath(v, &poll.Request, escapedPath) &&
		p.matchQuery(v, &poll.Request, query) && p.matchBody(v, poll.Body, body) && p.complete(v) == nil
}

// matchPath matches a path against a template and sets the parameters in it.
func (p *Parser) matchPath(v *View, r *Request, path []byte) bool {
	path = bytes.TrimPrefix(path, []byte("/"))
	for i, s := range r.path {
		after := len(r.path) - 1 - i
		raw, rest, more := bytes.Cut(path, []byte("/"))
		if s.slashes {
			raw, rest, more = cutBefore(path, after)
		}
		if more != (after > 0) || !p.matchSegment(v, s, raw) {
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
	if s.slashes && (bytes.Contains(value, []byte("%2F")) || bytes.Contains(value, []byte("%2f"))) {
		return false // upstream this need not be the same as a slash
	}
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
// file says so, body, or stand beside the id. It is false if the answer names none, or if a poll would
// need a parameter that the request did not tell.
// h and answer are the answer's header and body.
func (p *Parser) Created(c *Create, escapedPath, query, request []byte, h http.Header, answer []byte) (Reference, bool) {
	source, groups := firstFound(c.ids, h, answer)
	if source == nil {
		return Reference{}, false
	}
	return p.created(c, escapedPath, query, request, groups[source.group], func(v *View) bool {
		for _, n := range source.others {
			if v.values[n.param] == nil && p.set(v, n.param, []byte(groups[n.group])) != nil {
				return false
			}
		}
		return true
	})
}

// Affected returns the reference of the stored task that a forwarded request
// may change: one that cancels it, continues it, or is listed under touch. It
// is false for every other request.
func (p *Parser) Affected(method, escapedPath, query, body []byte) (Reference, bool) {
	if c := p.Create(method, escapedPath); c != nil {
		if c.Continues == "" || normalize.CheckBody(body) != nil {
			return Reference{}, false
		}
		id, ok := nameAt(body, c.Continues)
		if !ok {
			return Reference{}, false
		}
		return p.created(c, escapedPath, query, body, id, nil)
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

// created is the reference of the task id that a request names. more sets what
// the answer tells beside; nil: nothing.
func (p *Parser) created(c *Create, escapedPath, query, request []byte, id string, more func(*View) bool) (Reference, bool) {
	var v View
	v.reset(len(p.fixed), len(escapedPath)+len(query))
	if id == "" || !p.matchPath(&v, &c.Request, escapedPath) || !p.scope(&v, query) {
		return Reference{}, false
	}
	last := p.task[len(p.task)-1]
	if p.set(&v, last, []byte(id)) != nil {
		return Reference{}, false
	}
	if more != nil && !more(&v) {
		return Reference{}, false
	}
	if normalize.CheckBody(request) == nil {
		for i, path := range c.params {
			if value, ok := nameAt(request, path); value != "" && v.values[i] == nil && (!ok || p.set(&v, i, []byte(value)) != nil) {
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
func (p *Parser) acts(r *Request, fields Body, method, escapedPath, query, body []byte) (Reference, bool) {
	var v View
	v.reset(len(p.fixed), len(escapedPath)+len(query))
	if string(method) != r.Method || !p.matchPath(&v, r, escapedPath) || !p.scope(&v, query) {
		return Reference{}, false
	}
	if len(fields) > 0 && normalize.CheckBody(body) == nil {
		for _, m := range fields {
			if m.param < 0 {
				continue
			}
			text, ok := nameAt(body, gjson.Escape(m.Name))
			if text != "" && v.values[m.param] == nil && (!ok || p.set(&v, m.param, []byte(text)) != nil) {
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
