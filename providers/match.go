package providers

import (
	"bytes"
	"net/http"

	"github.com/tidwall/gjson"

	"pollux/normalize"
	"pollux/providers/format"
	"pollux/providers/template"
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
	return p.provider.Poll.Body == nil && p.matchPoll(v, method, escapedPath, query) && p.complete(v) == nil
}

// MayPoll reports whether a request with this method and path may be a status
// poll whose body has to be looked at, with MatchPollBody.
func (p *Parser) MayPoll(method, escapedPath []byte) bool {
	var v View
	poll := &p.provider.Poll
	v.reset(len(p.fixed), len(escapedPath))
	return poll.Body != nil && string(method) == poll.Request.Method && poll.Request.MatchPath(escapedPath, p.setter(&v))
}

// MatchPollBody is MatchPoll for a poll that has a body: the parsed body must
// be the file's, with values in place of its parameters, and nothing more.
func (p *Parser) MatchPollBody(v *View, method, escapedPath, query, body []byte) bool {
	v.reset(len(p.fixed), len(escapedPath)+len(query)+len(body))
	set := func(param int, value []byte) bool { return p.set(v, param, value) == nil }
	posted := p.provider.Poll.Body
	return posted != nil && p.matchPoll(v, method, escapedPath, query) && posted.Match(body, p.provider.Params, set) && p.complete(v) == nil
}

// matchPoll reports whether method, path and query are a poll's.
func (p *Parser) matchPoll(v *View, method, escapedPath, query []byte) bool {
	r, set := &p.provider.Poll.Request, p.setter(v)
	return string(method) == r.Method && r.MatchPath(escapedPath, set) && r.MatchQuery(query, p.provider.Params, set)
}

// setter takes the escaped values of parameters into v.
func (p *Parser) setter(v *View) func(param int, escaped []byte) bool {
	return func(param int, escaped []byte) bool { return p.decode(v, param, escaped, false) == nil }
}

// Create returns the declared request that makes a task and has this method
// and path (relative to the upstream's base URL), nil if there is none.
func (p *Parser) Create(method, escapedPath []byte) *format.Create {
	var v View
	for i := range p.provider.Creates {
		c := &p.provider.Creates[i]
		v.reset(len(p.fixed), len(escapedPath))
		if string(method) == c.Request.Method && c.Request.MatchPath(escapedPath, p.setter(&v)) {
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
func (p *Parser) Created(c *format.Create, escapedPath, query, request []byte, h http.Header, answer []byte) (Reference, bool) {
	source, groups := createdIn(c, h, answer)
	if source == nil {
		return Reference{}, false
	}
	return p.created(c, escapedPath, query, request, groups[source.Group], func(v *View) bool {
		for _, n := range source.Others {
			if v.values[n.Param] == nil && p.set(v, n.Param, []byte(groups[n.Group])) != nil {
				return false
			}
		}
		return true
	})
}

// Affected returns the reference of the stored task that a forwarded request
// may change: one that cancels it, continues it, deletes it where it is polled,
// or is listed under touch. It is false for every other request. A request may
// look like a create besides: those of some files have any path.
func (p *Parser) Affected(method, escapedPath, query, body []byte) (Reference, bool) {
	if c := p.Create(method, escapedPath); c != nil && c.Continues != "" && normalize.CheckBody(body) == nil {
		if id, ok := nameAt(body, c.Continues); ok && id != "" {
			return p.created(c, escapedPath, query, body, id, nil)
		}
	}
	if a := p.provider.Cancel; a != nil && string(method) == a.Request.Method {
		if r, ok := p.acts(&a.Request, a.Body, escapedPath, query, body); ok {
			return r, true
		}
	}
	for i := range p.provider.Touch {
		t := &p.provider.Touch[i]
		if string(method) != t.Method {
			continue
		}
		if r, ok := p.acts(t, nil, escapedPath, query, body); ok {
			return r, true
		}
	}
	if string(method) == http.MethodDelete {
		return p.acts(&p.provider.Poll.Request, nil, escapedPath, query, body)
	}
	return Reference{}, false
}

// created is the reference of the task id that a request names. more sets what
// the answer tells beside; nil: nothing.
func (p *Parser) created(c *format.Create, escapedPath, query, request []byte, id string, more func(*View) bool) (Reference, bool) {
	var v View
	v.reset(len(p.fixed), len(escapedPath)+len(query))
	if id == "" || !c.Request.MatchPath(escapedPath, p.setter(&v)) || !p.scope(&v, query) {
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
		for i, path := range c.Params {
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

// acts matches a request about one task, whatever its method: its parameters are
// in the path, the query, and the members of the body that fields names as {param}.
func (p *Parser) acts(r *template.Request, fields template.Body, escapedPath, query, body []byte) (Reference, bool) {
	var v View
	v.reset(len(p.fixed), len(escapedPath)+len(query))
	if !r.MatchPath(escapedPath, p.setter(&v)) || !p.scope(&v, query) {
		return Reference{}, false
	}
	if len(fields) > 0 && normalize.CheckBody(body) == nil {
		for _, m := range fields {
			if m.Param < 0 {
				continue
			}
			text, ok := nameAt(body, gjson.Escape(m.Name))
			if text != "" && v.values[m.Param] == nil && (!ok || p.set(&v, m.Param, []byte(text)) != nil) {
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
		if i := p.provider.Params.Query(name); i >= 0 && p.decode(v, i, value, false) != nil {
			return false
		}
	}
	return true
}
