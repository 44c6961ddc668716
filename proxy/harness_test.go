package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/trace"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreTopFunction("time.Sleep"),                                       // fasthttp's clock
		goleak.IgnoreTopFunction("github.com/valyala/fasthttp/stackless.funcWorker"), // its encoders, which tests use
	)
}

// face is a server on a real socket before a real poller and a scripted
// upstream.
type face struct {
	t        testing.TB
	server   *Server
	poller   *poller.Poller
	registry *prometheus.Registry
	address  string
	base     string // the upstream's URL
	log      *lockedBuffer
	level    slog.LevelVar

	polls    atomic.Int64 // requests that the upstream saw
	upstream atomic.Pointer[http.HandlerFunc]
	served   chan error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newFace starts a face with the upstreams shannon, vessl, orq and gumloop in
// caller mode and held (shannon with a key of ours).
func newFace(t testing.TB, change func(*Config)) *face {
	t.Helper()
	return newTracedFace(t, change, nil)
}

func newTracedFace(t testing.TB, change func(*Config), tracer *trace.Tracer) *face {
	t.Helper()
	f := &face{t: t, registry: prometheus.NewRegistry(), log: &lockedBuffer{}, served: make(chan error, 1)}
	f.answer(completedShannon)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.polls.Add(1)
		(*f.upstream.Load())(w, r)
	}))
	t.Cleanup(up.Close)
	f.base = up.URL
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	f.level.Set(slog.LevelDebug)
	log := slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: &f.level}))
	secret, err := cache.NewSecret(bytes.Repeat([]byte{7}, 32))
	must(t, err)
	memory, err := cache.NewMemory(cache.Config{MaxBytes: 8 << 20})
	must(t, err)
	t.Cleanup(memory.Close)
	set, err := providers.Builtin()
	must(t, err)
	f.poller, err = poller.New(poller.Config{Upstreams: upstreams(up.URL)}, set, cache.None{}, memory, secret, f.registry, log)
	must(t, err)
	t.Cleanup(f.poller.Close)
	f.server, err = New(cfg, f.poller.Upstreams(), f.poller, secret, f.registry, f.registry, log)
	must(t, err)
	f.poller.Trace(tracer)
	f.server.Trace(tracer)
	f.server.lameDuck = 10 * time.Millisecond
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	f.address = ln.Addr().String()
	go func() { f.served <- f.server.Serve(ln) }()
	t.Cleanup(f.stop)
	return f
}

// reload puts cfg in force, with the upstreams of now.
func (f *face) reload(cfg Config) error {
	use, err := f.server.Prepare(cfg, f.poller.Upstreams())
	if err == nil {
		use()
	}
	return err
}

// replace puts other upstreams and cfg in force, as a reload does.
func (f *face) replace(all map[string]upstream.Config, cfg Config) {
	f.t.Helper()
	set, err := providers.Builtin()
	must(f.t, err)
	built, useUpstreams, err := f.poller.Prepare(poller.Config{Upstreams: all}, set)
	must(f.t, err)
	useSettings, err := f.server.Prepare(cfg, built)
	must(f.t, err)
	useUpstreams()
	useSettings()
}

func upstreams(base string) map[string]upstream.Config {
	all := map[string]upstream.Config{}
	for _, name := range []string{"shannon", "vessl", "orq", "gumloop"} {
		u := upstream.DefaultConfig()
		u.Provider, u.BaseURL, u.Timeout = name, base, 5*time.Second
		all[name] = u
	}
	held := all["shannon"]
	held.Credential = upstream.CredentialConfig{Value: "held-secret"}
	all["held"] = held
	return all
}

func (f *face) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	http.DefaultClient.CloseIdleConnections()
	if err := f.server.Shutdown(ctx); err != nil {
		f.t.Errorf("Shutdown: %v", err)
	}
	if err := <-f.served; err != nil {
		f.t.Errorf("Serve: %v", err)
	}
}

func (f *face) answer(h http.HandlerFunc) { f.upstream.Store(&h) }

const (
	completedBody = `{"task_id":"%s","workflow_id":"%s","status":"TASK_STATUS_COMPLETED","result":"done","model_used":"m-1","usage":{"input_tokens":12345678901234567890,"output_tokens":2,"total_tokens":3},"zeta":1,"alpha":2}`
	runningBody   = `{"task_id":"%s","workflow_id":"%s","status":"TASK_STATUS_RUNNING"}`
)

func lastSegment(r *http.Request) string {
	return r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
}

func shannonAnswer(format string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := lastSegment(r)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, format, id, id)
	}
}

var (
	completedShannon = shannonAnswer(completedBody)
	runningShannon   = shannonAnswer(runningBody)
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// do sends one request, with headers as "Name: value".
func (f *face) do(method, path, body string, headers ...string) *answer {
	f.t.Helper()
	req, err := http.NewRequest(method, "http://"+f.address+path, strings.NewReader(body))
	must(f.t, err)
	if body == "" {
		req.Body = http.NoBody
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	must(f.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	must(f.t, err)
	return &answer{res, string(b)}
}

type answer struct {
	*http.Response
	body string
}

// raw sends bytes on a connection of its own and returns the status of the
// answer, 0 if there is none, and whether the connection then serves another
// request.
func (f *face) raw(request string) (status int, open bool) {
	f.t.Helper()
	c, err := net.Dial("tcp", f.address)
	must(f.t, err)
	defer c.Close()
	must(f.t, c.SetDeadline(time.Now().Add(8*time.Second)))
	_, err = io.WriteString(c, request)
	must(f.t, err)
	r := bufio.NewReader(c)
	status, closes := readAnswer(f.t, r, request)
	if status == 0 {
		return 0, false
	}
	if closes {
		if rest, err := io.ReadAll(r); err == nil && len(rest) > 0 {
			f.t.Errorf("%q: %d bytes after an answer that closes", request, len(rest))
		}
		return status, false
	}
	_, err = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	must(f.t, err)
	next, _ := readAnswer(f.t, r, "GET")
	return status, next == 200
}

// readAnswer reads one answer, 1xx included where it is the first.
func readAnswer(t testing.TB, r *bufio.Reader, request string) (status int, closes bool) {
	t.Helper()
	method, _, _ := strings.Cut(strings.TrimLeft(request, "\r\n"), " ")
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		return 0, true
	}
	_, err = io.Copy(io.Discard, res.Body)
	must(t, err)
	return res.StatusCode, res.Close
}
