package wire

import (
	"bytes"
	"testing"

	"github.com/valyala/fasthttp"
)

// FuzzLast: a head counts as like the last one if and only if it is the same, byte
// for byte but for the target, and what a connection follows of its requests is the same whether it
// looked or not.
func FuzzLast(f *testing.F) {
	const head = "GET /v1/tasks/a/1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer k\r\n\r\n"
	for _, other := range []string{
		head, "GET /v1/tasks/a/2" + head[17:], "GET /a\nb" + head[17:], "HEAD" + head[3:], "get" + head[3:], head[:len(head)-2] + "X: 1\r\n\r\n", head[:5] + "/" + head[5:], head + head,
		"GET /v1/tasks/a/1 HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer k\r\n\r\n",
		"GET /v1/tasks/a/1 HTTP/1.1\r\nHost: localhost\r\nauthorization: Bearer k\r\n\r\n",
		"GET /v1/tasks/a/1 HTTP/1.1\nHost: localhost\r\nAuthorization: Bearer k\r\n\r\n",
		"GET /v1/tasks/a/1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer k\r\nContent-Length: 3\r\n\r\nabc",
	} {
		f.Add([]byte(head), []byte(other))
	}
	f.Fuzz(func(t *testing.T, one, other []byte) {
		var a, b fasthttp.RequestCtx
		h, next := tryHeader(&a, one), tryHeader(&b, other)
		if h == nil || next == nil {
			return
		}
		var facts Facts
		strict := NewStrictness("", "127.0.0.1", nil)
		var last Last
		if last.Like(next) || last.read(other) {
			t.Fatal("nothing was kept")
		}
		if strict.Check(h, &facts) != nil || facts.HasBody() || !last.Keep(h) {
			return
		}
		same := bytes.Equal(h.Method(), next.Method()) && bytes.Equal(h.Protocol(), next.Protocol()) && bytes.Equal(h.RawHeaders(), next.RawHeaders())
		if last.Like(next) != same || !last.Like(h) || !bytes.Equal(last.Target(), h.RequestURI()) {
			t.Fatalf("%q after %q: the last is %t, the same is %t", other, one, last.Like(next), same)
		}
		if last.read(other) {
			var r requests
			if n := r.take(other); n != len(other) || !r.between() || !same {
				t.Fatalf("%q is not one whole request without a body", other)
			}
		}
		last.Forget()
		if last.Like(h) || last.read(one) {
			t.Fatal("it is not forgotten")
		}
	})
}
