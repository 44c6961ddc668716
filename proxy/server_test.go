package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/valyala/fasthttp"

	"pollux/cache"
	"pollux/providers/strictyaml"
	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/tasks"
)

var quiet = slog.New(slog.DiscardHandler)

// hitContext returns a context of a request that memory can answer.
func hitContext(t testing.TB, f *face, request string) *fasthttp.RequestCtx {
	t.Helper()
	ctx := &fasthttp.RequestCtx{}
	must(t, ctx.Request.Header.Read(bufio.NewReader(strings.NewReader(request))))
	f.server.handle(ctx)
	ctx.Response.Reset()
	f.server.handle(ctx)
	if code := ctx.Response.StatusCode(); code != 200 && code != 304 {
		t.Fatalf("got %d: %s", code, ctx.Response.Body())
	}
	if status := string(ctx.Response.Header.Peek("Cache-Status")); !strings.HasPrefix(status, "pollux; hit") {
		t.Fatalf("got Cache-Status %q, want a hit", status)
	}
	return ctx
}

const hitRequest = "GET /v1/tasks/shannon/t1 HTTP/1.1\r\nHost: localhost:8080\r\nX-API-Key: sk-0123456789abcdef0123456789abcdef\r\n" +
	"User-Agent: python-httpx/0.27\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\nConnection: keep-alive\r\n\r\n"

func BenchmarkHit(b *testing.B) {
	f := newFace(b, nil)
	f.level.Set(slog.LevelInfo)
	ctx := hitContext(b, f, hitRequest)
	b.ReportAllocs()
	for b.Loop() {
		ctx.Response.Reset()
		f.server.handle(ctx)
	}
}

// BenchmarkPoll is a hit through the whole server: one connection that repeats
// its request, and one whose requests differ.
func BenchmarkPoll(b *testing.B) {
	f := newFace(b, nil)
	f.level.Set(slog.LevelInfo)
	for name, requests := range map[string][]string{
		"same":        {hitRequest, hitRequest},
		"alternating": {hitRequest, strings.Replace(hitRequest, "/t1", "/t2", 1)},
	} {
		b.Run(name, func(b *testing.B) {
			poll := f.keepAlive(requests...)
			b.ReportAllocs()
			for b.Loop() {
				poll()
			}
		})
	}
}

// keepAlive returns a poll over a connection of its own, which sends the requests
// in turn and allocates nothing. All were answered once.
func (f *face) keepAlive(requests ...string) (poll func()) {
	f.t.Helper()
	c, err := net.Dial("tcp", f.address)
	must(f.t, err)
	f.t.Cleanup(func() { c.Close() })
	answer, n := make([]byte, 64<<10), 0
	sent := make([][]byte, len(requests))
	for i, r := range requests {
		sent[i] = []byte(r)
	}
	poll = func() {
		if _, err := c.Write(sent[n%len(sent)]); err != nil {
			f.t.Fatal(err)
		}
		n++
		for got := 0; ; {
			k, err := c.Read(answer[got:])
			if err != nil {
				f.t.Fatal(err)
			}
			if got += k; answer[got-1] == '}' {
				break
			}
		}
		if string(answer[:15]) != "HTTP/1.1 200 OK" {
			f.t.Fatalf("answered %.300s", answer)
		}
	}
	for range 2 * len(requests) {
		poll()
	}
	return poll
}

// BenchmarkEmptyHandler is what fasthttp itself would cost for the same request.
func BenchmarkEmptyHandler(b *testing.B) {
	var ctx fasthttp.RequestCtx
	must(b, ctx.Request.Header.Read(bufio.NewReader(strings.NewReader(hitRequest))))
	body := make([]byte, 1000)
	handler := func(ctx *fasthttp.RequestCtx) { ctx.Response.SetBodyRaw(body) }
	b.ReportAllocs()
	for b.Loop() {
		ctx.Response.Reset()
		handler(&ctx)
	}
}

