package providers

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"pollux/normalize"
	"pollux/providers/format"
)

// groups returns the groups of s's match in a value, the value itself as the only
// one if there is no match to make, nil if the value does not match.
func groups(s *format.IDSource, value string) []string {
	if s.Match == nil {
		return []string{value}
	}
	return s.Match.FindStringSubmatch(value)
}

// firstFound is the first of sources that yields an id, and the groups in which
// it did. body is only looked into if it is JSON.
func firstFound(sources []format.IDSource, h http.Header, body []byte) (*format.IDSource, []string) {
	readable := normalize.CheckValue(body) == nil
	for i := range sources {
		s := &sources[i]
		value, whole := "", true
		if s.Header != "" {
			value = h.Get(s.Header)
		} else if readable {
			value, whole = nameAt(body, s.Path)
		}
		if value == "" || !whole {
			continue
		}
		if found := groups(s, value); found != nil && found[s.Group] != "" {
			return s, found
		}
	}
	return nil, nil
}

func firstID(sources []format.IDSource, h http.Header, body []byte) string {
	if s, groups := firstFound(sources, h, body); s != nil {
		return groups[s.Group]
	}
	return ""
}

// CreatedID is the id of the new task in the answer to a create, "" if there is
// none.
func CreatedID(c *format.Create, h http.Header, answer []byte) string {
	if s, groups := createdIn(c, h, answer); s != nil {
		return groups[s.Group]
	}
	return ""
}

// createdIn is firstFound in the answer to a create. What is matched in a header
// is part of a URL, in which names are escaped.
func createdIn(c *format.Create, h http.Header, answer []byte) (*format.IDSource, []string) {
	s, groups := firstFound(c.IDs, h, answer)
	if s == nil || s.Header == "" || s.Match == nil {
		return s, groups
	}
	for i, escaped := range groups {
		if plain, err := url.PathUnescape(escaped); err == nil {
			groups[i] = plain
		}
	}
	return s, groups
}

// namesAnother reports whether body, a JSON text, says that it is about another task than
// id. Every member of that name counts: a body with two ids, of which GJSON
// sees the first, is not trusted. Sources of one path are forms of one name, any
// of which may be id.
func (p *Provider) namesAnother(id, body string) bool {
	for i := range p.IDs {
		s := &p.IDs[i]
		other := func(r gjson.Result) bool {
			return !slices.ContainsFunc(p.IDs, func(form format.IDSource) bool {
				return form.Path == s.Path && !another(&form, r, id)
			})
		}
		if strings.ContainsAny(s.Path, `.|#@*?\!{}[]():`) {
			if other(gjson.Get(body, s.Path)) {
				return true
			}
			continue
		}
		found := false
		gjson.Parse(body).ForEach(func(key, value gjson.Result) bool {
			found = key.Str == s.Path && other(value)
			return !found
		})
		if found {
			return true
		}
	}
	return false
}

// another reports whether a value names another task than id. One that is
// absent or null names none.
func another(s *format.IDSource, r gjson.Result, id string) bool {
	if r.Type == gjson.Null {
		return false
	}
	text, ok := nameOf(r)
	if !ok {
		return true
	}
	found := groups(s, text)
	return found == nil || found[s.Group] != id
}
