package sandbox

import (
	"fmt"
	"net/url"
	"strings"

	"pollux/providers/sandbox/script"
)

// kind says what a request is for.
type kind uint8

const (
	other kind = iota
	poll
	create
	cancel
	action
	listing
)

var kindNames = [...]string{other: "other", poll: "poll", create: "create", cancel: "cancel", action: "action", listing: "listing"}

func (k kind) String() string { return kindNames[k] }

// route is one request that a simulated upstream knows.
type route struct {
	kind     kind
	text     string // as in the provider file
	method   string
	segments []string
	slashes  string     // in braces, the parameter whose value may hold slashes; "" if none may
	query    url.Values // wanted in the query: a literal, or a {parameter}

	continues string             // of a create: the GJSON path that names the task that runs again
	action    *script.Transition // of an action
}

// parseRoute reads "POST /v1/tasks/{id}?key={key}".
func parseRoute(kind kind, text string) (route, error) {
	method, target, ok := strings.Cut(text, " ")
	path, query, _ := strings.Cut(strings.TrimSpace(target), "?")
	if !ok || !strings.HasPrefix(path, "/") {
		return route{}, fmt.Errorf("request %q: want a method and a path", text)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return route{}, fmt.Errorf("request %q: unreadable query", text)
	}
	return route{kind: kind, text: text, method: method, segments: strings.Split(path[1:], "/"), query: values}, nil
}

// match returns the parameters of a request that takes this route. Path values
// are decoded once, per segment, so that %2F stays inside its value.
func (r *route) match(method, escapedPath string, query url.Values) (params map[string]string, ok bool) {
	if method != r.method && (method != "HEAD" || r.method != "GET") {
		return nil, false
	}
	segments := r.gather(strings.Split(strings.TrimPrefix(escapedPath, "/"), "/"))
	if len(segments) != len(r.segments) {
		return nil, false
	}
	params = map[string]string{}
	for i, want := range r.segments {
		value, err := url.PathUnescape(segments[i])
		if err != nil || !bind(params, want, value) {
			return nil, false
		}
	}
	for name, want := range r.query {
		if !bind(params, want[0], query.Get(name)) {
			return nil, false
		}
	}
	return params, true
}

// gather puts the segments of a value that may hold slashes together again.
func (r *route) gather(segments []string) []string {
	more := len(segments) - len(r.segments)
	if r.slashes == "" || more <= 0 {
		return segments
	}
	for i, want := range r.segments {
		if strings.Contains(want, r.slashes) {
			value := strings.Join(segments[i:i+more+1], "/")
			return append(append(segments[:i:i], value), segments[i+more+1:]...)
		}
	}
	return segments
}

// bind notes the part of value that want has a parameter for, or compares it
// with the literal that want is. An empty value binds too: an id that is
// missing in a query is the caller's mistake, not another route.
func bind(params map[string]string, want, value string) bool {
	prefix, rest, found := strings.Cut(want, "{")
	name, suffix, closed := strings.Cut(rest, "}")
	if !found || !closed {
		return want == value
	}
	inner, hasPrefix := strings.CutPrefix(value, prefix)
	inner, hasSuffix := strings.CutSuffix(inner, suffix)
	if hasPrefix && hasSuffix {
		params[name] = inner
	}
	return hasPrefix && hasSuffix
}
