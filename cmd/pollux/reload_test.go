package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pollux/cmd/pollux/config"

	"github.com/tidwall/gjson"
)

// reloadable is a service that serves, reloaded from its file without signals.
type reloadable struct {
	*service
	t    *testing.T
	src  config.Source
	said *consoleLog
	base string
}

// consoleLog is a log that can be read while it is written.
type consoleLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (c *consoleLog) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(p)
}

// take returns what was logged since the last call.
func (c *consoleLog) take() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.text.Reset()
	return c.text.String()
}

func newReloadable(t *testing.T, text string, env func(string) (string, bool)) *reloadable {
	t.Helper()
	r := &reloadable{t: t, src: config.Source{File: write(t, "config.yaml", text), Env: env}, said: &consoleLog{}}
	l, err := r.src.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.service, err = newService(t.Context(), l, newLogger(r.said, l.Log, l.Secrets()), env); err != nil {
		t.Fatal(err)
	}
	ln, err := r.server.Listen()
	if err != nil {
		t.Fatal(err)
	}
	r.base = fmt.Sprintf("http://127.0.0.1:%d", ln.Addr().(*net.TCPAddr).Port)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.run(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// rewrite makes text the config file, reloads it, and returns what was logged.
func (r *reloadable) rewrite(text string) string {
	r.t.Helper()
	if err := os.WriteFile(r.src.File, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.said.take()
	r.reload(r.t.Context(), r.src)
	return r.said.take()
}

// ask is the body of a GET with the client's key.
func (r *reloadable) ask(t *testing.T, path string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer team-1")
	request.Header.Set("X-Pollux-Key", "key-of-ci-0123456789abcdef")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

const (
	openHead   = "listen: 0.0.0.0:0\nstore: {driver: none}\n"
	openClient = "clients: [{name: ci, key: key-of-ci-0123456789abcdef, upstreams: ['*'], scopes: [read]}]\n"
)

// TestReloadIsWhole: a file that is refused for any reason changes nothing, the
// log level and the upstreams included, and one that is right all by itself is
// refused when it does not fit the process.
func TestReloadIsWhole(t *testing.T) {
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"status":"in_progress"}`)
	}))
	defer front.Close()
	upstreams := func(names ...string) string {
		text := "upstreams:\n"
		for _, name := range names {
			text += fmt.Sprintf("  %s: {provider: vessl, base_url: %q}\n", name, front.URL)
		}
		return text
	}
	good := openHead + openClient + upstreams("one")
	r := newReloadable(t, good, noEnvironment)
	loopback := strings.Replace(openHead, "0.0.0.0", "127.0.0.1", 1)
	for _, c := range []struct {
		name, text, fault string
		check             bool // by itself it is right
	}{
		{"nothing", "", "config.yaml:1:1: holds no key", false},
		{"a comment", "# later\n", "holds no key", false},
		{"an empty mapping", "{}\n", "holds no key", false},
		{"no clients any more", openHead + "allow_anonymous: true\nlog: {level: error}\n" + upstreams("two"), "clients: would let everybody in", true},
		{"no clients, on loopback after a restart", loopback + "log: {level: error}\n" + upstreams("two"),
			"listen: want a loopback address while there are no clients: add clients, or set allow_anonymous (the process listens on 0.0.0.0:0 until a restart)", true},
		{"a fault at the end", good + "log: {level: error}\nnonsense: 1\n", "nonsense: unknown key", false},
		{"webhooks", strings.Replace(good, "upstreams:\n", "log: {level: error}\nwebhooks: {timeout: 0s}\nupstreams:\n", 1), "webhooks.timeout: want more than 0", false},
		{"cut in the middle", good[:strings.Index(good, "provider")], "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := r.rewrite(c.text)
			if !strings.Contains(log, "configuration not reloaded") || !strings.Contains(log, c.fault) {
				t.Errorf("the log says\n%s\nwant %q", log, c.fault)
			}
			if got := runWith(t, "", "check", "--config", r.src.File); (got.code == exitOK) != c.check {
				t.Errorf("check: %+v", got)
			}
			if level := r.log.level.Level(); level != slog.LevelInfo {
				t.Errorf("log level %v is that of the refused file", level)
			}
			for path, want := range map[string]int{"/v1/tasks/one/t": http.StatusUnauthorized, "/v1/upstreams": http.StatusUnauthorized} {
				if code, body, _ := get(t, r.base+path); code != want {
					t.Errorf("GET %s without a key: %d %s", path, code, body)
				}
			}
			if names := gjson.Get(r.ask(t, "/v1/upstreams"), "data.#.name").String(); names != `["one"]` {
				t.Errorf("upstreams are %s", names)
			}
		})
	}
}

// TestReloadKeepsWhatNeedsARestart: such keys stay as they run, are named, and
// only they are; what else differs is in force, and named too.
func TestReloadKeepsWhatNeedsARestart(t *testing.T) {
	r := newReloadable(t, openHead+openClient, noEnvironment)
	log := r.rewrite("listen: 127.0.0.1:9\nstore: {driver: none}\nlimits: {batch: 7, request_header_bytes: 32KiB}\nlog: {level: debug, format: json}\n" + openClient)
	for _, key := range []string{"listen", "limits.request_header_bytes", "log.format"} {
		if !strings.Contains(log, `msg="a change needs a restart" key=`+key+"\n") {
			t.Errorf("the log does not name %s:\n%s", key, log)
		}
	}
	if strings.Count(log, "needs a restart") != 3 || !strings.Contains(log, `changed="limits.batch log.level"`) {
		t.Errorf("the log names other keys:\n%s", log)
	}
	if log = r.rewrite("listen: 0.0.0.0:0\nstore: {driver: none}\n" + openClient); strings.Contains(log, "needs a restart") {
		t.Errorf("back at what the process runs with:\n%s", log)
	}
}

// TestReloadDropsClients: with the flag it may.
func TestReloadDropsClients(t *testing.T) {
	r := newReloadable(t, openHead+openClient, noEnvironment)
	r.src.AllowEmpty = true
	if log := r.rewrite(openHead + "allow_anonymous: true\n"); !strings.Contains(log, `changed="allow_anonymous clients"`) {
		t.Errorf("with --allow-empty-config: %s", log)
	}
}

// TestReloadOfWhatIsNoFile: a pipe is refused at once, and read never.
func TestReloadOfWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	text := fmt.Sprintf("listen: 127.0.0.1:0\nstore: {driver: none}\nprovider_dir: %q\n", dir)
	r := newReloadable(t, text, noEnvironment)
	if err := syscall.Mkfifo(filepath.Join(dir, "mine.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	if log := r.rewrite(text); !strings.Contains(log, "mine.yaml: is no regular file") {
		t.Errorf("a pipe among the provider files: %s", log)
	}
	pipe := filepath.Join(t.TempDir(), "config.yaml")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	r.said.take()
	r.reload(t.Context(), config.Source{File: pipe, Env: noEnvironment})
	if log := r.said.take(); !strings.Contains(log, "config.yaml: cannot be read: is no regular file") {
		t.Errorf("a pipe as the config: %s", log)
	}
}

// TestReloadThatHangs: reading that never ends holds up neither the end of the
// process nor, beyond its time, the reload; and there is one such at most.
func TestReloadThatHangs(t *testing.T) {
	hang := make(chan struct{})
	var reads atomic.Int64
	config := "listen: 127.0.0.1:0\nstore: {driver: none}\npublic_url: ${URL}\n"
	r := newReloadable(t, config, func(name string) (string, bool) {
		if name == "URL" && reads.Add(1) > 1 {
			<-hang
		}
		return "http://localhost", name == "URL"
	})
	ctx, stop := context.WithCancel(t.Context())
	hangups := make(chan os.Signal, 1)
	ended := make(chan struct{})
	go func() { r.reloads(ctx, r.src, hangups); close(ended) }()
	hangups <- syscall.SIGHUP
	for reads.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	stop()
	select {
	case <-ended:
	case <-time.After(readTime / 2):
		t.Fatal("the end waits for the file")
	}
	r.said.take()
	r.reload(t.Context(), r.src)
	if log := r.said.take(); !strings.Contains(log, "still being read") || reads.Load() != 2 {
		t.Errorf("a second reload, after %d reads: %s", reads.Load(), log)
	}
	close(hang)
	for r.reading.Load() {
		time.Sleep(time.Millisecond)
	}
	if log := r.rewrite(config); !strings.Contains(log, "configuration reloaded") {
		t.Errorf("once it can be read: %s", log)
	}
}

// TestReloadsUnderLoad: while the configuration is replaced all the time, every
// other time by one that is refused, no request fails, loses its credential or
// sees half of one.
func TestReloadsUnderLoad(t *testing.T) {
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if q.Header.Get("Authorization") == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.WriteString(w, `{"status":"in_progress"}`)
	}))
	defer front.Close()
	const head = "listen: 127.0.0.1:0\nstore: {driver: none}\nwebhooks: {allow_networks: [127.0.0.0/8]}\n"
	config := head + fmt.Sprintf("upstreams:\n  one: {provider: vessl, base_url: %q}\n  two: {provider: vessl, base_url: %q}\n", front.URL, front.URL)
	r := newReloadable(t, config, noEnvironment)
	ctx, stop := context.WithCancel(t.Context())
	var done atomic.Int64
	send := func(method, path, body string, headers ...string) *http.Response {
		request, err := http.NewRequestWithContext(ctx, method, r.base+path, strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return nil
		}
		request.Header.Set("Authorization", "Bearer team-1")
		request.Header.Set("Content-Type", "application/json")
		for i := 0; i+1 < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			if ctx.Err() == nil {
				t.Errorf("%s %s: %v", method, path, err)
			}
			return nil
		}
		done.Add(1)
		return answer
	}
	load := func(want int, method, path, body string, right func(body string) bool) func() {
		return func() {
			for ctx.Err() == nil {
				answer := send(method, path, body)
				if answer == nil {
					return
				}
				got, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if err == nil && (answer.StatusCode != want || !right(string(got))) {
					t.Errorf("%s %s: %d %s", method, path, answer.StatusCode, got)
					return
				}
			}
		}
	}
	running := func(body string) bool { return gjson.Get(body, "status").String() == "in_progress" }
	both := func(body string) bool { return gjson.Get(body, `results.#(status_code==200)#|#`).Int() == 2 }
	stream := func() {
		for ctx.Err() == nil {
			answer := send("GET", "/v1/tasks/one/s", "", "Accept", "text/event-stream")
			if answer == nil {
				return
			}
			first, err := bufio.NewReader(answer.Body).ReadString('\n')
			answer.Body.Close()
			if ctx.Err() == nil && (err != nil || answer.StatusCode != 200 || !strings.HasPrefix(first, "id:")) {
				t.Errorf("stream: %d %q %v", answer.StatusCode, first, err)
				return
			}
		}
	}
	const credentials = `"credentials":{"one":{"Authorization":"Bearer team-1"},"two":{"Authorization":"Bearer team-2"}}`
	var clients sync.WaitGroup
	for _, client := range []func(){
		load(200, "GET", "/v1/tasks/one/t", "", running),
		load(200, "GET", "/native/two/async/t/output", "", func(string) bool { return true }),
		load(200, "POST", "/v1/tasks/batch", `{"tasks":["one/t","two/t"],`+credentials+`}`, both),
		load(200, "POST", "/v1/tasks/batch", `{"tasks":["one/t","one/u"]}`, both),
		load(201, "POST", "/v1/webhooks", `{"tasks":["one/t","two/t"],"url":"http://127.0.0.1:9/hook",`+credentials+`}`,
			func(body string) bool { return strings.Contains(body, "whsec_") }),
		stream,
	} {
		clients.Go(client)
	}
	const rounds = 500
	for i := range rounds {
		if log := r.rewrite(config + fmt.Sprintf("log: {level: %s}\n", []string{"info", "warn"}[i%2])); strings.Contains(log, "not reloaded") {
			t.Fatalf("reload %d: %s", i, log)
		}
		if log := r.rewrite(head + "nonsense: 1\n"); !strings.Contains(log, "not reloaded") {
			t.Fatalf("bad reload %d: %s", i, log)
		}
		if t.Failed() {
			break
		}
	}
	stop()
	clients.Wait()
	t.Logf("%d requests over %d reloads", done.Load(), 2*rounds)
	if done.Load() < rounds {
		t.Errorf("only %d requests", done.Load())
	}
}
