package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pollux/cache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var alice, bob = &cache.ID{1}, &cache.ID{2}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bench is an upstream and connections to it.
type bench struct {
	*Connections
	t       testing.TB
	base    string
	accepts atomic.Int64 // connections that the upstream has seen
	unasked atomic.Int64
}

var protocols = map[string]struct{ tls, http2 bool }{"plain": {}, "TLS": {tls: true}, "HTTP/2": {tls: true, http2: true}}

// serve starts an upstream that speaks the named protocol.
func serve(t testing.TB, protocol string, maxIdle int, h http.HandlerFunc) *bench {
	t.Helper()
	b := &bench{t: t}
	s := httptest.NewUnstartedServer(h)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			b.accepts.Add(1)
		}
	}
	cfg := Config{MaxIdle: maxIdle}
	if p := protocols[protocol]; p.tls {
		s.EnableHTTP2 = p.http2
		s.StartTLS()
		cfg.Roots = x509.NewCertPool()
		cfg.Roots.AddCert(s.Certificate())
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	b.to(s.URL, cfg)
	return b
}

// to makes b's connections lead to base.
func (b *bench) to(base string, cfg Config) {
	b.t.Helper()
	u, err := url.Parse(base)
	must(b.t, err)
	cfg.Base, cfg.DialTimeout, cfg.Patience = u, 10*time.Second, time.Minute
	cfg.Unasked = func() { b.unasked.Add(1) }
	b.base, b.Connections = base, New(cfg)
	b.t.Cleanup(b.Close)
}

func (b *bench) request(method, path, body string) *http.Request {
	b.t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, b.base+path, r)
	must(b.t, err)
	return req
}

// ask sends a request and returns the answer's body.
func (b *bench) ask(owner *cache.ID, method, path, body string) (string, error) {
	b.t.Helper()
	res, err := b.RoundTrip(owner, b.request(method, path, body))
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	said, err := io.ReadAll(res.Body)
	return string(said), err
}

func (b *bench) want(owner *cache.ID, method, path, want string) {
	b.t.Helper()
	if got, err := b.ask(owner, method, path, ""); err != nil || got != want {
		b.t.Errorf("%s %s: %q, %v, want %q", method, path, got, err, want)
	}
}

// remote answers with the address that a request came from: it tells
// connections apart.
func remote(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) }

func (b *bench) remote(owner *cache.ID, method string) string {
	b.t.Helper()
	said, err := b.ask(owner, method, "/", "")
	must(b.t, err)
	return said
}

func TestPartitionsHaveTheirOwnConnections(t *testing.T) {
	t.Parallel()
	for name := range protocols {
		t.Run(name, func(t *testing.T) {
			b := serve(t, name, 100, remote)
			a1 := b.remote(alice, "GET")
			time.Sleep(5 * readAfter)
			b1 := b.remote(bob, "GET")
			time.Sleep(5 * readAfter)
			a2, nobody := b.remote(alice, "GET"), b.remote(nil, "GET")
			if a1 != a2 {
				t.Errorf("a connection that has been silent was not used again: %s, then %s", a1, a2)
			}
			if a1 == b1 || nobody == a1 || nobody == b1 {
				t.Errorf("partitions share a connection: %s %s %s", a1, b1, nobody)
			}
			if open, idle := b.Open(); open != 2 || idle != 2 {
				t.Errorf("%d connections open, %d idle, want 2: nobody's is not kept", open, idle)
			}
		})
	}
}

// TestConnectionsRest: what has just answered may be about to say more.
func TestConnectionsRest(t *testing.T) {
	t.Parallel()
	b := serve(t, "plain", 100, remote)
	first, since := b.remote(alice, "GET"), time.Now()
	if again := b.remote(alice, "GET"); again == first && time.Since(since) < readAfter {
		t.Error("it was used again at once")
	}
	time.Sleep(5 * readAfter)
	if b.remote(alice, "POST") == first {
		t.Error("a write took a connection that had just been used")
	}
}

func TestWritesTakeALongIdleConnection(t *testing.T) {
	t.Parallel()
	b := serve(t, "plain", 100, remote)
	first := b.remote(alice, "POST")
	time.Sleep(writeAfter + 5*readAfter)
	if b.remote(alice, "POST") != first {
		t.Error("a connection that was idle for long was not used again")
	}
}

func TestHTTP2SharesAConnectionWithinAPartition(t *testing.T) {
	b := serve(t, "HTTP/2", 100, remote)
	b.remote(alice, "GET") // from here on the upstream is known to speak HTTP/2
	seen := map[string]bool{}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for range 50 {
		for _, owner := range []*cache.ID{alice, bob} {
			asking.Go(func() {
				from := b.remote(owner, "POST")
				mu.Lock()
				seen[from] = true
				mu.Unlock()
			})
		}
	}
	asking.Wait()
	if len(seen) != 2 {
		t.Errorf("100 requests of 2 partitions at once came on %d connections", len(seen))
	}
}

