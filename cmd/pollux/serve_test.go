package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pollux/cmd/pollux/demo"
	"pollux/providers"
	"pollux/providers/sandbox"
)

// transcript is what a running command has written so far.
type transcript struct {
	mu      sync.Mutex
	text    bytes.Buffer  // guarded by mu
	changed chan struct{} // of capacity 1
}

func newTranscript() *transcript { return &transcript{changed: make(chan struct{}, 1)} }

func (c *transcript) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default:
	}
	return c.text.Write(p)
}

func (c *transcript) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// await waits until the text matches, and returns the submatches.
func (c *transcript) await(t testing.TB, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	late := time.After(20 * time.Second)
	for {
		if m := re.FindStringSubmatch(c.String()); m != nil {
			return m
		}
		select {
		case <-c.changed:
		case <-late:
			t.Fatalf("nothing matches %s in:\n%s", pattern, c)
		}
	}
}

// running is a command under way.
type running struct {
	stdout, stderr *transcript
	stop           context.CancelFunc
	ended          chan int
}

func start(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r := &running{stdout: newTranscript(), stderr: newTranscript(), stop: stop, ended: make(chan int, 1)}
	go func() { r.ended <- run(ctx, args, strings.NewReader(""), r.stdout, r.stderr) }()
	t.Cleanup(stop)
	return r
}

// end stops the command and returns its exit code.
func (r *running) end(t *testing.T) int {
	t.Helper()
	r.stop()
	select {
	case code := <-r.ended:
		return code
	case <-time.After(10 * time.Second):
		t.Fatalf("still running ten seconds later:\n%s", r.stderr)
		return 0
	}
}

// get is the answer of one request with a credential.
func get(t *testing.T, url string) (code int, body string, header http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer team-1")
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(data), answer.Header
}

// simulated is a sandbox on a real socket, its tasks over at once.
func simulated(t *testing.T) (*sandbox.Server, *httptest.Server) {
	t.Helper()
	set, err := providers.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	server, err := sandbox.New(set, sandbox.Options{Seed: 1, Speed: 1e6})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(server)
	t.Cleanup(front.Close)
	return server, front
}

