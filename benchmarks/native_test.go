package benchmarks

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy"
	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
)

// BenchmarkNative compares requests to an upstream with the same requests
// through Pollux. Client, Pollux and upstream share the machine and the
// process, so allocations of all three are counted; what Pollux costs is the
// difference to direct.
func BenchmarkNative(b *testing.B) {
	upstream := httptest.NewServer(http.HandlerFunc(nativeAnswer))
	b.Cleanup(upstream.Close)
	through := serveNative(b, upstream.URL) + "/native/vessl"
	client := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	b.Cleanup(client.CloseIdleConnections)
	for _, c := range []struct{ name, method, path string }{
		{"poll", "GET", "/async/task/output"},
		{"small", "GET", "/bytes?n=400"},
		{"upload", "POST", "/bytes?n=400"},
		{"megabyte", "GET", "/bytes?n=1048576"},
		{"events", "GET", "/events?n=100"},
	} {
		for _, way := range []struct{ name, base string }{{"direct", upstream.URL}, {"pollux", through}} {
			b.Run(c.name+"/"+way.name, func(b *testing.B) { nativeRequest(b, client, c.method, way.base+c.path) })
		}
	}
}

func nativeRequest(b *testing.B, client *http.Transport, method, url string) {
	body := bytes.Repeat([]byte("x"), 64<<10)
	buf := make([]byte, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		var sent io.Reader = http.NoBody
		if method == http.MethodPost {
			sent = bytes.NewReader(body)
		}
		req, err := http.NewRequestWithContext(b.Context(), method, url, sent)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer benchmark")
		res, err := client.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, res.Body, buf); err != nil {
			b.Fatal(err)
		}
		if res.Body.Close(); res.StatusCode != http.StatusOK {
			b.Fatalf("%s: code %d", url, res.StatusCode)
		}
	}
}

// nativeAnswer plays the upstream: a task that has ended, n bytes, or n events.
func nativeAnswer(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	n, _ := strconv.Atoi(r.URL.Query().Get("n"))
	switch r.URL.Path {
	case "/bytes":
		w.Header().Set("Content-Length", strconv.Itoa(n))
		_, _ = w.Write(make([]byte, n))
	case "/events":
		w.Header().Set("Content-Type", "text/event-stream")
		for range n {
			_, _ = io.WriteString(w, "data: {\"type\":\"delta\",\"text\":\"a few words at a time\"}\n\n")
			w.(http.Flusher).Flush()
		}
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"completed","status_code":200,"output":{"a":1}}`)
	}
}

// serveNative serves an upstream of provider vessl on a socket of its own and
// returns its address as a URL.
func serveNative(b *testing.B, base string) string {
	b.Helper()
	check := func(err error) {
		if b.Helper(); err != nil {
			b.Fatal(err)
		}
	}
	secret, err := cache.NewSecret(bytes.Repeat([]byte{1}, 32))
	check(err)
	memory, err := cache.NewMemory(cache.Config{MaxBytes: 16 << 20})
	check(err)
	b.Cleanup(memory.Close)
	set, err := providers.Builtin()
	check(err)
	cfg := upstream.DefaultConfig()
	cfg.Provider, cfg.BaseURL = "vessl", base
	registry, log := prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
	engine, err := poller.New(poller.Config{Upstreams: map[string]upstream.Config{"vessl": cfg}}, set, cache.None{}, memory, secret, registry, log)
	check(err)
	b.Cleanup(engine.Close)
	server, err := proxy.New(proxy.DefaultConfig(), engine.Upstreams(), engine, secret, registry, registry, log)
	check(err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		check(server.Shutdown(ctx))
		check(<-served)
	})
	return "http://" + ln.Addr().String()
}
