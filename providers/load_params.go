package providers

import (
	"fmt"
	"net/textproto"
	"slices"

	"golang.org/x/net/http/httpguts"

	"pollux/providers/template"
)

// reservedNames are query parameters that Pollux itself reads on a task's URL.
var reservedNames = []string{"wait", "include"}

// ownHeaders are request headers that a caller's identity cannot be in: they
// belong to the connection, or Pollux sets them itself.
var ownHeaders = []string{
	"Accept", "Accept-Encoding", "Connection", "Content-Length", "Content-Type", "Cookie", "Expect", "Host",
	"Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent", "Via", "X-Pollux-Key",
}

// formHeaders are those of ownHeaders that say which form of an answer is
// wanted, which a file may choose, and let a caller choose.
var formHeaders = []string{"Accept", "Content-Type", "User-Agent"}

func (l *loader) identity() {
	f, id := &l.file.Identity, &l.p.Identity
	id.Headers = l.headers(f.Headers, "identity.headers", nil)
	id.Select = l.headers(f.Select, "identity.select", []string{"Accept"})
	for i, name := range id.Select {
		if name == "Authorization" || slices.Contains(id.Headers, name) {
			l.fault(f.Select[i].Node, "", "is a credential, or listed in identity.headers: select is for what is no secret, such as a version")
		}
	}
	for _, q := range f.Query {
		switch {
		case !template.IsName(q.Value) || slices.Contains(reservedNames, q.Value):
			l.fault(q.Node, "identity.query", "want the name of a query parameter that Pollux does not use itself")
		case slices.Contains(id.Query, q.Value):
			l.fault(q.Node, "identity.query", "is listed twice")
		}
		id.Query = append(id.Query, q.Value)
	}
	need, ok := map[string]Need{"": NeedAny, "any": NeedAny, "all": NeedAll, "none": NeedNone}[f.Need.Value]
	if !ok {
		l.fault(f.Need.Node, "identity.need", "want any, all or none")
	}
	id.Need = need
	if need != NeedNone && len(id.Headers)+len(id.Query) == 0 {
		l.fault(nil, "identity", "wants the headers that name the caller, or need: none")
	}
	id.Scheme = f.Scheme.Value
	if f.Scheme.Node == nil && len(id.Headers) > 0 && id.Headers[0] == "Authorization" {
		id.Scheme = "Bearer"
	}
	if id.Scheme != "" && !httpguts.ValidHeaderFieldName(id.Scheme) {
		l.fault(f.Scheme.Node, "identity.scheme", "want a word such as Bearer, or nothing")
	}
}

// headers checks a list of request headers and returns them in canonical form.
// Those in allowed may be among them though Pollux usually sets them itself.
func (l *loader) headers(list []text, key string, allowed []string) []string {
	var names []string
	for _, h := range list {
		name := textproto.CanonicalMIMEHeaderKey(h.Value)
		switch {
		case !httpguts.ValidHeaderFieldName(h.Value):
			l.fault(h.Node, key, "want the name of a request header")
		case slices.Contains(ownHeaders, name) && !slices.Contains(allowed, name):
			l.fault(h.Node, key, "is a header that Pollux sets itself")
		case slices.Contains(names, name):
			l.fault(h.Node, key, "is listed twice")
		}
		names = append(names, name)
	}
	return names
}

func (l *loader) params() {
	slashes := -1
	for _, member := range l.file.Params {
		f, at := member.Value, member.Node
		param := template.Param{
			Name: member.Name, In: f.In.Value, Optional: f.Optional, Task: f.Task || f.In.Value == "path",
			Slashes: f.Slashes, Max: template.DefaultMax,
		}
		switch {
		case !template.IsName(member.Name):
			l.fault(at, "params", "want a name of letters, digits, dots, dashes and underscores")
		case slices.Contains(reservedNames, member.Name):
			l.fault(at, "params", "is a name that Pollux uses itself")
		case slices.Contains(l.p.Identity.Query, member.Name):
			l.fault(at, "params", "is listed in identity.query, and cannot be both")
		}
		if param.In != "path" && param.In != "query" && param.In != "body" {
			l.fault(f.In.Node, at.Path()+".in", "want path, query or body")
		}
		if param.Slashes && param.In != "path" {
			l.fault(at, "params", "has slashes: true, which only a parameter of the path needs")
		}
		if param.Slashes && slashes >= 0 {
			l.fault(at, "params", "has slashes: true like another one: where one ends and the other begins could not be told")
		}
		if param.Slashes {
			slashes = len(l.p.Params)
		}
		if f.Max.Node != nil {
			if param.Max = f.Max.Value; param.Max < 1 || param.Max > template.LongestMax {
				l.fault(f.Max.Node, "", "want a length from 1 to %d bytes", template.LongestMax)
			}
		}
		if param.Task && param.Optional {
			l.fault(at, "params", "is part of the task's id, which cannot be optional")
		}
		if f.Pattern.Node != nil {
			pattern, err := template.NewPattern(f.Pattern.Value)
			if err != nil {
				l.fault(f.Pattern.Node, "", "want a regular expression in RE2 syntax")
			}
			param.Pattern = pattern
		}
		if param.Default = f.Default.Value; f.Default.Node != nil {
			switch {
			case !param.Optional:
				l.fault(f.Default.Node, "", "goes with optional: true: it is what sending none means")
			case param.Fault([]byte(param.Default)) != "":
				l.fault(f.Default.Node, "", "want a value that the parameter may have")
			}
		}
		l.p.Params = append(l.p.Params, param)
	}
	if !slices.ContainsFunc(l.p.Params, func(p template.Param) bool { return p.Task }) {
		l.fault(nil, "params", "wants a parameter that is the task's id: one in: path, or one in: query or body with task: true")
	}
}

func (l *loader) oneOf() {
	for i, group := range l.file.OneOf {
		var names []string
		var indices []int
		for _, name := range group {
			param, ok := l.p.Params.Index(name.Value)
			switch {
			case !ok:
				l.fault(name.Node, "", "is no parameter of this file")
				continue
			case slices.Contains(indices, param):
				l.fault(name.Node, "", "is listed twice")
			case !l.p.Params[param].Optional:
				l.fault(name.Node, "", "is not optional, so it is always there")
			}
			names, indices = append(names, name.Value), append(indices, param)
		}
		if len(group) < 2 {
			l.fault(nil, fmt.Sprintf("one_of[%d]", i), "wants two names or more")
		}
		l.p.OneOf, l.p.oneOf = append(l.p.OneOf, names), append(l.p.oneOf, indices)
	}
}
