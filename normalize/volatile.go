package normalize

import (
	"slices"
	"strconv"
)

// volatile is the set of members whose change is no change, as a tree of
// object keys and array indices. A node without children is to be removed.
type volatile map[string]volatile

// volatileMember is one of the members that a provider file lists, and when it
// counts as such; nil means always.
type volatileMember struct {
	keys []string
	when *Condition
}

// volatileNow is the set for one answer.
func (m *Mapping) volatileNow(e *evaluation) volatile {
	if !m.passing {
		return m.volatile
	}
	now := volatile{}
	for _, member := range m.members {
		if holds, _ := e.holds(member.when); holds {
			now.add(member.keys)
		}
	}
	return now
}

// add inserts the member at keys. A member covers everything below it.
func (v volatile) add(keys []string) {
	for i, key := range keys {
		child, known := v[key]
		switch {
		case known && len(child) == 0:
			return
		case i == len(keys)-1:
			v[key] = nil
		case !known:
			child = volatile{}
			v[key] = child
		}
		v = child
	}
}

// touches reports whether what is read at path may hang on a member of the set:
// the path leads to one, above one, or searches from above one.
func (v volatile) touches(path string) bool {
	keys, _ := plainKeys(path)
	for _, key := range keys {
		child, known := v[key]
		if !known {
			return false
		}
		if len(child) == 0 {
			return true
		}
		v = child
	}
	return len(v) > 0
}

func (v volatile) touchesSource(s source) bool {
	if s.path != "" && v.touches(s.path) || slices.ContainsFunc(s.sum, v.touches) {
		return true
	}
	if s.when == nil {
		return false
	}
	return s.when.json && len(v) > 0 ||
		slices.ContainsFunc(s.when.paths, func(p PathSpec) bool { return v.touches(p.Path) })
}

// strip appends the object or array text to dst without the members in v, every
// duplicate included, and reports whether there were any. Elements of arrays
// become null instead, since what follows must keep its index.
func (v volatile) strip(dst []byte, text string) (out []byte, stripped bool) {
	isObject := kindOf(text) == kindObject
	first := true
	comma := func() {
		if !first {
			dst = append(dst, ',')
		}
		first = false
	}
	put := func(key, value string) {
		child, listed := v[key]
		switch {
		case !listed, len(child) > 0 && kindOf(value) != kindObject && kindOf(value) != kindArray:
			dst = append(dst, value...)
		case len(child) == 0:
			dst = append(dst, `null`...)
			stripped = true
		default:
			var below bool
			dst, below = child.strip(dst, value)
			stripped = stripped || below
		}
	}
	if isObject {
		dst = append(dst, '{')
		eachMember(text, func(name, value string) {
			key := decodeString(name)
			if child, listed := v[key]; listed && len(child) == 0 {
				stripped = true
				return
			}
			comma()
			dst = append(append(dst, name...), ':')
			put(key, value)
		})
		return append(dst, '}'), stripped
	}
	dst = append(dst, '[')
	index := 0
	eachElement(text, func(value string) {
		comma()
		put(strconv.Itoa(index), value)
		index++
	})
	return append(dst, ']'), stripped
}

// parseIndex reads an array index, -1 if key is none.
func parseIndex(key string) int {
	n, err := strconv.Atoi(key)
	if err != nil || digits(key) != len(key) {
		return -1
	}
	return n
}
