package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// upload is a body that comes piece by piece, each when next is received from,
// and ends in err.
type upload struct {
	next chan string
	err  error
}

func (u *upload) Read(p []byte) (int, error) {
	piece, more := <-u.next
	if !more {
		return 0, u.err
	}
	return copy(p, piece), nil
}

func (u *upload) Close() error { return nil }

func (b *bench) post(body io.ReadCloser, length int64) *http.Request {
	req := b.request("POST", "/", "")
	req.Body, req.ContentLength = body, length
	return req
}

// TestAnswerBeforeTheBody: an upstream need not take a body to its end to refuse
// it, and its connection serves nobody afterwards.
func TestAnswerBeforeTheBody(t *testing.T) {
	for n := range 4 {
		secure, ends := n%2 > 0, n/2 > 0
		b, s := scripted(t, secure, func(c net.Conn, request func() bool) {
			if request() {
				io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\ntoo")
				io.Copy(io.Discard, c)
			}
		})
		body := &upload{next: make(chan string, 1), err: io.ErrUnexpectedEOF}
		body.next <- strings.Repeat("x", 8<<10) // more than is held back
		res, err := b.RoundTrip(alice, b.post(body, 1<<20))
		must(t, err)
		if said, err := io.ReadAll(res.Body); res.StatusCode != 413 || string(said) != "too" || err != nil {
			t.Errorf("%d %q, %v", res.StatusCode, said, err)
		}
		if ends {
			close(body.next)
		}
		res.Body.Close()
		if open, _ := b.Open(); open != 0 {
			t.Errorf("TLS %v: the connection was kept, the body's end came first: %v", secure, ends)
		}
		if !ends {
			close(body.next)
		}
		if n := s.requests.Load(); n != 1 {
			t.Errorf("the upstream saw %d requests", n)
		}
	}
}

// TestBodyThatComesSlowly: its pieces are passed on as they come, and the patience
// for an answer begins with the end of the request.
func TestBodyThatComesSlowly(t *testing.T) {
	for _, length := range []int64{-1, 13} {
		came := make(chan string)
		b := serve(t, "plain", 100, func(w http.ResponseWriter, r *http.Request) {
			piece := make([]byte, 100)
			for n, err := 0, error(nil); err == nil; came <- string(piece[:n]) {
				n, err = r.Body.Read(piece)
			}
			close(came)
			io.WriteString(w, "all")
		})
		b.cfg.Patience = 200 * time.Millisecond
		body := &upload{next: make(chan string), err: io.EOF}
		go func() {
			whole := ""
			for _, piece := range []string{"one ", "two ", "three"} {
				time.Sleep(b.cfg.Patience)
				body.next <- piece
				for whole += piece; whole != ""; {
					whole = strings.TrimPrefix(whole, <-came)
				}
			}
			close(body.next)
			for range came {
			}
		}()
		res, err := b.RoundTrip(alice, b.post(body, length))
		must(t, err)
		if said, err := io.ReadAll(res.Body); string(said) != "all" || err != nil {
			t.Errorf("%q, %v", said, err)
		}
		res.Body.Close()
		if open, idle := b.Open(); open != 1 || idle != 1 {
			t.Errorf("%d connections open, %d idle, want the one", open, idle)
		}
	}
}

func TestBodyThatFails(t *testing.T) {
	b := serve(t, "plain", 100, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	body := &upload{next: make(chan string), err: errors.New("the client left")}
	close(body.next)
	if _, err := b.RoundTrip(alice, b.post(body, 10)); err == nil {
		t.Error("no error")
	}
	if open, _ := b.Open(); open != 0 {
		t.Error("the connection was kept")
	}
}

func TestPatience(t *testing.T) {
	b, _ := scripted(t, false, func(c net.Conn, request func() bool) {
		if request() {
			io.Copy(io.Discard, c)
		}
	})
	b.cfg.Patience = 20 * time.Millisecond
	_, err := b.ask(alice, "GET", "/", "")
	if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
		t.Errorf("%v, want a timeout", err)
	}
}

// TestCallerLeaves: before an answer, and within it.
func TestCallerLeaves(t *testing.T) {
	for _, begun := range []string{"", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"} {
		b, _ := scripted(t, false, func(c net.Conn, request func() bool) {
			if request() {
				io.WriteString(c, begun)
				io.Copy(io.Discard, c)
			}
		})
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		res, err := b.RoundTrip(alice, b.request("GET", "/", "").WithContext(ctx))
		if begun == "" != (err != nil) || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%q: %v", begun, err)
		}
		if err == nil {
			if said, err := io.ReadAll(res.Body); string(said) != "half" || err == nil {
				t.Errorf("%q, %v", said, err)
			}
			res.Body.Close()
		}
		if open, _ := b.Open(); open != 0 {
			t.Errorf("%q: the connection was kept", begun)
		}
	}
}

// TestUnaskedWithinTLS: what came in one record with an answer, and was not read
// with it, is not on the wire any more, and nobody's all the same.
func TestUnaskedWithinTLS(t *testing.T) {
	whole := said(strings.Repeat("x", 4<<10))
	whole = said(strings.Repeat("x", 4<<10-(len(whole)-4<<10))) // all that one Read takes
	var first atomic.Bool
	b, s := scripted(t, true, func(c net.Conn, request func() bool) {
		for request() {
			if first.CompareAndSwap(false, true) {
				io.WriteString(c, whole+said("wrong"))
			} else {
				io.WriteString(c, said("right"))
			}
		}
	})
	if got, err := b.ask(alice, "GET", "/", ""); err != nil || len(got) < 3<<10 {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	time.Sleep(5 * readAfter)
	b.want(alice, "GET", "/", "right")
	if n := s.accepts.Load(); n != 2 {
		t.Errorf("%d connections, want a second one", n)
	}
}

// TestNotSendable: what would be another request than it says is not sent.
func TestNotSendable(t *testing.T) {
	b := serve(t, "plain", 100, func(http.ResponseWriter, *http.Request) { t.Error("the upstream was asked") })
	for name, spoil := range map[string]func(*http.Request){
		"method": func(r *http.Request) { r.Method = "GET /x HTTP/1.1\r\nA:" },
		"name":   func(r *http.Request) { r.Header["X\r\nY"] = []string{"z"} },
		"value":  func(r *http.Request) { r.Header["X"] = []string{"y\r\nZ: z"} },
	} {
		req := b.request("GET", "/", "")
		spoil(req)
		if _, err := b.RoundTrip(alice, req); err == nil {
			t.Errorf("%s: it was sent", name)
		}
	}
}
