package wire

import (
	"fmt"
	"strings"
	"testing"
)

// TestRequests: however a connection is cut into reads, what follows a malformed
// chunk is not read, and everything else is.
func TestRequests(t *testing.T) {
	const head = "POST /native/u/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, c := range map[string]struct {
		stream string
		good   string // how far it is read; "" for all
	}{
		"requests without a body":  {get + "\r\n" + get, ""},
		"a body with a length":     {"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n5;\r\n" + get, ""},
		"a value on a second read": {"POST / HTTP/1.1\r\nX: " + strings.Repeat("y", 300) + "\r\ncontent-length:  3 \r\n\r\n;\r\n" + get, ""},
		"chunks":                   {head + "5\r\nhello\r\n0\r\n\r\n" + get, ""},
		"chunks, then bad ones":    {head + "5\r\nhello\r\n0\r\n\r\n" + head + "5;\r\nhello\r\n", head + "5\r\nhello\r\n0\r\n\r\n" + head},
		"extensions and a trailer": {head + "5;a;b=c;d=\"e\\\"f\"\r\nhello\r\n000\r\nX-A: b\r\nX-B:\r\n\r\n" + get, ""},
		"a bad second chunk":       {head + "5\r\nhello\r\n5 \r\nhello\r\n", head + "5\r\nhello\r\n"},
		"a bad trailer":            {head + "0\r\nX-A: b\r\n c\r\n\r\n", head + "0\r\nX-A: b\r\n"},
	} {
		want := c.good
		if want == "" {
			want = c.stream
		}
		for _, size := range []int{1, 2, 3, 7, 64, len(c.stream)} {
			var r requests
			read := 0
			for at := 0; at < len(c.stream) && !r.bad; at += size {
				read += r.take([]byte(c.stream[at:min(at+size, len(c.stream))]))
			}
			// A line that came in pieces was let through up to the piece that made it wrong.
			if r.bad != (c.good != "") || read < len(want) || r.bad && strings.Contains(c.stream[len(want):read], "\n") {
				t.Errorf("%s, %d bytes at a time: read %q, bad %v, want %q", name, size, c.stream[:read], r.bad, want)
			}
		}
	}
}

// TestRequestsAllocateNothing: they are on the way of every poll.
func TestRequestsAllocateNothing(t *testing.T) {
	poll := fmt.Appendf(nil, "GET /v1/tasks/a/b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", strings.Repeat("x", 100))
	var r requests
	if n := testing.AllocsPerRun(100, func() { r.take(poll) }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}
