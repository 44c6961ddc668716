package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"pollux/proxy/poller/upstream"
)

const nativeTask = "/native/shannon/api/v1/tasks/t1"

func TestNativePollIsByteForByte(t *testing.T) {
	f := newFace(t, nil)
	odd := "{ \"task_id\":\"t1\",\t\"status\":\"TASK_STATUS_RUNNING\", \"n\":12345678901234567890.50,\"\\u00e9\":\"\\ud83d\\ude00 <&>\",\"n\":1e400}\n\n"
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json; odd=1")
		io.WriteString(w, odd)
	})
	first := f.do("GET", nativeTask, "", "X-API-Key: one")
	if first.body != odd || first.StatusCode != 200 || first.Header.Get("Content-Type") != "application/json; odd=1" {
		t.Errorf("first poll: %d %q %q", first.StatusCode, first.Header.Get("Content-Type"), first.body)
	}
	if got := first.Header.Get("Cache-Status"); got != "pollux; fwd=uri-miss; stored" {
		t.Errorf("Cache-Status %q", got)
	}
	second := f.do("GET", nativeTask, "", "X-API-Key: one")
	if second.body != odd || second.Header.Get("Age") != "0" || !strings.HasPrefix(second.Header.Get("Cache-Status"), "pollux; hit") {
		t.Errorf("second poll: %v %q", second.Header, second.body)
	}
	unified := f.do("GET", "/v1/tasks/shannon/t1", "", "X-API-Key: one")
	if !strings.HasPrefix(unified.Header.Get("Cache-Status"), "pollux; hit") {
		t.Errorf("unified poll of the same task: %v", unified.Header)
	}
	etag := first.Header.Get("ETag")
	if not := f.do("GET", nativeTask, "", "X-API-Key: one", "If-None-Match: "+etag); not.StatusCode != 304 || not.body != "" || not.Header.Get("ETag") != etag {
		t.Errorf("conditional poll: %d %v", not.StatusCode, not.Header)
	}
	if head := f.do("HEAD", nativeTask, "", "X-API-Key: one"); head.StatusCode != 200 || head.ContentLength != int64(len(odd)) {
		t.Errorf("HEAD: %d, length %d", head.StatusCode, head.ContentLength)
	}
	if n := f.polls.Load(); n != 1 {
		t.Errorf("upstream saw %d requests, want 1", n)
	}
	if other := f.do("GET", nativeTask, "", "X-API-Key: two"); !strings.HasPrefix(other.Header.Get("Cache-Status"), "pollux; fwd=uri-miss") {
		t.Errorf("another credential shares an answer: %v", other.Header)
	}
}

// TestNativePollErrors: whatever the upstream says to a poll is its own.
func TestNativePollErrors(t *testing.T) {
	f := newFace(t, nil)
	for i, code := range []int{400, 401, 402, 403, 404, 405, 409, 418, 429, 500, 503, 302} {
		f.answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/odd")
			w.Header().Set("Retry-After", "7")
			w.Header().Set("Location", "/api/v1/tasks/t2")
			w.WriteHeader(code)
			fmt.Fprintf(w, "code %d", code)
		})
		a := f.do("GET", fmt.Sprintf("/native/shannon/api/v1/tasks/t%d", i), "", fmt.Sprintf("X-API-Key: key%d", i))
		want := fmt.Sprintf("code %d", code)
		if a.StatusCode != code || a.body != want || a.Header.Get("Content-Type") != "text/odd" || a.Header.Get("Retry-After") != "7" {
			t.Errorf("code %d: %d %v %q", code, a.StatusCode, a.Header, a.body)
		}
		if got := a.Header.Get("Location"); got != "/native/shannon/api/v1/tasks/t2" {
			t.Errorf("code %d: Location %q", code, got)
		}
		if a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("code %d: Cache-Control %q", code, a.Header.Get("Cache-Control"))
		}
	}
}

