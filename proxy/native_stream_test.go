package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestNativeStream: events and their header reach the client as they are
// written, and the upstream's request ends with the client's.
func TestNativeStream(t *testing.T) {
	f := newFace(t, nil)
	next, left := make(chan string), make(chan struct{})
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for {
			select {
			case event := <-next:
				io.WriteString(w, event)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				close(left)
				return
			}
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+f.address+"/native/shannon/api/v1/stream/sse?workflow_id=a", nil)
	must(t, err)
	res, err := http.DefaultTransport.RoundTrip(req) // returns with the header: no event has been written
	must(t, err)
	defer res.Body.Close()
	r := bufio.NewReader(res.Body)
	for i := range 5 {
		next <- fmt.Sprintf("data: %d\n", i)
		if line, err := r.ReadString('\n'); err != nil || line != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("event %d: %q, %v", i, line, err)
		}
	}
	cancel()
	select {
	case <-left:
	case <-time.After(5 * time.Second):
		t.Error("the upstream's request outlives its client")
	}
}

// TestNativeUpload: the upstream reads the first piece of a body before the
// client has written the second.
func TestNativeUpload(t *testing.T) {
	for _, framing := range []string{"Content-Length: 10", "Transfer-Encoding: chunked"} {
		f := newFace(t, nil)
		pieces := make(chan string)
		f.answer(func(w http.ResponseWriter, r *http.Request) {
			buf := make([]byte, 5)
			for range 2 {
				if _, err := io.ReadFull(r.Body, buf); err != nil {
					t.Errorf("%s: %v", framing, err)
				}
				pieces <- string(buf)
			}
			n, err := r.Body.Read(buf)
			fmt.Fprintf(w, "%d %d %v", r.ContentLength, n, err)
		})
		c, err := net.Dial("tcp", f.address)
		must(t, err)
		chunk := func(s string) string { return s }
		if strings.HasPrefix(framing, "T") {
			chunk = func(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }
		}
		io.WriteString(c, "PUT /native/vessl/files/a HTTP/1.1\r\nHost: localhost\r\n"+framing+"\r\n\r\n"+chunk("first"))
		if got := <-pieces; got != "first" {
			t.Errorf("%s: first piece %q", framing, got)
		}
		io.WriteString(c, chunk("other"))
		if got := <-pieces; got != "other" {
			t.Errorf("%s: second piece %q", framing, got)
		}
		want := "10 0 EOF"
		if strings.HasPrefix(framing, "T") {
			io.WriteString(c, "0\r\nX-Trailer: dropped\r\n\r\n")
			want = "-1 0 EOF"
		}
		r := bufio.NewReader(c)
		for i := range 2 { // the connection is fit for another request
			res, err := http.ReadResponse(r, nil)
			must(t, err)
			body, err := io.ReadAll(res.Body)
			must(t, err)
			if i == 0 {
				if string(body) != want {
					t.Errorf("%s: upstream read %q, want %q", framing, body, want)
				}
				io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
			} else if res.StatusCode != 200 {
				t.Errorf("%s: next request: %d", framing, res.StatusCode)
			}
		}
		c.Close()
	}
}

// TestNativeEarlyAnswer: an upstream that answers before it has read the body
// is heard, and the connection, on which the rest is still to come, is closed.
func TestNativeEarlyAnswer(t *testing.T) {
	f, w := overWire(t, "", nil)
	w.ln.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = http.ReadRequest(bufio.NewReader(c))
		io.WriteString(c, "HTTP/1.1 413 Too Much\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!")
		_, _ = io.Copy(io.Discard, c)
	}()
	f.point("http://"+ln.Addr().String(), nil)
	c, err := net.Dial("tcp", f.address)
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(5*time.Second)))
	io.WriteString(c, "POST /native/vessl/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhello")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(t, err)
	body, err := io.ReadAll(res.Body)
	must(t, err)
	if res.StatusCode != 413 || string(body) != "no!" || !res.Close {
		t.Errorf("%d %q, close %v", res.StatusCode, body, res.Close)
	}
}

// TestNativeClientLeaves: whoever hangs up in the middle of a body or while an
// answer is awaited leaves nothing behind.
func TestNativeClientLeaves(t *testing.T) {
	f := newFace(t, nil)
	left := make(chan error, 2)
	begun := make(chan struct{}, 2)
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		_, err := io.ReadAll(r.Body)
		if err == nil {
			<-r.Context().Done()
			err = r.Context().Err()
		}
		left <- err
	})
	for _, request := range []string{
		"POST /native/vessl/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhello",
		"POST /native/vessl/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
	} {
		c, err := net.Dial("tcp", f.address)
		must(t, err)
		io.WriteString(c, request)
		<-begun
		c.Close()
		select {
		case err := <-left:
			if err == nil {
				t.Error("the upstream read a whole body")
			}
		case <-time.After(5 * time.Second):
			t.Fatal("the upstream's request outlives its client")
		}
	}
}