func TestIdleConnectionsAreBoundedAndEnd(t *testing.T) {
	t.Parallel()
	b := serve(t, "plain", 10, remote)
	for i := range 25 {
		b.remote(&cache.ID{byte(i)}, "GET")
	}
	if open, idle := b.Open(); open != 10 || idle != 10 {
		t.Errorf("%d connections open, %d idle, want the 10 allowed", open, idle)
	}
	before := b.accepts.Load()
	time.Sleep(5 * readAfter)
	b.remote(&cache.ID{24}, "GET")
	if b.accepts.Load() != before {
		t.Error("the connection used last was not kept")
	}
	deadline := time.Now().Add(10 * idleFor)
	for open, _ := b.Open(); open > 0; open, _ = b.Open() {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are still open", open)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestDiscardedConnectionIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	for name := range protocols {
		t.Run(name, func(t *testing.T) {
			b := serve(t, name, 100, remote)
			res, err := b.RoundTrip(alice, b.request("GET", "/", ""))
			must(t, err)
			first, err := io.ReadAll(res.Body)
			must(t, err)
			res.Body.(*Body).Discard()
			time.Sleep(5 * readAfter)
			if b.remote(alice, "GET") == string(first) {
				t.Error("it was used again")
			}
		})
	}
}

func TestHalfReadAnswerIsNotKept(t *testing.T) {
	b := serve(t, "plain", 100, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, strings.Repeat("x", 1<<20)) })
	res, err := b.RoundTrip(alice, b.request("GET", "/", ""))
	must(t, err)
	_, err = io.ReadFull(res.Body, make([]byte, 1000))
	must(t, err)
	res.Body.Close()
	if open, _ := b.Open(); open != 0 {
		t.Error("the connection was kept")
	}
}

func TestCloseEndsWhatIsIdleAndLetsTheRestFinish(t *testing.T) {
	release := make(chan struct{})
	b := serve(t, "plain", 100, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		}
		io.WriteString(w, "said")
	})
	b.want(alice, "GET", "/", "said")
	slow := make(chan error)
	go func() {
		said, err := b.ask(bob, "GET", "/slow", "")
		if err == nil && said != "said" {
			err = errors.New(said)
		}
		slow <- err
	}()
	for b.accepts.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	b.Close()
	close(release)
	if err := <-slow; err != nil {
		t.Errorf("the request under way: %v", err)
	}
	if open, idle := b.Open(); open != 0 || idle != 0 {
		t.Errorf("%d connections open, %d idle after Close", open, idle)
	}
}

func TestCallerWhoLeavesWhileDialing(t *testing.T) {
	b, s := scripted(t, false, func(c net.Conn, _ func() bool) { io.Copy(io.Discard, c) })
	b.to("https://"+s.ln.Addr().String(), Config{MaxIdle: 1}) // the handshake is never answered
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := b.RoundTrip(alice, b.request("GET", "/", "").WithContext(ctx)); err == nil {
		t.Error("no error")
	}
	if len(b.dialing) != 0 || len(b.open) != 0 {
		t.Error("something is left of it")
	}
}

// script is a raw upstream: on each connection it answers the n-th request
// with what it is told to write, after the request was read.
type script struct {
	ln       net.Listener
	accepts  atomic.Int64
	requests atomic.Int64
}

func scripted(t testing.TB, secure bool, serve func(c net.Conn, request func() bool)) (*bench, *script) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &script{ln: ln}
	cfg, scheme := Config{MaxIdle: 100}, "http"
	if secure {
		own := httptest.NewTLSServer(nil)
		defer own.Close()
		cfg.Roots = x509.NewCertPool()
		cfg.Roots.AddCert(own.Certificate())
		ln = tls.NewListener(ln, &tls.Config{Certificates: own.TLS.Certificates, DynamicRecordSizingDisabled: true}) // what is written at once is one record
		scheme = "https"
	}
	var serving sync.WaitGroup
	t.Cleanup(func() { ln.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.accepts.Add(1)
			serving.Go(func() {
				defer c.Close()
				serve(c, func() bool { return s.read(c) })
			})
		}
	})
	b := &bench{t: t}
	b.to(scheme+"://"+s.ln.Addr().String(), cfg)
	return b, s
}

// read takes one request without a body.
func (s *script) read(c net.Conn) bool {
	head := make([]byte, 0, 512)
	for one := make([]byte, 1); !strings.HasSuffix(string(head), "\r\n\r\n"); head = append(head, one...) {
		if _, err := io.ReadFull(c, one); err != nil {
			return false
		}
	}
	s.requests.Add(1)
	return true
}

