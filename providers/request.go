package providers

import (
	"net/http"
	"strings"
)

// Request is a request template of a provider file, such as
// "GET /v2/agents/{agent_key}/responses/{task_id}?view=full", its path relative
// to the upstream's base URL.
type Request struct {
	Method string
	text   string
	path   []segment
	query  []queryPart
}

// A segment is literal, or holds one parameter between two literals.
type segment struct {
	prefix, suffix string
	param          int  // index in Provider.Params, or one of the two below
	slashes        bool // the parameter's value may hold slashes, so it is more than one segment
}

const (
	literal  = -1
	wildcard = -2 // a placeholder of a create that is no parameter: fits any value
)

// queryPart is a query parameter of the template.
type queryPart struct {
	name  string
	value string // when param is literal
	param int
}

// String returns the template as the file has it.
func (r Request) String() string { return r.text }

// Template is its path as the file has it, with parameters in braces.
func (r Request) Template() string {
	_, path, _ := strings.Cut(r.text, " ")
	path, _, _ = strings.Cut(path, "?")
	return path
}

// parseRequest reads a template. index tells the parameter of a name; a name
// that it does not know is an error unless wild is set. The error says what is
// wrong with the template, in lower case.
func parseRequest(text string, index func(name string) (int, bool), wild bool) (Request, []string) {
	t := templateParser{index: index, wild: wild}
	method, target, ok := strings.Cut(text, " ")
	if !ok || !isMethod(method) || !strings.HasPrefix(target, "/") {
		return Request{}, []string{"want a method and a path, such as GET /v1/jobs/{id}"}
	}
	path, query, hasQuery := strings.Cut(target[1:], "?")
	r := Request{Method: method, text: text, path: t.segments(path)}
	if hasQuery {
		r.query = t.parts(query)
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

// templateParser collects what is wrong with one template.
type templateParser struct {
	index  func(name string) (int, bool)
	wild   bool
	faults []string
}

func (t *templateParser) fault(message string) { t.faults = append(t.faults, message) }

func (t *templateParser) segments(path string) []segment {
	raw := strings.Split(path, "/")
	all := make([]segment, len(raw))
	for i, s := range raw {
		all[i] = t.segment(s)
		if s == "" && i < len(raw)-1 {
			t.fault("the path has an empty segment")
		}
	}
	return all
}

func (t *templateParser) segment(s string) segment {
	prefix, rest, found := strings.Cut(s, "{")
	name, suffix, closed := strings.Cut(rest, "}")
	switch {
	case found && (!closed || strings.ContainsAny(suffix, "{}")) || !found && strings.Contains(s, "}"):
		t.fault("a path segment may hold one {param}")
	case !isLiteral(prefix) || !isLiteral(suffix) || s == "." || s == "..":
		t.fault("the path holds a character or dot segment that must not stand in one")
	case found:
		return segment{prefix: prefix, suffix: suffix, param: t.param(name)}
	}
	return segment{prefix: s, param: literal}
}

func (t *templateParser) parts(query string) []queryPart {
	var all []queryPart
	for _, s := range strings.Split(query, "&") {
		name, value, ok := strings.Cut(s, "=")
		part := queryPart{name: name, value: value, param: literal}
		inner, braced := strings.CutPrefix(value, "{")
		switch {
		case !ok || name == "" || !isLiteral(name):
			t.fault("the query wants name=value, joined by &")
		case braced && strings.HasSuffix(inner, "}"):
			part.param, part.value = t.param(strings.TrimSuffix(inner, "}")), ""
		case !isLiteral(value) || value == "":
			t.fault("a value in the query is {param} or plain text")
		}
		all = append(all, part)
	}
	return all
}

func (t *templateParser) param(name string) int {
	i, ok := t.index(name)
	switch {
	case ok:
		return i
	case t.wild && isName(name):
		return wildcard
	}
	t.fault("{" + name + "} is no parameter of this file")
	return literal
}

// isLiteral reports whether s can stand in a path or query as it is.
func isLiteral(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isUnreserved(c) && !strings.ContainsRune("!$'()*+,;:@%", rune(c)) {
			return false
		}
	}
	decoded, fault := unescape(nil, []byte(s), false)
	return fault == "" && (len(decoded) == 0 || valueFault(decoded, maxValueBytes) == "" || len(decoded) > maxValueBytes)
}

// appendPath appends the escaped path for r's values, from its first slash.
func (r *Request) appendPath(dst []byte, values []string) []byte {
	for _, s := range r.path {
		dst = append(dst, '/')
		dst = append(dst, s.prefix...)
		switch {
		case s.param < 0:
			continue
		case s.slashes:
			dst = appendSlashedValue(dst, values[s.param])
		default:
			dst = appendPathValue(dst, values[s.param])
		}
		dst = append(dst, s.suffix...)
	}
	return dst
}

// uses reports whether the template holds the parameter, and where.
func (r *Request) uses(param int) (inPath, inQuery int) {
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