// TestNativeBroken: an answer that breaks off is not made to look whole.
func TestNativeBroken(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	} {
		f, w := overWire(t, "", nil)
		w.answers <- answer
		c, err := net.Dial("tcp", f.address)
		must(t, err)
		io.WriteString(c, "GET /native/vessl/a HTTP/1.1\r\nHost: localhost\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		must(t, err)
		if body, err := io.ReadAll(res.Body); err == nil || string(body) != "hello" {
			t.Errorf("%q: read %q, %v", answer, body, err)
		}
		c.Close()
	}
}

// TestNativeUnframed: HTTP/1.0 knows no chunks; the body ends with the
// connection.
func TestNativeUnframed(t *testing.T) {
	f, w := overWire(t, "", nil)
	w.answers <- "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
	c, err := net.Dial("tcp", f.address)
	must(t, err)
	defer c.Close()
	io.WriteString(c, "GET /native/vessl/a HTTP/1.0\r\nHost: localhost\r\n\r\n")
	all, err := io.ReadAll(c)
	must(t, err)
	head, body, _ := strings.Cut(string(all), "\r\n\r\n")
	if body != "hello" || strings.Contains(head, "Transfer-Encoding") || !strings.Contains(head, "Connection: close") {
		t.Errorf("%q", all)
	}
}

// TestNativeHead: a HEAD has the length that the upstream says, and no byte
// after its header.
func TestNativeHead(t *testing.T) {
	f, w := overWire(t, "", nil)
	for answer, length := range map[string]int64{
		"HTTP/1.1 200 OK\r\nContent-Length: 77\r\nConnection: close\r\n\r\n":         77,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n": -1,
		"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n":                       -1,
	} {
		w.answers <- answer
		c, err := net.Dial("tcp", f.address)
		must(t, err)
		io.WriteString(c, "HEAD /native/vessl/a HTTP/1.1\r\nHost: localhost\r\n\r\n")
		r := bufio.NewReader(c)
		res, err := http.ReadResponse(r, &http.Request{Method: "HEAD"})
		must(t, err)
		if res.ContentLength > 0 && res.ContentLength != length {
			t.Errorf("%q: length %d", answer, res.ContentLength)
		}
		io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if b, err := r.Peek(4); err != nil || string(b) != "HTTP" {
			t.Errorf("%q: after the header came %q, %v", answer, b, err)
		}
		c.Close()
	}
}

// TestNativeOnce: an upstream that reads a request and hangs up has got it
// once, on new and on used connections, with an idempotency key too.
func TestNativeOnce(t *testing.T) {
	f := newFace(t, nil)
	var seen atomic.Int64
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/ok") {
			return
		}
		_, _ = io.ReadAll(r.Body)
		seen.Add(1)
		panic(http.ErrAbortHandler)
	})
	for _, c := range []struct{ method, body string }{
		{"POST", "{}"}, {"POST", ""}, {"PUT", "{}"}, {"DELETE", ""}, {"GET", ""}, {"OPTIONS", ""}, {"HEAD", ""},
	} {
		f.do("GET", "/native/vessl/ok", "") // leaves a connection to be used again
		seen.Store(0)
		a := f.do(c.method, "/native/vessl/async", c.body, "Idempotency-Key: k", "X-Idempotency-Key: k")
		if a.StatusCode != 502 || seen.Load() != 1 {
			t.Errorf("%s %q: code %d, the upstream saw it %d times", c.method, c.body, a.StatusCode, seen.Load())
		}
	}
}

// TestNativeGigabyte: a long answer takes no memory.
func TestNativeGigabyte(t *testing.T) {
	f := newFace(t, nil)
	const size = 1 << 30
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		buf := make([]byte, 256<<10)
		for range size / len(buf) {
			if _, err := w.Write(buf); err != nil {
				return
			}
		}
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+f.address+"/native/vessl/file", nil)
	must(t, err)
	res, err := http.DefaultTransport.RoundTrip(req)
	must(t, err)
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	must(t, err)
	runtime.ReadMemStats(&after)
	if n != size {
		t.Errorf("read %d bytes", n)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20 {
		t.Errorf("%d MiB were allocated on the way", took>>20)
	}
}

// TestNativeShutdown: an event stream without end does not keep the server from ending.
func TestNativeShutdown(t *testing.T) {
	f := newFace(t, nil)
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	res, err := http.Get("http://" + f.address + "/native/shannon/api/v1/stream/sse")
	must(t, err)
	ended := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, res.Body); res.Body.Close(); close(ended) }()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	must(t, f.server.Shutdown(ctx))
	<-ended
}