func said(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// TestUnaskedAnswers: an answer for which nothing was asked is nobody's, when
// it comes with the one before or a little later.
func TestUnaskedAnswers(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(c net.Conn){
		"in the same packet": func(c net.Conn) { io.WriteString(c, said("right")+said("wrong")) },
		"half of it":         func(c net.Conn) { io.WriteString(c, said("right")+"HTTP/1.1 2") },
		"a byte":             func(c net.Conn) { io.WriteString(c, said("right")+"\n") },
		"later": func(c net.Conn) {
			io.WriteString(c, said("right"))
			time.Sleep(readAfter / 2)
			io.WriteString(c, said("wrong"))
		},
		"time-out of the idle": func(c net.Conn) {
			io.WriteString(c, said("right"))
			io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\n\r\n")
		},
		"an answer with a body": func(c net.Conn) { io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\nwrong") },
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, TLS %v", name, secure), func(t *testing.T) {
				t.Parallel()
				b, s := scripted(t, secure, func(c net.Conn, request func() bool) {
					for request() {
						answer(c)
					}
				})
				for n := range 5 {
					if got, err := b.ask(alice, "GET", "/", ""); err != nil || got == "wrong" {
						t.Fatalf("request %d: %q, %v", n, got, err)
					}
					time.Sleep(10 * readAfter)
				}
				if n := s.requests.Load(); n != 5 {
					t.Errorf("the upstream saw %d requests for 5", n)
				}
				if n := b.unasked.Load(); n < 4 { // nobody looks at the last connection any more
					t.Errorf("%d connections were told of", n)
				}
			})
		}
	}
}

// TestGuard: what came before a request was written is no answer to it, and a
// session ticket of TLS is nothing.
func TestGuard(t *testing.T) {
	for name, c := range map[string]struct {
		before func(c net.Conn)
		want   error
		told   int
	}{
		"nothing": {func(net.Conn) {}, nil, 0},
		"a byte":  {func(c net.Conn) { io.WriteString(c, "H") }, errUnasked, 1},
		"an end":  {func(c net.Conn) { c.Close() }, errHungUp, 0},
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, TLS %v", name, secure), func(t *testing.T) {
				ours, theirs := pair(t, secure)
				c.before(theirs)
				for c.want != nil && unread(ours) == nothing {
					time.Sleep(time.Millisecond)
				}
				told := 0
				g := &guard{Conn: ours, unasked: func() { told++ }}
				if err := g.begin("GET"); err != c.want || told != c.told {
					t.Errorf("begin: %v, told %d times, want %v, told %d times", err, told, c.want, c.told)
				}
			})
		}
	}
}

// pair returns both ends of a connection whose handshake, if it has one, is over.
func pair(t *testing.T, secure bool) (ours, theirs net.Conn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	ours, err = net.Dial("tcp", ln.Addr().String())
	must(t, err)
	theirs, err = ln.Accept()
	must(t, err)
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	if !secure {
		return ours, theirs
	}
	own := httptest.NewTLSServer(nil)
	defer own.Close()
	server := tls.Server(theirs, &tls.Config{Certificates: own.TLS.Certificates})
	shaken := make(chan error)
	go func() { shaken <- server.Handshake() }()
	client := tls.Client(ours, &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1)}) // or there are no tickets
	must(t, client.Handshake())
	must(t, <-shaken)
	return client, server
}

// TestNothingIsRepeated: a request that may have reached the upstream is never
// sent again, whatever its method and however the connection ends.
func TestNothingIsRepeated(t *testing.T) {
	for name, end := range map[string]func(c net.Conn){
		"closed":        func(net.Conn) {},
		"half a head":   func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-") },
		"half a body":   func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf") },
		"nonsense":      func(c net.Conn) { io.WriteString(c, "nonsense\r\n\r\n") },
		"408 and close": func(c net.Conn) { io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 3\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
				b, s := scripted(t, false, func(c net.Conn, request func() bool) {
					if request() {
						io.WriteString(c, said("first"))
					}
					if request() {
						end(c)
					}
				})
				b.want(alice, "GET", "/", "first")
				time.Sleep(writeAfter + 5*readAfter)
				req := b.request(method, "/", "")
				req.Header.Set("Idempotency-Key", "x") // permission for net/http to repeat
				res, err := b.RoundTrip(alice, req)
				if err == nil {
					_, err = io.ReadAll(res.Body)
					res.Body.Close()
				}
				if err == nil && method != "HEAD" {
					t.Errorf("%s: no error", method)
				}
				if n := s.requests.Load(); n != 2 {
					t.Errorf("%s: the upstream saw %d requests for 2", method, n)
				}
			}
		})
	}
}

// TestConnectionClosedMeanwhile: one that the upstream closed while it was
// idle is not asked on.
func TestConnectionClosedMeanwhile(t *testing.T) {
	t.Parallel()
	b, s := scripted(t, false, func(c net.Conn, request func() bool) {
		if request() {
			io.WriteString(c, said("said"))
		}
	})
	for range 20 {
		b.want(alice, "GET", "/", "said")
		time.Sleep(readAfter)
	}
	if n := s.requests.Load(); n != 20 {
		t.Errorf("the upstream saw %d requests for 20", n)
	}
}