// TestNativePollFails: with an answer stored, what the upstream says is still
// the answer, and what is stored is served only when it says nothing.
func TestNativePollFails(t *testing.T) {
	f := newFace(t, nil)
	const key, fresh = "X-API-Key: one", "Cache-Control: no-cache"
	stored := f.do("GET", "/native/held/api/v1/tasks/t1", "").body
	f.do("GET", "/v1/tasks/held/t1", "")
	f.answer(runningShannon)
	running := f.do("GET", nativeTask, "", key).body
	time.Sleep(1100 * time.Millisecond) // the provider's minimum between two polls of a task
	f.answer(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<p>Bad day") })
	a := f.do("GET", nativeTask, "", key, fresh)
	if a.StatusCode != 200 || a.body != "<p>Bad day" || a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("ETag") != "" {
		t.Errorf("an unusable answer: %d %v %q", a.StatusCode, a.Header, a.body)
	}
	if got := a.Header.Get("Cache-Status"); got != "pollux; fwd=request; fwd-status=200" {
		t.Errorf("an unusable answer: Cache-Status %q", got)
	}
	f.answer(func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	a = f.do("GET", nativeTask, "", key, fresh)
	if a.StatusCode != 200 || a.body != "<p>Bad day" || a.Header.Get("Cache-Status") != "pollux; detail=held" || a.Header.Get("Retry-After") != "1" || a.Header.Get("ETag") != "" {
		t.Errorf("asked again at once: %d %v %q", a.StatusCode, a.Header, a.body)
	}
	time.Sleep(1100 * time.Millisecond)
	a = f.do("GET", nativeTask, "", key, fresh)
	if a.StatusCode != 200 || a.body != running || !strings.HasSuffix(a.Header.Get("Cache-Status"), "detail=stale-if-error") || a.Header.Get("Age") == "0" {
		t.Errorf("no answer: %d %v %q", a.StatusCode, a.Header, a.body)
	}
	if a := f.do("GET", "/native/held/api/v1/tasks/t1", ""); a.body != stored || !strings.HasPrefix(a.Header.Get("Cache-Status"), "pollux; hit") {
		t.Errorf("another partition: %v %q", a.Header, a.body)
	}
}

func TestNativePollUnreachable(t *testing.T) {
	f := newFace(t, nil)
	f.answer(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(304) })
	if a := f.do("GET", nativeTask, "", "X-API-Key: one"); a.StatusCode != 502 || !strings.Contains(a.body, "upstream-error") {
		t.Errorf("a 304 that nobody asked for: %d %s", a.StatusCode, a.body)
	}
	f.answer(func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	if a := f.do("GET", nativeTask, "", "X-API-Key: one"); a.StatusCode != 502 || !strings.Contains(a.body, "upstream-error") {
		t.Errorf("a broken connection: %d %s", a.StatusCode, a.body)
	}
}

// TestNativeBypass: what could change the answer makes a request of its own.
func TestNativeBypass(t *testing.T) {
	f := newFace(t, nil)
	for _, c := range []struct {
		query, header string
		fwd           string
	}{
		{"", "Accept-Language: de", "uri-miss"},
		{"", "Cookie: a=b", "bypass"},
		{"", "Range: bytes=0-3", "bypass"},
		{"?x=1", "", "bypass"},
		{"?task_id=1", "", "bypass"},
	} {
		path := fmt.Sprintf("/native/shannon/api/v1/tasks/%x%s", c.header+c.query, c.query)
		headers := []string{"X-API-Key: one"}
		if c.header != "" {
			headers = append(headers, c.header)
		}
		a := f.do("GET", path, "", headers...)
		if got := a.Header.Get("Cache-Status"); !strings.HasPrefix(got, "pollux; fwd="+c.fwd) {
			t.Errorf("%s %s: Cache-Status %q, want fwd=%s", c.query, c.header, got, c.fwd)
		}
	}
}

// tap is an upstream that records requests as they came and answers each
// with the next answer.
type tap struct {
	ln       net.Listener
	requests chan string
	answers  chan string
}

func newTap(t testing.TB) *tap {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	w := &tap{ln: ln, requests: make(chan string, 100), answers: make(chan string, 100)}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go w.serve(c)
		}
	}()
	return w
}

