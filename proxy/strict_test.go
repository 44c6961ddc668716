package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	kept   = true
	closed = false
)

// TestRawRequests sends requests that no client library would, byte for byte,
// and expects the exact status and what becomes of the connection. Most are
// from the MUSTs of RFC 9110 and 9112, and from known smuggling forms.
func TestRawRequests(t *testing.T) {
	f := newFace(t, nil)
	const (
		line = "GET /v1/tasks/shannon/t1 HTTP/1.1\r\n"
		host = "Host: localhost\r\n"
		get  = line + host
		end  = "\r\n"
		post = "POST /v1/tasks/batch HTTP/1.1\r\n" + host
		json = "Content-Type: application/json\r\n"
		body = `{"tasks":[]}`
	)
	lines := func(n int) string { return strings.Repeat("X-A: b\r\n", n) }
	target := func(s string) string { return "GET " + s + " HTTP/1.1\r\n" + host + end }
	for _, c := range []struct {
		name, raw string
		status    int
		open      bool
	}{
		{"plain", get + end, 200, kept},
		{"HEAD", strings.Replace(get, "GET", "HEAD", 1) + end, 200, kept},
		{"empty line first", "\r\n" + get + end, 200, kept},
		{"asks to close", get + "Connection: close\r\n" + end, 200, closed},
		{"asks to close in capitals", get + "Connection: Close\r\n" + end, 200, closed},
		{"asks to close in a list", get + "Connection: foo, close\r\n" + end, 200, closed},
		{"HTTP/1.0", "GET /healthz HTTP/1.0\r\n" + host + end, 200, closed},
		{"HTTP/1.0 kept alive", "GET /healthz HTTP/1.0\r\n" + host + "Connection: keep-alive\r\n" + end, 200, kept},

		{"HTTP/2.0", "GET / HTTP/2.0\r\n" + host + end, 505, closed},
		{"HTTP/1.2", "GET / HTTP/1.2\r\n" + host + end, 505, closed},
		{"HTTP/9.9", "GET / HTTP/9.9\r\n" + host + end, 505, closed},
		{"HTTP/0.9 spelled out", "GET / HTTP/0.9\r\n" + host + end, 505, closed},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, closed},
		{"no version", "GET /\r\n" + host + end, 400, closed},
		{"lower case version", "GET / http/1.1\r\n" + host + end, 400, closed},
		{"long version", "GET / HTTP/1.10\r\n" + host + end, 400, closed},
		{"TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, closed},

		{"CONNECT", "CONNECT localhost:80 HTTP/1.1\r\n" + host + end, 501, closed},
		{"CONNECT with user", "CONNECT @evil.test:80 HTTP/1.1\r\n" + host + end, 501, closed},
		{"TRACE", "TRACE / HTTP/1.1\r\n" + host + end, 501, closed},
		{"unknown method", "BREW / HTTP/1.1\r\n" + host + end, 501, closed},
		{"lower case method", "get / HTTP/1.1\r\n" + host + end, 501, closed},
		{"illegal method", "G(T / HTTP/1.1\r\n" + host + end, 400, closed},
		{"no method", " / HTTP/1.1\r\n" + host + end, 400, closed},

		{"star", "GET * HTTP/1.1\r\n" + host + end, 400, closed},
		{"star with OPTIONS", "OPTIONS * HTTP/1.1\r\n" + host + end, 204, kept},
		{"absolute form", target("http://localhost/healthz"), 200, kept},
		{"absolute form, other loopback name", target("http://127.0.0.1:9/healthz"), 200, kept},
		{"absolute form without path", target("http://localhost"), 404, kept},
		{"absolute form of another host", target("http://evil.test/healthz"), 400, closed},
		{"absolute form with user", target("http://localhost@evil.test/healthz"), 400, closed},
		{"absolute form, other scheme", target("ftp://localhost/healthz"), 400, closed},
		{"absolute form without host", target("http:///healthz"), 400, closed},
		{"authority form", target("localhost:80"), 400, closed},
		{"relative", target("healthz"), 400, closed},
		{"fragment", target("/healthz#x"), 400, closed},
		{"backslash", target("/v1/tasks/shannon\\t1"), 400, closed},
		{"bytes beyond ASCII", target("/v1/tasks/shannon/\xc3\xa9"), 400, closed},
		{"DEL", target("/v1/tasks/shannon/\x7f"), 400, closed},
		{"tab in target", target("/v1/tasks/shannon/\t"), 400, closed},
		{"blank in target", target("/v1/tasks/shannon/a b"), 400, closed},
		{"bad escape", target("/v1/tasks/shannon/%zz"), 400, kept},
		{"NUL escaped", target("/v1/tasks/shannon/%00"), 400, kept},
		{"line break escaped", target("/v1/tasks/shannon/a%0d%0aX-A:b"), 400, kept},
		{"dot segments escaped", target("/v1/tasks/shannon/%2e%2e"), 400, kept},
		{"two blanks", "GET  /healthz HTTP/1.1\r\n" + host + end, 400, closed},
		{"scheme in query", target("/v1/tasks/shannon/t1?u=http://evil.test/"), 400, kept},
		{"target too long", target("/" + strings.Repeat("a", 9000)), 414, closed},
		{"target beyond the buffer", target("/" + strings.Repeat("a", 20000)), 414, closed},

		{"no host", line + end, 400, closed},
		{"no host in HTTP/1.0", "GET /healthz HTTP/1.0\r\n" + end, 400, closed},
		{"empty host", line + "Host:\r\n" + end, 400, closed},
		{"two hosts", get + host + end, 400, closed},
		{"two hosts, other case", get + "hOST: localhost\r\n" + end, 400, closed},
		{"host with user", line + "Host: x@localhost\r\n" + end, 400, closed},
		{"host with path", line + "Host: localhost/x\r\n" + end, 400, closed},
		{"host with query", line + "Host: localhost?x\r\n" + end, 400, closed},
		{"host with fragment", line + "Host: localhost#x\r\n" + end, 400, closed},
		{"host with backslash", line + "Host: localhost\\x\r\n" + end, 400, closed},
		{"host with blank", line + "Host: local host\r\n" + end, 400, closed},
		{"host with comma", line + "Host: localhost,evil\r\n" + end, 400, closed},
		{"host with a word as port", line + "Host: localhost:http\r\n" + end, 400, closed},
		{"host with an open bracket", line + "Host: [::1\r\n" + end, 400, closed},
		{"host IPv6", line + "Host: [::1]:80\r\n" + end, 200, kept},
		{"host in 127/8", line + "Host: 127.5.0.1:8080\r\n" + end, 200, kept},
		{"host in capitals", line + "Host: LOCALHOST\r\n" + end, 200, kept},
		{"host rebound", line + "Host: evil.test\r\n" + end, 421, closed},
		{"host that begins like loopback", line + "Host: 127.0.0.1.evil.test\r\n" + end, 421, closed},
		{"host localhost of a domain", line + "Host: localhost.evil.test\r\n" + end, 421, closed},
		{"host as a number", line + "Host: 2130706433\r\n" + end, 421, closed},
		{"host in octal", line + "Host: 127.0.0.01\r\n" + end, 421, closed},
		{"host of an outside address", line + "Host: 10.0.0.1\r\n" + end, 421, closed},

		{"foreign origin may read", get + "Origin: http://evil.test\r\n" + end, 200, kept},
		{"foreign origin deletes", "DELETE /v1/tasks/shannon/t1 HTTP/1.1\r\n" + host + "Origin: http://evil.test\r\n" + end, 403, closed},
		{"null origin deletes", "DELETE /v1/tasks/shannon/t1 HTTP/1.1\r\n" + host + "Origin: null\r\n" + end, 403, closed},
		{"foreign origin posts", post + json + "Origin: http://evil.test\r\nContent-Length: 12\r\n" + end + body, 403, closed},
		{"own origin deletes", "DELETE /v1/tasks/shannon/t1 HTTP/1.1\r\n" + host + "Origin: http://localhost\r\n" + end, 204, kept},
		{"other port deletes", "DELETE /v1/tasks/shannon/t1 HTTP/1.1\r\n" + host + "Origin: http://localhost:3000\r\n" + end, 403, closed},

		{"bare LF after a header", get + "X-A: b\nX-B: c\r\n" + end, 400, closed},
		{"bare LF after the host", line + "Host: localhost\nX-B: c\r\n" + end, 400, closed},
		{"bare LF hides headers", get + "\nX-A: b\r\n" + end, 400, closed},
		{"bare CR in a value", get + "X-A: b\rc\r\n" + end, 400, closed},
		{"folded line", get + "X-A: b\r\n c\r\n" + end, 400, closed},
		{"folded with tab", get + "X-A: b\r\n\tc\r\n" + end, 400, closed},
		{"folded first line", line + " X-A: b\r\n" + host + end, 400, closed},
		{"no colon", get + "X-A\r\n" + end, 400, closed},
		{"no name", get + ": b\r\n" + end, 400, closed},
		{"blank before colon", get + "X-A : b\r\n" + end, 400, closed},
		{"tab before colon", get + "X-A\t: b\r\n" + end, 400, closed},
		{"blank in name", get + "X A: b\r\n" + end, 400, closed},
		{"parenthesis in name", get + "X(A): b\r\n" + end, 400, closed},
		{"byte beyond ASCII in name", get + "X-\xc3\xa9: b\r\n" + end, 400, closed},
		{"NUL in value", get + "X-A: b\x00c\r\n" + end, 400, closed},
		{"control byte in value", get + "X-A: b\x01c\r\n" + end, 400, closed},
		{"DEL in value", get + "X-A: b\x7fc\r\n" + end, 400, closed},
		{"UTF-8 in value", get + "X-A: \xc3\xa9\r\n" + end, 200, kept},
		{"empty value", get + "X-A:\r\n" + end, 200, kept},
		{"blanks around a value", get + "X-A: \t b \t\r\n" + end, 200, kept},
		{"100 lines", get + lines(99) + end, 200, kept},
		{"101 lines", get + lines(100) + end, 431, closed},
		{"headers too large", get + "X-A: " + strings.Repeat("a", 17<<10) + end + end, 431, closed},
		{"large but valid", get + "Authorization: Bearer " + strings.Repeat("a", 12<<10) + end + end, 200, kept},

		{"underscore in framing", get + "Content_Length: 0\r\n" + end, 400, closed},
		{"underscore in identity", get + "X_API_Key: a\r\n" + end, 400, closed},
		{"underscore elsewhere", get + "X_A: b\r\n" + end, 200, kept},
		{"two Authorization", get + "Authorization: a\r\nAuthorization: a\r\n" + end, 400, closed},
		{"two X-API-Key, other case", get + "X-API-Key: a\r\nx-api-key: a\r\n" + end, 400, closed},
		{"two X-Pollux-Key", get + "X-Pollux-Key: a\r\nX-Pollux-Key: a\r\n" + end, 400, closed},
		{"two x-user-id", get + "x-user-id: a\r\nX-User-Id: b\r\n" + end, 400, closed},
		{"two If-None-Match", get + "If-None-Match: \"a\"\r\nIf-None-Match: \"b\"\r\n" + end, 200, kept},
		{"two Prefer", get + "Prefer: wait=1\r\nPrefer: wait=2\r\n" + end, 200, kept},
		{"two Range", get + "Range: bytes=0-1\r\nRange: bytes=0-1\r\n" + end, 400, closed},
		{"two Cookie", get + "Cookie: a=b\r\nCookie: c=d\r\n" + end, 400, closed},
		{"two Content-Type", post + json + json + "Content-Length: 12\r\n" + end + body, 400, closed},
		{"Range is ignored", get + "Range: bytes=0-1\r\n" + end, 200, kept},
		{"Connection names a key", get + "X-API-Key: a\r\nConnection: X-Api-Key\r\n" + end, 400, closed},
		{"Connection names a key in a list", get + "Connection: keep-alive, Authorization\r\n" + end, 400, closed},
		{"Connection names another header", get + "Connection: x-a\r\n" + end, 200, kept},
		{"Upgrade is ignored", get + "Connection: Upgrade\r\nUpgrade: h2c\r\n" + end, 200, kept},

		{"body on GET", get + "Content-Length: 5\r\n" + end + "hello", 400, closed},
		{"body on GET that never comes", get + "Content-Length: 5\r\n" + end, 400, closed},
		{"empty body on GET", get + "Content-Length: 0\r\n" + end, 200, kept},
		{"chunked GET", get + "Transfer-Encoding: chunked\r\n" + end + "0\r\n\r\n", 400, closed},
		{"body on HEAD", strings.Replace(get, "GET", "HEAD", 1) + "Content-Length: 5\r\n" + end + "hello", 400, closed},
		{"body on OPTIONS", strings.Replace(get, "GET", "OPTIONS", 1) + "Content-Length: 5\r\n" + end + "hello", 400, closed},
		{"body on DELETE", strings.Replace(get, "GET", "DELETE", 1) + "Content-Length: 5\r\n" + end + "hello", 400, closed},
		{"body smuggles a request", get + "Content-Length: 38\r\n" + end + "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400, closed},
		{"length and chunked", post + json + "Content-Length: 12\r\nTransfer-Encoding: chunked\r\n" + end + body, 400, closed},
		{"chunked and length", post + json + "Transfer-Encoding: chunked\r\nContent-Length: 12\r\n" + end + body, 400, closed},
		{"two lengths", post + json + "Content-Length: 12\r\nContent-Length: 12\r\n" + end + body, 400, closed},
		{"length list", post + json + "Content-Length: 12, 12\r\n" + end + body, 400, closed},
		{"length with plus", post + json + "Content-Length: +12\r\n" + end + body, 400, closed},
		{"length with minus", post + json + "Content-Length: -1\r\n" + end + body, 400, closed},
		{"length in hex", post + json + "Content-Length: 0xc\r\n" + end + body, 400, closed},
		{"length with zero first", post + json + "Content-Length: 012\r\n" + end + body, 400, closed},
		{"length empty", post + json + "Content-Length:\r\n" + end + body, 400, closed},
		{"length beyond 64 bits", post + json + "Content-Length: 99999999999999999999\r\n" + end + body, 400, closed},
		{"identity coding", post + json + "Transfer-Encoding: identity\r\nContent-Length: 12\r\n" + end + body, 400, closed},
		{"unknown coding", post + json + "Transfer-Encoding: xchunked\r\n" + end + "0\r\n\r\n", 400, closed},
		{"two codings", post + json + "Transfer-Encoding: gzip, chunked\r\n" + end + "0\r\n\r\n", 400, closed},
		{"coding twice", post + json + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" + end + "0\r\n\r\n", 400, closed},
		{"coding with parameter", post + json + "Transfer-Encoding: chunked;x=y\r\n" + end + "0\r\n\r\n", 400, closed},
		{"coding hidden by a tab", post + json + "Transfer-Encoding:\x0bchunked\r\n" + end + "0\r\n\r\n", 400, closed},
		{"chunked in HTTP/1.0", "POST /v1/tasks/batch HTTP/1.0\r\n" + host + json + "Transfer-Encoding: chunked\r\n" + end + "0\r\n\r\n", 400, closed},
		{"chunked batch", post + json + "Transfer-Encoding: chunked\r\n" + end + "c\r\n" + body + "\r\n0\r\n\r\n", 400, closed},
		{"batch", post + json + "Content-Length: 12\r\n" + end + body, 200, kept},
		{"batch with charset", post + "Content-Type: application/json; charset=UTF-8\r\nContent-Length: 12\r\n" + end + body, 200, kept},
		{"batch as form", post + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 12\r\n" + end + body, 415, closed},
		{"batch without type", post + "Content-Length: 12\r\n" + end + body, 415, closed},
		{"batch too large", post + json + "Content-Length: 1048577\r\n" + end, 413, closed},
		{"batch without body", post + json + end, 400, kept},

		{"100-continue", post + json + "Content-Length: 12\r\nExpect: 100-continue\r\n" + end + body, 100, kept},
		{"100-continue for a refused type", post + "Content-Type: text/plain\r\nContent-Length: 12\r\nExpect: 100-continue\r\n" + end, 415, closed},
		{"100-continue for a huge body", post + json + "Content-Length: 99999999\r\nExpect: 100-continue\r\n" + end, 413, closed},
		{"100-continue on GET", get + "Content-Length: 5\r\nExpect: 100-continue\r\n" + end, 400, closed},
		{"100-continue in HTTP/1.0", "POST /v1/tasks/batch HTTP/1.0\r\n" + host + json + "Content-Length: 12\r\nExpect: 100-continue\r\n" + end + body, 417, closed},
		{"unknown expectation", get + "Expect: 200-ok\r\n" + end, 417, closed},

		{"unknown path", target("/nope"), 404, kept},
		{"wrong method", "DELETE /healthz HTTP/1.1\r\n" + host + end, 405, kept},
		{"wrong method with body", "PUT /healthz HTTP/1.1\r\n" + host + "Content-Length: 5\r\n" + end + "hello", 405, closed},
		{"body to an unknown path", "POST /nope HTTP/1.1\r\n" + host + "Content-Length: 5\r\n" + end + "hello", 404, closed},
	} {
		status, open := f.raw(c.raw)
		if c.status == 100 {
			open = c.open // the final answer follows; TestContinue looks at it
		}
		if status != c.status || open != c.open {
			t.Errorf("%s: %.80q\ngot  %d, open %v\nwant %d, open %v", c.name, c.raw, status, open, c.status, c.open)
		}
	}
	if log := f.log.String(); strings.Contains(log, "evil") || strings.Contains(log, "localhost") {
		t.Errorf("the log quotes requests:\n%s", log)
	}
}

// TestChunkSyntax: a chunked body is what RFC 9112, section 7.1, says, or the
// request is answered 400, its connection closed, and the upstream has no body.
func TestChunkSyntax(t *testing.T) {
	f := newFace(t, nil)
	got := make(chan string, 100)
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			got <- string(body)
		}
	})
	const head = "POST /native/shannon/api/v1/other HTTP/1.1\r\nHost: localhost\r\nX-API-Key: k\r\nTransfer-Encoding: chunked\r\n\r\n"
	const hello, end = "5\r\nhello\r\n", "0\r\n\r\n"
	for _, c := range []struct {
		name, body string
		want       string // what the upstream gets; "" with a refusal
	}{
		{"one chunk", hello + end, "hello"},
		{"two", hello + "1\r\n!\r\n" + end, "hello!"},
		{"hexadecimal in either case", "a\r\n0123456789\r\nA\r\n0123456789\r\n" + end, "01234567890123456789"},
		{"leading zeros", "0005\r\nhello\r\n" + "000\r\n\r\n", "hello"},
		{"an extension", "5;a\r\nhello\r\n" + end, "hello"},
		{"with a value", "5;a=b;c=\"d;e\\\"\"\r\nhello\r\n" + end, "hello"},
		{"a trailer", hello + "0\r\nX-A: b\r\n\r\n", "hello"},
		{"an extension without a name", "5;\r\nhello\r\n" + end, ""},
		{"a bracket in one", "5;bad[=x\r\nhello\r\n" + end, ""},
		{"one without a value", "5;a=\r\nhello\r\n" + end, ""},
		{"a quoted value without an end", "5;a=\"b\r\nhello\r\n" + end, ""},
		{"a blank after the size", "5 \r\nhello\r\n" + end, ""},
		{"a tab after the size", "5\t\r\nhello\r\n" + end, ""},
		{"a blank before the size", " 5\r\nhello\r\n" + end, ""},
		{"a sign", "+5\r\nhello\r\n" + end, ""},
		{"a prefix", "0x5\r\nhello\r\n" + end, ""},
		{"no size", "\r\nhello\r\n" + end, ""},
		{"a size of more than 63 bits", "ffffffffffffffff\r\nhello\r\n" + end, ""},
		{"a bare line feed after the size", "5\nhello\r\n" + end, ""},
		{"a carriage return in an extension", "5;a\rb\r\nhello\r\n" + end, ""},
		{"a chunk that is longer", "4\r\nhello\r\n" + end, ""},
		{"a bare line feed after a chunk", "5\r\nhello\n" + end, ""},
		{"an extension of 10 MB", "5;" + strings.Repeat("a", 10<<20) + "\r\nhello\r\n" + end, ""},
		{"a bare line feed at the end", hello + "0\r\n\n", ""},
		{"a bare line feed after the last size", hello + "0\n\r\n", ""},
		{"a folded trailer", hello + "0\r\nX-A: b\r\n c\r\n\r\n", ""},
		{"a blank before a colon", hello + "0\r\nX-A : b\r\n\r\n", ""},
		{"a blank in a name", hello + "0\r\nX A: b\r\n\r\n", ""},
		{"a trailer without a name", hello + "0\r\n: b\r\n\r\n", ""},
		{"a trailer without a colon", hello + "0\r\nX-A\r\n\r\n", ""},
	} {
		status, open := f.rawLenient(head + c.body)
		if c.want == "" {
			if status != 400 || open || len(got) > 0 {
				t.Errorf("%s: got %d, open %v, %d bodies at the upstream; want 400, closed, none", c.name, status, open, len(got))
			}
			continue
		}
		if status != 200 || !open {
			t.Errorf("%s: got %d, open %v; want 200, kept", c.name, status, open)
			continue
		}
		if body := <-got; body != c.want {
			t.Errorf("%s: the upstream got %q, want %q", c.name, body, c.want)
		}
	}
}

// rawLenient is raw for requests that may be refused while they are being sent.
func (f *face) rawLenient(request string) (status int, open bool) {
	f.t.Helper()
	c, err := net.Dial("tcp", f.address)
	must(f.t, err)
	defer c.Close()
	must(f.t, c.SetDeadline(time.Now().Add(8*time.Second)))
	go func() { _, _ = io.WriteString(c, request) }()
	r := bufio.NewReader(c)
	status, closes := readAnswer(f.t, r, request)
	if status == 0 || closes {
		return status, false
	}
	_, err = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	must(f.t, err)
	next, _ := readAnswer(f.t, r, "GET")
	return status, next == 200
}
