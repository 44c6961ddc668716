package providers

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/tidwall/gjson"

	"pollux/normalize"
)

// idSource is where an answer names a task: a GJSON path in its body, or a
// header. match yields the id by its first group without a name; nil: the value
// is the id.
type idSource struct {
	path, header string
	match        *regexp.Regexp
	group        int       // of match
	others       []idGroup // of a create: its groups that have names
}

// idGroup is a group of a match that yields another parameter of the reference.
type idGroup struct{ group, param int }

// find returns the groups of match in a value, the value itself as the only one
// if there is no match to make, nil if the value does not match.
func (s *idSource) find(value string) []string {
	if s.match == nil {
		return []string{value}
	}
	return s.match.FindStringSubmatch(value)
}

// id is what the source makes of a value, "" if it does not match.
func (s *idSource) id(value string) string {
	if groups := s.find(value); groups != nil {
		return groups[s.group]
	}
	return ""
}

// firstFound is the first of sources that yields an id, and the groups in which
// it did. body is only looked into if it is JSON.
func firstFound(sources []idSource, h http.Header, body []byte) (*idSource, []string) {
	readable := normalize.CheckValue(body) == nil
	for i := range sources {
		s := &sources[i]
		value, whole := "", true
		if s.header != "" {
			value = h.Get(s.header)
		} else if readable {
			value, whole = nameAt(body, s.path)
		}
		if value == "" || !whole {
			continue
		}
		if groups := s.find(value); groups != nil && groups[s.group] != "" {
			return s, groups
		}
	}
	return nil, nil
}

func firstID(sources []idSource, h http.Header, body []byte) string {
	if s, groups := firstFound(sources, h, body); s != nil {
		return groups[s.group]
	}
	return ""
}

// TaskID is the id of the new task in the answer to a create, "" if there is
// none.
func (c *Create) TaskID(h http.Header, answer []byte) string { return firstID(c.ids, h, answer) }

// namesAnother reports whether body says that it is about another task than
// id. Every member of that name counts: a body with two ids, of which GJSON
// sees the first, is not trusted.
func (p *Provider) namesAnother(id string, body []byte) bool {
	for i := range p.ids {
		s := &p.ids[i]
		other := func(r gjson.Result) bool { return s.another(r, id) }
		if strings.ContainsAny(s.path, `.|#@*?\!{}[]():`) {
			if other(gjson.GetBytes(body, s.path)) {
				return true
			}
			continue
		}
		found := false
		gjson.ParseBytes(body).ForEach(func(key, value gjson.Result) bool {
			found = key.Str == s.path && other(value)
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
func (s *idSource) another(r gjson.Result, id string) bool {
	if r.Type == gjson.Null {
		return false
	}
	text, ok := nameOf(r)
	return !ok || s.id(text) != id
}