func (w *tap) serve(c net.Conn) {
	defer c.Close()
	var seen bytes.Buffer
	req, err := http.ReadRequest(bufio.NewReader(io.TeeReader(c, &seen)))
	if err == nil {
		_, err = io.Copy(io.Discard, req.Body)
	}
	if err != nil && !strings.HasSuffix(seen.String(), "\r\n\r\n") { // odd targets are shown all the same
		return
	}
	w.requests <- seen.String()
	io.WriteString(c, <-w.answers)
}

func (w *tap) url() string { return "http://" + w.ln.Addr().String() }

const emptyAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

// send writes a raw request and returns the answer and its body.
func (f *face) send(request string) (*http.Response, string) {
	f.t.Helper()
	c, err := net.Dial("tcp", f.address)
	must(f.t, err)
	defer c.Close()
	must(f.t, c.SetDeadline(time.Now().Add(8*time.Second)))
	_, err = io.WriteString(c, request)
	must(f.t, err)
	method, _, _ := strings.Cut(request, " ")
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	if err == nil && res.StatusCode == 100 {
		res, err = http.ReadResponse(r, &http.Request{Method: method})
	}
	must(f.t, err)
	body, err := io.ReadAll(res.Body)
	must(f.t, err)
	return res, string(body)
}

// point makes every upstream's base URL base.
func (f *face) point(base string, change func(*Config)) {
	f.t.Helper()
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	f.replace(upstreams(base), cfg)
}

// overWire starts a face before an upstream that shows requests as they came.
func overWire(t testing.TB, path string, change func(*Config)) (*face, *tap) {
	t.Helper()
	w := newTap(t)
	f := newFace(t, change)
	f.point(w.url()+path, change)
	return f, w
}

