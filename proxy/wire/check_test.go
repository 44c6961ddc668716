package wire

import (
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// TestStrictCheckAllocates nothing: it is on the way of every poll.
func TestStrictCheckAllocates(t *testing.T) {
	s := NewStrictness("", "127.0.0.1", []string{"X-Api-Key", "Authorization"})
	var ctx fasthttp.RequestCtx
	h := ParsedHeader(t, &ctx, "GET /v1/tasks/a/b?c=d HTTP/1.1\r\nHost: localhost:8080\r\nAuthorization: Bearer x\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n")
	var f Facts
	if r := s.Check(h, &f); r != nil {
		t.Fatalf("refused: %s", r.Reason)
	}
	if n := testing.AllocsPerRun(100, func() { s.Check(h, &f) }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "POST /v1/tasks/batch HTTP/1.1\r\nHost: [::1]:1\r\nContent-Length: 3\r\n\r\n",
		"GET http://localhost/?a HTTP/1.0\r\nHost: localhost\r\nConnection: close, X-Api-Key\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: localhost\r\nA: b\r\n c\r\n\r\n", "PRI * HTTP/2.0\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n",
	} {
		f.Add([]byte(s))
	}
	s := NewStrictness("", "127.0.0.1", []string{"X-Api-Key"})
	f.Fuzz(func(t *testing.T, request []byte) {
		var ctx fasthttp.RequestCtx
		h := tryHeader(&ctx, request)
		if h == nil {
			return
		}
		var facts Facts
		if s.Check(h, &facts) != nil {
			return
		}
		if !facts.Star && (len(facts.Path) > 0 && facts.Path[0] != '/') {
			t.Errorf("%q: path %q", request, facts.Path)
		}
		if strings.Contains(strings.ReplaceAll(string(h.RawHeaders()), "\r\n", ""), "\n") {
			t.Errorf("%q: a bare line feed passed", request)
		}
		if n := len(h.PeekAll("X-Api-Key")); n > 1 {
			t.Errorf("%q: %d keys passed", request, n)
		}
		if facts.BodyLength < 0 && len(h.Peek("Content-Length")) > 0 {
			t.Errorf("%q: ambiguous framing passed", request)
		}
	})
}

func TestLoopbackNames(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost": true, "127.0.0.1": true, "127.255.255.255": true, "[::1]": true,
		"": false, "127.0.0": false, "127.0.0.256": false, "127.0.0.1.": false, "127..0.1": false,
		"127.0.0.1.2": false, "127.0.0.1a": false, "[::2]": false, "localhost.": false, "127.1": false,
	} {
		if got := loopbackName([]byte(host)); got != want {
			t.Errorf("loopbackName(%q) = %v, want %v", host, got, want)
		}
	}
}

func TestDirectives(t *testing.T) {
	for value, want := range map[string]Directives{
		"": {}, "no-cache": {NoCache: true}, "No-Cache": {NoCache: true}, "max-age=0": {NoCache: true}, "max-age=60": {},
		"no-store": {}, "foo, no-cache": {NoCache: true}, "only-if-cached": {OnlyIfCached: true},
		"only-if-cached,max-age=0": {NoCache: true, OnlyIfCached: true}, "no-cachex": {}, ",,": {},
	} {
		if got := readDirectives([]byte(value)); got != want {
			t.Errorf("readDirectives(%q) = %+v, want %+v", value, got, want)
		}
	}
}