// TestShutdownLosesNothing: clients that keep their connections busy all get
// every answer, and the last one says that the connection closes.
func TestShutdownLosesNothing(t *testing.T) {
	f := newFace(t, nil)
	f.server.lameDuck = 300 * time.Millisecond
	f.do("GET", shannonTask, "", key1)
	const clients = 50
	var started, done sync.WaitGroup
	var answers, lost atomic.Int64
	for range clients {
		started.Add(1)
		done.Go(func() {
			c, err := net.Dial("tcp", f.address)
			if err != nil {
				t.Error(err)
				started.Done()
				return
			}
			defer c.Close()
			r := bufio.NewReader(c)
			for i := 0; ; i++ {
				io.WriteString(c, "GET "+shannonTask+" HTTP/1.1\r\nHost: localhost\r\n"+key1+"\r\n\r\n")
				status, closes := readAnswer(t, r, "GET")
				if i == 0 {
					started.Done()
				}
				if status != 200 {
					lost.Add(1)
					return
				}
				answers.Add(1)
				if closes {
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	started.Wait()
	ready := make(chan int, 1)
	go func() {
		for !f.server.draining.Load() {
			time.Sleep(time.Millisecond)
		}
		res, err := http.Get("http://" + f.address + "/readyz")
		if err != nil {
			ready <- 0
			return
		}
		res.Body.Close()
		ready <- res.StatusCode
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	must(t, f.server.Shutdown(ctx))
	done.Wait()
	if lost.Load() != 0 || answers.Load() < clients {
		t.Errorf("%d of %d requests were lost", lost.Load(), answers.Load()+lost.Load())
	}
	if code := <-ready; code != 503 {
		t.Errorf("/readyz answers %d while draining, want 503", code)
	}
}

func TestShutdownIsBounded(t *testing.T) {
	f := newFace(t, nil)
	hold := make(chan struct{})
	entered := make(chan struct{})
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-hold
		runningShannon(w, r)
	})
	got := make(chan int, 1)
	go func() {
		status, _ := f.raw("GET " + shannonTask + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		got <- status
	}()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := f.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	close(hold)
	if status := <-got; status == 0 {
		t.Errorf("the request under way got no answer")
	}
}

// TestNoCredentialGetsOut: not by logs, metrics or problems, however broken
// the request that carries it.
func TestNoCredentialGetsOut(t *testing.T) {
	f := newFace(t, nil)
	const marker = "MARKER"
	var answers strings.Builder
	for _, raw := range []string{
		"GET /v1/tasks/vessl/abc HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer MARKER\r\n\r\n",
		"GET /v1/tasks/gumloop/abc?user_id=u&api_key=MARKER HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /v1/tasks/gumloop/abc?token=MARKER HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /v1/tasks/gumloop/a|b?api_key=MARKER&wait=x HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /v1/tasks/vessl/abc HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer MARKER\x01\r\n\r\n",
		"GET /v1/tasks/vessl/abc HTTP/1.1\r\nHost: localhost\r\nAuthorization Bearer MARKER\r\n\r\n",
		"GET /v1/tasks/vessl/abc HTTP/1.1\r\nHost: localhost\r\nAutho\x80: Bearer MARKER\r\n\r\n",
		"GET /MARKER\r\nHost: localhost\r\n\r\n",
		"GET /v1/tasks/\x01?api_key=MARKER HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: MARKER@x\r\n\r\n",
		"MARKER / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET / MARKER\r\nHost: localhost\r\n\r\n",
		"POST /v1/tasks/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 31\r\n\r\n{\"tasks\":[\"gumloop/a?api_key=MARKER\"]}",
	} {
		c, err := net.Dial("tcp", f.address)
		must(t, err)
		io.WriteString(c, raw)
		c.(*net.TCPConn).CloseWrite()
		b, _ := io.ReadAll(c)
		answers.Write(b)
		c.Close()
	}
	metrics := f.do("GET", "/metrics", "")
	metrics.expect(t, 200, map[string]string{"Content-Type": "text/plain; version=0.0.4; .*"})
	for name, text := range map[string]string{"log": f.log.String(), "metrics": metrics.body, "answers": answers.String()} {
		if strings.Contains(text, marker) {
			t.Errorf("the %s hold a credential:\n%s", name, text)
		}
	}
	if !strings.Contains(metrics.body, `pollux_requests_total{code="400",route="other"}`) || !strings.Contains(metrics.body, "pollux_rejected_requests_total") {
		t.Errorf("metrics lack what was refused:\n%s", metrics.body)
	}
}

func TestReload(t *testing.T) {
	f := newFace(t, nil)
	f.do("GET", "/v1/tasks/held/t1", "").expect(t, 200, nil)
	next := DefaultConfig()
	withClients(&next)
	next.Limits.Batch = 1
	must(t, f.reload(next))
	f.do("GET", "/v1/tasks/held/t1", "").problem(t, 401, "unauthorized")
	f.do("POST", "/v1/tasks/batch", `{"tasks":["held/a","held/b"]}`, "X-Pollux-Key: key-all").problem(t, 400, "invalid-request")
	bad := next
	bad.Clients, bad.Limits.Wait = nil, 0
	err := f.reload(bad)
	if faults, _ := errors.AsType[strictyaml.Faults](err); len(faults) != 1 || faults[0].Key != "limits.wait" {
		t.Errorf("a bad configuration: got %v", err)
	}
	f.do("GET", "/v1/tasks/held/t1", "").problem(t, 401, "unauthorized")
}

func TestContinue(t *testing.T) {
	f := newFace(t, nil)
	c, err := net.Dial("tcp", f.address)
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(5*time.Second)))
	body := `{"tasks":[]}`
	fmt.Fprintf(c, "POST /v1/tasks/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(body))
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	must(t, err)
	if line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q", line)
	}
	_, err = r.ReadString('\n')
	must(t, err)
	io.WriteString(c, body)
	if status, closes := readAnswer(t, r, "POST"); status != 200 || closes {
		t.Errorf("got %d, closes %v", status, closes)
	}
}

func TestSlowBodyTakesNoMemory(t *testing.T) {
	f := newFace(t, nil)
	c, err := net.Dial("tcp", f.address)
	must(t, err)
	io.WriteString(c, "POST /v1/tasks/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{")
	c.(*net.TCPConn).CloseWrite()
	if status, _ := readAnswer(t, bufio.NewReader(c), "POST"); status != 400 {
		t.Errorf("a body that ends early: got %d, want 400", status)
	}
	c.Close()
}

// panicking stands in for an engine with a bug.
type panicking struct{ *poller.Poller }

func (panicking) Cached(*upstream.Upstream, *upstream.Partition, *cache.ID, time.Time) (poller.Answer, bool) {
	panic("Bearer secret")
}

func TestPanicIsAnAnswer(t *testing.T) {
	f := newFace(t, nil)
	f.server.tasks = tasks.New(panicking{f.poller}, f.server.hub, f.server.life, &f.server.waits, &f.server.streams, quiet)
	status, open := f.raw("GET " + shannonTask + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if status != 500 || open {
		t.Errorf("got %d, open %v; want 500, closed", status, open)
	}
	f.do("GET", shannonTask, "").problem(t, 500, "about:blank")
	if n := testutil.ToFloat64(f.server.metrics.panics); n != 2 {
		t.Errorf("pollux_panics_total is %v, want 2", n)
	}
	if log := f.log.String(); strings.Contains(log, "secret") || !strings.Contains(log, "panicking") {
		t.Errorf("the log should say where, and not what:\n%s", log)
	}
}