// TestNativeTargets: the upstream sees the very bytes that the client sent
// after the upstream's name, or nothing.
func TestNativeTargets(t *testing.T) {
	for _, base := range []string{"", "/", "/base%2Fpath/v1", "/v1/"} {
		f, w := overWire(t, base, nil)
		prefix := strings.TrimSuffix(base, "/")
		for _, target := range []string{
			"/", "/a", "/a/", "/a//b", "/a%2Fb", "/a%2fb", "/a%252Fb", "/my%20agent%2Fx", "/%61", "/a;v=1", "/a:b@c", "/a,b!c$d&e'f(g)h*i+j=k",
			"/a?", "/a?x=a%20b", "/a?x=a+b", "/a?u=http://x/y?z", "/a?x=1&x=2&&y", "/a?x=%00%2e%2e", "/a%3Fadmin=1", "/a%23b", "/%E2%82%AC",
			"/a|b", "/a\"b", "/a<b>", "/a^`{}", "/a%", "/a%zz", "/a%4", "/...", "/.a/..b/c.", "/a/x.css", "/a%C0%80",
		} {
			w.answers <- emptyAnswer
			res, _ := f.send("GET /native/vessl" + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
			if res.StatusCode != 200 {
				t.Errorf("base %q, %s: code %d", base, target, res.StatusCode)
				<-w.answers
				continue
			}
			line, _, _ := strings.Cut(<-w.requests, "\r\n")
			if want := "GET " + prefix + target + " HTTP/1.1"; line != want {
				t.Errorf("base %q: upstream saw %q, want %q", base, line, want)
			}
		}
		for _, target := range []string{
			"/..", "/.", "/a/../b", "/a/./b", "/a/..", "/%2e%2e/a", "/%2E/a", "/.%2e", "/a%2F..%2Fb", "/a%5cb", "/a\\b", "/a%00", "/a%0d%0aX:y",
			"/..;/a", "/..;x=1/a", "/%2e%2e%3bx/a", "/a%7f", "/a#b",
		} {
			if res, _ := f.send("GET /native/vessl" + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n"); res.StatusCode != 400 {
				t.Errorf("base %q, %s: code %d, want 400", base, target, res.StatusCode)
			}
		}
		if n := len(w.requests); n != 0 {
			t.Errorf("base %q: upstream saw %d requests more: %q", base, n, <-w.requests)
		}
	}
}

func TestNativeTargetOfTwoSlashes(t *testing.T) {
	f, w := overWire(t, "", nil)
	w.answers <- emptyAnswer
	f.send("GET /native/vessl//evil.test/a%2Fb?x HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if line, _, _ := strings.Cut(<-w.requests, "\r\n"); line != "GET //evil.test/a%2Fb?x HTTP/1.1" {
		t.Errorf("upstream saw %q", line)
	}
	if res, _ := f.send("GET /native/vessl//a|b HTTP/1.1\r\nHost: localhost\r\n\r\n"); res.StatusCode != 400 {
		t.Errorf("what a URL has to escape after two slashes: code %d", res.StatusCode)
	}
	w.answers <- emptyAnswer
	f.send("GET /native/vessl HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if line, _, _ := strings.Cut(<-w.requests, "\r\n"); line != "GET / HTTP/1.1" {
		t.Errorf("the base URL itself: upstream saw %q", line)
	}
}

// TestNativeHeaders: what is about the client's connection, or for Pollux,
// stays here; the rest passes, order of equal names and odd values included.
func TestNativeHeaders(t *testing.T) {
	f, w := overWire(t, "", nil)
	w.answers <- "HTTP/1.1 203 Odd Reason\r\nContent-Type: a/b\r\nConnection: keep-alive, X-Drop\r\nX-Drop: 1\r\nKeep-Alive: 1\r\nUpgrade: h2c\r\n" +
		"Proxy-Authenticate: x\r\nDate: Mon, 02 Mar 2020 03:04:05 GMT\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: a=2\r\nServer: odd/1\r\nX-RateLimit-Remaining: 7\r\nX-High: \xc3\xa9\r\n" +
		"Location: /v1/x?y\r\nLink: </v1/s?a=1>; rel=stream; title=\"<no>\", <https://other.test/>; rel=next\r\nCache-Control: no-cache\r\nAge: 3\r\nContent-Length: 2\r\n\r\nok"
	res, body := f.send("PATCH /native/vessl/v1/x HTTP/1.1\r\nHost: localhost:1\r\nAuthorization: Bearer one\r\nX-Pollux-Key: secret\r\n" +
		"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nTrailer: X-T\r\nUpgrade: websocket\r\nProxy-Authorization: p\r\n" +
		"Accept: a/b\r\naccept: c/d\r\nAccept-Encoding: br, zstd\r\nX-Forwarded-For: 1.2.3.4\r\nVia: 1.0 before\r\nX-Empty:\r\nX-High: \xc3\xa9\r\n" +
		"Content-Type: text/x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody")
	seen := <-w.requests
	head, sent, _ := strings.Cut(seen, "\r\n\r\n")
	if sent != "body" {
		t.Errorf("body %q", sent)
	}
	got := map[string]bool{}
	for line := range strings.SplitSeq(head, "\r\n") {
		got[line] = true
	}
	for _, line := range []string{
		"PATCH /v1/x HTTP/1.1", "Host: " + strings.TrimPrefix(w.url(), "http://"), "Authorization: Bearer one", "Accept: a/b", "Accept: c/d",
		"Accept-Encoding: br, zstd", "X-Forwarded-For: 1.2.3.4", "Via: 1.0 before, 1.1 " + upstream.Hop(), "X-Empty: ", "X-High: \xc3\xa9",
		"Content-Type: text/x", "Content-Length: 4",
	} {
		if !got[line] {
			t.Errorf("upstream did not see %q", line)
		}
		delete(got, line)
	}
	if len(got) > 0 {
		t.Errorf("upstream also saw %v", got)
	}
	if body != "ok" || res.StatusCode != 203 || res.Status != "203 Odd Reason" {
		t.Errorf("answer: %s %q", res.Status, body)
	}
	want := http.Header{
		"Content-Type": {"a/b"}, "Set-Cookie": {"a=1; Path=/", "a=2"}, "Server": {"odd/1"}, "X-Ratelimit-Remaining": {"7"}, "X-High": {"\xc3\xa9"},
		"Location": {"/native/vessl/v1/x?y"}, "Link": {`</native/vessl/v1/s?a=1>; rel=stream; title="<no>", <https://other.test/>; rel=next`},
		"Cache-Control": {"no-cache"}, "Age": {"3"}, "Content-Length": {"2"}, "Cache-Status": {"pollux; fwd=bypass"},
		"Date": {"Mon, 02 Mar 2020 03:04:05 GMT"},
	}
	if !reflect.DeepEqual(res.Header, want) {
		t.Errorf("answer's header:\n\t%v, want\n\t%v", res.Header, want)
	}
}

func TestNativeHeldCredential(t *testing.T) {
	f, w := overWire(t, "", withClients)
	for _, header := range []string{"X-API-Key: key-all", "Authorization: Bearer key-all", "X-Pollux-Key: key-all"} {
		w.answers <- emptyAnswer
		res, _ := f.send("POST /native/held/api/v1/tasks?a=1 HTTP/1.1\r\nHost: localhost\r\n" + header + "\r\nx-user-id: me\r\nContent-Length: 0\r\n\r\n")
		if res.StatusCode != 200 {
			t.Errorf("%s: code %d", header, res.StatusCode)
			<-w.answers
			continue
		}
		seen := <-w.requests
		if strings.Contains(seen, "key-all") || strings.Contains(strings.ToLower(seen), "x-user-id") || !strings.Contains(seen, "X-Api-Key: held-secret\r\n") {
			t.Errorf("%s: upstream saw %q", header, seen)
		}
		if !strings.Contains(seen, "Content-Length: 0\r\n") {
			t.Errorf("%s: no length: %q", header, seen)
		}
	}
	for path, code := range map[string]int{
		"GET /native/held/api/v1/tasks": 403, "POST /native/held/api/v1/tasks": 403, "GET /native/shannon/api/v1/tasks/a": 403,
	} {
		res, _ := f.send(path + " HTTP/1.1\r\nHost: localhost\r\nX-Pollux-Key: key-reader\r\nX-API-Key: u\r\n\r\n")
		if res.StatusCode != code {
			t.Errorf("%s with a reading key: code %d, want %d", path, res.StatusCode, code)
		}
	}
	if res, _ := f.send("GET /native/held/api/v1/tasks HTTP/1.1\r\nHost: localhost\r\n\r\n"); res.StatusCode != 401 {
		t.Errorf("without a key: code %d", res.StatusCode)
	}
	if log := f.log.String(); strings.Contains(log, "key-all") || strings.Contains(log, "held-secret") {
		t.Error("a key is in the log")
	}
}

// TestUnreadableAnswer: what is no answer in HTTP's own terms is none to any
// kind of request.
func TestUnreadableAnswer(t *testing.T) {
	f, w := newFace(t, nil), newTap(t)
	f.pointUnbroken(w.url())
	const ok = "Content-Type: application/json\r\nContent-Length: 20\r\n\r\n" + `{"status":"pending"}`
	for n, answer := range []string{
		"HTTP/1.1 200 OK\r\nX-Ctl: a\x01b\r\n" + ok, "HTTP/1.1 200 OK\r\nX-Ctl: a\x00b\r\n" + ok,
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n" + ok, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
		"HTTP/1.1 099 Odd\r\n" + ok, "HTTP/1.1 600 Odd\r\n" + ok, "HTTP/1.1 999 Odd\r\n" + ok, "HTTP/9.9 200 OK\r\n" + ok, "HTTP/2.0 200 OK\r\n" + ok,
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n" + `{"status":"pending"}` + "\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14;\r\n" + `{"status":"pending"}` + "\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n" + `{"status":"pending"}` + "\r\n0\r\n\n",
		"HTTP/1.1 100 Continue\r\n\r\n", "nonsense\r\n\r\n", "",
	} {
		id := fmt.Sprintf("job%d", n)
		for kind, target := range map[string]string{
			"unified": "GET /v1/tasks/vessl/" + id, "native poll": "GET /native/vessl/async/" + id + "n/output",
			"forwarded": "GET /native/vessl/files/" + id, "create": "POST /native/vessl/async",
		} {
			w.answers <- answer
			res, body := f.send(target + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer one-" + id + "\r\nContent-Length: 0\r\n\r\n")
			<-w.requests
			if res.StatusCode != 502 || !strings.Contains(body, "/problems/upstream-error") {
				t.Errorf("%s, %q: code %d, %s", kind, answer, res.StatusCode, body)
			}
		}
	}
}

// TestAnswerAboutAnotherTask is a 502 through either face, and nothing of it is kept.
func TestAnswerAboutAnotherTask(t *testing.T) {
	f := newFace(t, nil)
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, completedBody, "task-other", "task-other")
	})
	for _, path := range []string{"/native/shannon/api/v1/tasks/task-mine", "/v1/tasks/shannon/task-mine"} {
		if a := f.do("GET", path, "", "X-API-Key: one"); a.StatusCode != 502 || strings.Contains(a.body, "task-other") || !strings.Contains(a.body, "/problems/upstream-error") {
			t.Errorf("%s: code %d: %s", path, a.StatusCode, a.body)
		}
	}
	if a := f.do("GET", "/v1/tasks/shannon/task-mine", "", "X-API-Key: one", "Cache-Control: only-if-cached"); a.StatusCode != 504 {
		t.Errorf("only-if-cached afterwards: code %d: %s", a.StatusCode, a.body)
	}
}