func TestServeReloadRestart(t *testing.T) {
	server, front := simulated(t)
	id, err := server.Create("vessl", nil, "team-1", "")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	config := func(names ...string) string {
		text := fmt.Sprintf("listen: 127.0.0.1:0\nstore: {path: %s}\nupstreams:\n", filepath.Join(dir, "pollux.db"))
		for _, name := range names {
			text += fmt.Sprintf("  %s: {provider: vessl, base_url: %s/vessl}\n", name, front.URL)
		}
		return text
	}
	rewrite := func(text string) {
		writeIn(t, dir, "config.yaml", text)
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	writeIn(t, dir, "config.yaml", config("one"))

	p := start(t, "serve", "--config", file)
	base := "http://" + p.stderr.await(t, `msg=listening address=(\S+)`)[1]
	p.stderr.await(t, `level=INFO msg="pollux starts" version=\S+ commit=\S+ config=`+regexp.QuoteMeta(file)+` upstreams=one store="sqlite `+
		regexp.QuoteMeta(filepath.Join(dir, "pollux.db"))+`" address=127.0.0.1:\d+\n`)
	if code, body, _ := get(t, base+"/v1/tasks/one/"+id); code != http.StatusOK || !strings.Contains(body, `"terminal":true`) {
		t.Fatalf("first poll: %d %s", code, body)
	}
	if code, body, _ := get(t, base+"/v1/tasks/two/"+id); code != http.StatusNotFound {
		t.Errorf("an upstream before its time: %d %s", code, body)
	}

	rewrite(config("two") + "nonsense: 1\nlisten: 127.0.0.1:0\n")
	p.stderr.await(t, `level=ERROR msg="configuration not reloaded" fault=.*config.yaml:5:1: nonsense: unknown key`)
	p.stderr.await(t, `level=ERROR msg="configuration not reloaded" fault=.*config.yaml:6:1: listen: given twice`)
	if code, _, _ := get(t, base+"/v1/tasks/one/"+id); code != http.StatusOK {
		t.Errorf("after a reload that failed: %d", code)
	}
	if _, body, _ := get(t, base+"/metrics"); !strings.Contains(body, "\npollux_config_reload_success 0\n") {
		t.Error("the metric does not say that the reload failed")
	}

	rewrite(config("one", "two") + "cache: {max_bytes: 64MiB}\n")
	p.stderr.await(t, `msg="configuration reloaded" upstreams=2`)
	p.stderr.await(t, `msg="a change needs a restart" key=cache.max_bytes`)
	if code, body, _ := get(t, base+"/v1/tasks/two/"+id); code != http.StatusOK {
		t.Errorf("an upstream that a reload brought: %d %s", code, body)
	}
	if _, body, _ := get(t, base+"/metrics"); !strings.Contains(body, "\npollux_config_reload_success 1\n") {
		t.Error("the metric does not say that the reload succeeded")
	}
	if code := p.end(t); code != exitOK || !strings.HasSuffix(p.stderr.String(), "level=INFO msg=stopped\n") {
		t.Fatalf("serve ended with %d:\n%s", code, p.stderr)
	}

	front.Close()
	p = start(t, "serve", "--config", file)
	base = "http://" + p.stderr.await(t, `msg=listening address=(\S+)`)[1]
	code, body, header := get(t, base+"/v1/tasks/one/"+id)
	if code != http.StatusOK || !strings.Contains(header.Get("Cache-Status"), "detail=terminal") {
		t.Errorf("after a restart, without the upstream: %d %s\n%s", code, header, body)
	}
	if code := p.end(t); code != exitOK {
		t.Errorf("serve ended with %d:\n%s", code, p.stderr)
	}
	if strings.Contains(p.stderr.String(), "team-1") {
		t.Errorf("the log shows a credential:\n%s", p.stderr)
	}
}

func TestServeFailsToStart(t *testing.T) {
	dir := t.TempDir()
	cases := []struct{ name, config, stderr string }{
		{"faults", "nonsense: 1\nallow_anonymous: 2\n", "config.yaml:1:1: nonsense: unknown key"},
		{"address in use", "", "address already in use"},
		{"store path is a directory", "listen: 127.0.0.1:0\nstore: {path: " + dir + "}\n", "pollux serve: open store"},
	}
	taken := httptest.NewServer(http.NotFoundHandler())
	defer taken.Close()
	cases[1].config = "listen: " + taken.Listener.Addr().String() + "\nstore: {driver: none}\n"
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := runWith(t, "", "serve", "--config", write(t, "config.yaml", c.config))
			if got.code != exitFailure || !strings.Contains(got.stderr, c.stderr) {
				t.Errorf("serve: %+v", got)
			}
		})
	}
}

func TestSandbox(t *testing.T) {
	p := start(t, "sandbox", "--listen", "127.0.0.1:0", "--fault", "kind=503,provider=orq", "--rate", "shannon=5/1m")
	base := p.stdout.await(t, `vessl +(http://\S+)/vessl`)[1]
	if code, body, _ := get(t, base+"/_sandbox/stats"); code != http.StatusOK || !strings.Contains(body, "shannon") {
		t.Errorf("stats: %d %s", code, body)
	}
	if code, _, _ := get(t, base+"/orq/v2/agents/a/responses/t"); code != http.StatusServiceUnavailable {
		t.Errorf("with a fault: %d", code)
	}
	if code := p.end(t); code != exitOK {
		t.Errorf("sandbox ended with %d:\n%s", code, p.stderr)
	}
}

