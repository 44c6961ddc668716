package client

import (
	"net/url"
	"strings"

	"pollux/cmd/pollux/console"
)

// taskRef is a reference to a task, such as shannon/task_1,
// "orq/my agent/01K6" or gumloop/abc?user_id=u.
type taskRef struct {
	upstream string
	path     string // escaped, with the upstream and without a slash in front
	query    string // escaped, without "?"
	label    string // for people; the query, which may hold a credential, is left out
}

// parseRef reads a reference as a person types it: what a URL cannot hold is
// escaped for them, what is escaped already stays so. A slash inside a value
// is typed %2F.
func parseRef(s string) (taskRef, error) {
	path, query, _ := strings.Cut(s, "?")
	segments := strings.Split(path, "/")
	if len(segments) < 2 {
		return taskRef{}, wrongUsage("a task is named <upstream>/<id>, such as shannon/task_1")
	}
	for _, segment := range segments {
		switch segment {
		case "":
			return taskRef{}, wrongUsage("the task %s has an empty part", path)
		case ".", "..":
			return taskRef{}, wrongUsage("the task %s has a part that a URL cannot hold", path)
		}
	}
	return taskRef{upstream: segments[0], path: escapeRef(path), query: escapeRef(query), label: console.CleanLine(path)}, nil
}

// parseRefs reads several. The first that cannot be read is the error.
func parseRefs(texts []string) ([]taskRef, error) {
	refs := make([]taskRef, len(texts))
	for i, text := range texts {
		var err error
		if refs[i], err = parseRef(text); err != nil {
			return nil, err
		}
	}
	return refs, nil
}

func upstreamsOf(refs []taskRef) []string {
	names := make([]string, len(refs))
	for i, r := range refs {
		names[i] = r.upstream
	}
	return names
}

// id is the last part of the path as the upstream knows it.
func (r *taskRef) id() string {
	last := r.path[strings.LastIndexByte(r.path, '/')+1:]
	if id, err := url.PathUnescape(last); err == nil {
		return id
	}
	return last
}

// escapeRef percent-encodes the bytes that neither a path nor a query may hold
// (RFC 3986, section 3.3), and a % that escapes nothing.
func escapeRef(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]), mayStand(c):
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

func mayStand(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~!$&'()*+,;=:@/", c) >= 0
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