func TestNativeRefusals(t *testing.T) {
	f := newFace(t, nil)
	for request, code := range map[string]int{
		"GET /native/nope/a HTTP/1.1\r\nHost: localhost\r\n\r\n":                                                               404,
		"GET /native/vessl/a HTTP/1.1\r\nHost: localhost\r\nVia: 1.1 a, 1.1 " + upstream.Hop() + "\r\n\r\n":                    508,
		"GET /native/vessl/a HTTP/1.1\r\nHost: localhost\r\nVia: 1.1 a\r\nVia: 1.1 " + upstream.Hop() + "\r\n\r\n":             508,
		"GET /native/vessl/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx":                                        400,
		"GET /native/vessl/a HTTP/1.1\r\nHost: localhost\r\nConnection: Authorization\r\nAuthorization: Bearer x\r\n\r\n":      400,
		"POST /native/vessl/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 400,
		"POST /native/vessl/a HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.test\r\nContent-Length: 0\r\n\r\n":            403,
		"GET /native/ HTTP/1.1\r\nHost: localhost\r\n\r\n":                                                                     404,
		"TRACE /native/vessl/a HTTP/1.1\r\nHost: localhost\r\n\r\n":                                                            501,
	} {
		if res, _ := f.send(request); res.StatusCode != code {
			t.Errorf("%q: code %d, want %d", request, res.StatusCode, code)
		}
	}
	if n := f.polls.Load(); n != 0 {
		t.Errorf("the upstream saw %d requests", n)
	}
}

// TestNativeLoop: an upstream whose base URL leads back here is found out
// after one hop.
func TestNativeLoop(t *testing.T) {
	f := newFace(t, nil)
	f.point("http://"+f.address+"/native/vessl", nil)
	if a := f.do("POST", "/native/vessl/a", "{}"); a.StatusCode != 508 {
		t.Errorf("code %d: %s", a.StatusCode, a.body)
	}
}
