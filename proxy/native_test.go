package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
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

// wire is an upstream that records requests as they came and answers each
// with the next answer.
type wire struct {
	ln       net.Listener
	requests chan string
	answers  chan string
}

func newWire(t testing.TB) *wire {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	w := &wire{ln: ln, requests: make(chan string, 100), answers: make(chan string, 100)}
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

func (w *wire) serve(c net.Conn) {
	defer c.Close()
	var seen bytes.Buffer
	req, err := http.ReadRequest(bufio.NewReader(io.TeeReader(c, &seen)))
	if err != nil {
		return
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return
	}
	w.requests <- seen.String()
	io.WriteString(c, <-w.answers)
}

func (w *wire) url() string { return "http://" + w.ln.Addr().String() }

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
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	must(f.t, err)
	body, err := io.ReadAll(res.Body)
	must(f.t, err)
	return res, string(body)
}
