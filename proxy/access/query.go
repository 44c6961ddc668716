package access

import (
	"bytes"
	"net/url"
	"strings"
	"unicode/utf8"

	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

// splitQuery takes the identity parameters of t out of a query, and those that
// own takes. What is left is returned: the query itself where nothing was taken,
// or a copy in buf.
func splitQuery(query []byte, t *Upstream, c *Caller, own func(name, value []byte) (bool, *problem.Problem), buf []byte) (rest, grown []byte, p *problem.Problem) {
	buf = buf[:0]
	taken := false
	for left := query; len(left) > 0; {
		var pair []byte
		pair, left, _ = bytes.Cut(left, []byte("&"))
		name, value, _ := bytes.Cut(pair, []byte("="))
		ours, p := c.take(t, name, value)
		if !ours && p == nil && own != nil {
			ours, p = own(name, value)
		}
		switch {
		case p != nil:
			return nil, buf, p
		case ours:
			taken = true
			continue
		}
		if len(buf) > 0 {
			buf = append(buf, '&')
		}
		buf = append(buf, pair...)
	}
	if !taken {
		return query, buf, nil
	}
	return buf, buf, nil
}

// take reads an identity parameter of t; taken is false for another.
func (c *Caller) take(t *Upstream, name, value []byte) (taken bool, p *problem.Problem) {
	i := IndexOf(t.Query, name)
	switch {
	case i < 0:
		return false, nil
	case c.query[i] != nil:
		return true, wire.Invalid(string(t.Query[i]) + " is sent twice")
	case len(value) > 0:
		c.query[i] = value
	}
	return true, nil
}

func IndexOf(names [][]byte, name []byte) int {
	for i, n := range names {
		if bytes.Equal(n, name) {
			return i
		}
	}
	return -1
}

// ParsePairs splits a query into the parameters that want has and the
// credentials of upstreams. A plus is a plus: it stands in times.
func ParsePairs(query []byte, identity func(name string) bool, want func(name string) bool) (params map[string]string, credentials map[string][]byte, p *problem.Problem) {
	params, credentials = map[string]string{}, map[string][]byte{}
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte("&"))
		rawName, rawValue, _ := bytes.Cut(pair, []byte("="))
		name := string(rawName)
		_, twice := params[name]
		switch {
		case !want(name) && identity(name):
			if credentials[name] != nil {
				return nil, nil, wire.Invalid(name + " is sent twice")
			}
			credentials[name] = bytes.Clone(rawValue)
			continue
		case !want(name):
			return nil, nil, wire.Invalid(unknownParameter(name))
		case twice:
			return nil, nil, wire.Invalid(name + " is sent twice")
		}
		value, err := url.PathUnescape(string(rawValue))
		if err != nil || !utf8.ValidString(value) {
			return nil, nil, wire.Invalid(name + " is not percent-encoded UTF-8")
		}
		params[name] = value
	}
	return params, credentials, nil
}

// unknownParameter names a parameter that is not known, if it looks like a name.
func unknownParameter(name string) string {
	plain := len(name) > 0 && len(name) <= 64 && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
	if !plain {
		return "a parameter is not known here"
	}
	return name + " is not a parameter here"
}
