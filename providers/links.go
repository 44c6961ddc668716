package providers

import (
	"net/http"
	"slices"

	"github.com/tidwall/gjson"

	"pollux/normalize"
	"pollux/providers/template"
)

// Links returns where the answer to a request with this method and path
// (relative to the upstream's base URL) has URLs of the upstream: GJSON paths
// in its body, and headers in canonical form. A cancel answers with what a
// poll would, as far as it answers with a task.
func (p *Parser) Links(method, escapedPath []byte) (paths, headers []string) {
	if c := p.Create(method, escapedPath); c != nil {
		return c.Links, c.LinkHeaders
	}
	if string(method) == http.MethodHead {
		method = []byte(http.MethodGet)
	}
	poll := &p.provider.Poll
	requests := []*template.Request{&poll.Request}
	if cancel := p.provider.Cancel; cancel != nil {
		requests = append(requests, &cancel.Request)
	}
	var v View
	for _, r := range requests {
		v.reset(len(p.fixed), len(escapedPath))
		if string(method) == r.Method && r.MatchPath(escapedPath, p.setter(&v)) {
			return poll.Links, poll.LinkHeaders
		}
	}
	return nil, nil
}

// RewriteLinks returns body with the strings at the given GJSON paths replaced
// by what through makes of them, and every other byte as it was. A path may
// lead to a string, to a list or object whose strings are all links, or search
// (items.#.url). A body that is no JSON is returned as it is, and so is one in
// which through changes nothing.
func RewriteLinks(body []byte, paths []string, through func(link string) string) []byte {
	if len(paths) == 0 || normalize.CheckValue(body) != nil {
		return body
	}
	r := rewriter{body: body, through: through}
	for _, path := range paths {
		found := gjson.GetBytes(body, path)
		if len(found.Indexes) == 0 {
			r.value(found, found.Index)
			continue
		}
		for i, element := range found.Array() {
			if i < len(found.Indexes) {
				r.value(element, found.Indexes[i])
			}
		}
	}
	return r.apply()
}

type rewriter struct {
	body    []byte
	through func(string) string
	edits   []edit
}

// edit replaces a string of the body.
type edit struct {
	start, end int
	text       []byte
}

// value notes what is to change in a value that starts at index at of the
// body; 0 is where none does that a path finds.
func (r *rewriter) value(v gjson.Result, at int) {
	switch {
	case at <= 0 || at+len(v.Raw) > len(r.body) || string(r.body[at:at+len(v.Raw)]) != v.Raw:
	case v.Type == gjson.String:
		if to := r.through(v.Str); to != v.Str {
			r.edits = append(r.edits, edit{at, at + len(v.Raw), normalize.AppendString(nil, to)})
		}
	case v.IsArray() || v.IsObject():
		v.ForEach(func(_, child gjson.Result) bool {
			r.value(child, child.Index)
			return true
		})
	}
}

func (r *rewriter) apply() []byte {
	slices.SortFunc(r.edits, func(a, b edit) int { return a.start - b.start })
	out, from := r.body, 0
	if len(r.edits) > 0 {
		out = nil
	}
	for _, e := range r.edits {
		if e.start < from {
			continue // two paths lead to it
		}
		out = append(append(out, r.body[from:e.start]...), e.text...)
		from = e.end
	}
	if len(r.edits) > 0 {
		out = append(out, r.body[from:]...)
	}
	return out
}