func TestDemo(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	got := runWith(t, "", "demo", "--for", "5s", "--clients", "6", "--speed", "10")
	if got.code != exitOK || got.stderr != "" {
		t.Fatalf("demo: %+v", got)
	}
	last := regexp.MustCompile(`client polls (\d+), upstream polls (\d+), saved ([\d.]+) %`).FindAllStringSubmatch(got.stdout, -1)
	if len(last) < 2 {
		t.Fatalf("demo shows too little:\n%s", got.stdout)
	}
	var polls, asked int
	fmt.Sscan(last[len(last)-1][1], &polls)
	fmt.Sscan(last[len(last)-1][2], &asked)
	if polls < 100 || asked == 0 || asked*4 > polls*3 {
		t.Errorf("%d client polls became %d upstream polls:\n%s", polls, asked, got.stdout)
	}
	shown := map[string]bool{}
	for _, m := range regexp.MustCompile(`curl .*'http://127.0.0.1:\d+/v1/tasks/([a-z0-9-]+)/`).FindAllStringSubmatch(got.stdout, -1) {
		shown[m[1]] = true
	}
	if len(shown) != demo.ShownTasks {
		t.Errorf("commands to try tasks of %d upstreams, want %d:\n%s", len(shown), demo.ShownTasks, got.stdout)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("the demo left %v behind: %v", left, err)
	}
}

// TestVersionIsTold: what a release build has as its version, everybody is told
// who asks for it.
func TestVersionIsTold(t *testing.T) {
	version = "v9.8.7"
	t.Cleanup(func() { version = "" })
	file := filepath.Join(t.TempDir(), "config.yaml")
	writeIn(t, filepath.Dir(file), "config.yaml", "listen: 127.0.0.1:0\nstore: {driver: none}\nupstreams:\n  vessl: {provider: vessl, base_url: 'http://127.0.0.1:9'}\n")
	p := start(t, "serve", "--config", file)
	base := "http://" + p.stderr.await(t, `msg=listening address=(\S+)`)[1]
	defer p.end(t)
	answer, err := http.Post(base+"/mcp", "application/json", strings.NewReader(
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"a","version":"1"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	agent, err := io.ReadAll(answer.Body)
	if err != nil || !strings.Contains(string(agent), `"version":"v9.8.7"`) {
		t.Errorf("agents are told %s, %v", agent, err)
	}
	for _, path := range []string{"/v1/session", "/metrics"} {
		if _, body, _ := get(t, base+path); !strings.Contains(body, version) {
			t.Errorf("%s does not tell %s: %.300s", path, version, body)
		}
	}
	if got := runWith(t, "", "version"); !strings.Contains(got.stdout, version) {
		t.Errorf("pollux version: %+v", got)
	}
}

// TestDemoListens: where it is told to, and elsewhere only if nobody told it,
// saying why.
func TestDemoListens(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	named := free.Addr().String()
	taken := runWith(t, "", "demo", "--for", "1s", "--listen", named)
	if taken.code != exitFailure || !strings.Contains(taken.stderr, "address already in use") {
		t.Errorf("on an address that is taken: %+v", taken)
	}
	free.Close()
	if got := runWith(t, "", "demo", "--for", "1s", "--clients", "1", "--listen", named); got.code != exitOK || !strings.Contains(got.stdout, "Pollux is at http://"+named+",") {
		t.Errorf("--listen %s: %+v", named, got)
	}
	if got := runWith(t, "", "demo", "--listen", "0.0.0.0:8080"); got.code != exitUsage || !strings.Contains(got.stderr, "on loopback") {
		t.Errorf("--listen 0.0.0.0:8080: %+v", got)
	}
	// Whether another program listens there or this does, it is taken now.
	if usual, err := net.Listen("tcp", demoAddress); err == nil {
		defer usual.Close()
	}
	got := runWith(t, "", "demo", "--for", "1s", "--clients", "1")
	if got.code != exitOK || !strings.Contains(got.stdout, "127.0.0.1:8080 is taken by another program (address already in use), so the demo takes a free port; --listen names one.\n") ||
		!regexp.MustCompile(`Pollux is at http://127\.0\.0\.1:\d+,`).MatchString(got.stdout) {
		t.Errorf("with the usual port taken: %+v", got)
	}
}
