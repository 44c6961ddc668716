package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// progressing is an upstream of which every task goes on.
func progressing(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status": "in_progress"}`)
	}))
	t.Cleanup(server.Close)
	return server
}

// swap makes text the config.yaml of dir as Kubernetes does: a link to a link to
// a directory of a version, of which the one in the middle is replaced.
func swap(t *testing.T, dir, version, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, version), 0o700); err != nil {
		t.Fatal(err)
	}
	writeIn(t, filepath.Join(dir, version), "config.yaml", text)
	next := filepath.Join(dir, "..next")
	if err := os.Symlink(version, next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("..data/config.yaml", filepath.Join(dir, "config.yaml")); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
}

// TestReloadOnChange: with reload: watch, every way in which files change is a
// reload, and nothing else is.
func TestReloadOnChange(t *testing.T) {
	upstream := progressing(t)
	dir := t.TempDir()
	config := func(dir string, names ...string) string {
		text := fmt.Sprintf("listen: 127.0.0.1:0\nreload: watch\nstore: {driver: none}\nprovider_dir: %s\nupstreams:\n", filepath.Join(dir, "providers"))
		for _, name := range names {
			text += fmt.Sprintf("  %s: {provider: vessl, base_url: %q}\n", name, upstream.URL)
		}
		return text
	}
	if err := os.Mkdir(filepath.Join(dir, "providers"), 0o700); err != nil {
		t.Fatal(err)
	}
	version := func(name, text string) { swap(t, dir, name, text) }
	version("..1", config(dir, "one"))
	file := filepath.Join(dir, "config.yaml")
	p := start(t, "serve", "--config", file)
	p.stderr.await(t, `msg=listening`)
	p.stderr.await(t, `msg="configuration files are watched"`)
	reloads := func() int { return strings.Count(p.stderr.String(), `msg="configuration reloaded"`) }

	version("..2", config(dir, "one", "two"))
	p.stderr.await(t, `msg="configuration reloaded" upstreams=2`)
	writeIn(t, filepath.Join(dir, "..2"), "config.yaml", config(dir, "one", "two", "three")) // in place
	p.stderr.await(t, `msg="configuration reloaded" upstreams=3`)
	writeIn(t, filepath.Join(dir, "providers"), "own.yaml", "name: own\n")
	p.stderr.await(t, `msg="configuration not reloaded" fault=.*own.yaml`)
	if err := os.Remove(filepath.Join(dir, "providers", "own.yaml")); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); reloads() < 3; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the file that was wrong is gone, and nothing was reloaded:\n%s", p.stderr)
		}
	}
	before := reloads()
	version("..3", config(dir, "one", "two", "three")) // the same text
	writeIn(t, dir, "unrelated.txt", "x")
	time.Sleep(time.Second)
	if got := reloads(); got != before {
		t.Errorf("nothing changed, and %d reloads", got-before)
	}
	version("..4", strings.Replace(config(dir, "one"), "reload: watch", "reload: signal", 1))
	p.stderr.await(t, `msg="configuration reloaded" upstreams=1`)
	before = reloads()
	version("..5", config(dir, "one", "two"))
	time.Sleep(time.Second)
	if got := reloads(); got != before {
		t.Error("reloaded, although the files are not watched any more")
	}
	if code := p.end(t); code != exitOK {
		t.Errorf("serve ended with %d", code)
	}
}

// TestStreamsOutliveReload: 1,000 event streams are open while the config changes
// under them, by a swap of links and in place, and none is cut.
func TestStreamsOutliveReload(t *testing.T) {
	const streams = 1000
	upstream := progressing(t)
	dir := t.TempDir()
	config := func(level string) string {
		return fmt.Sprintf("listen: 127.0.0.1:0\nreload: watch\nstore: {driver: none}\nlog: {level: %s}\nupstreams:\n  one: {provider: vessl, base_url: %q, freshness: {in_progress: 1h}}\n", level, upstream.URL)
	}
	swap(t, dir, "..1", config("info"))
	p := start(t, "serve", "--config", filepath.Join(dir, "config.yaml"))
	base := "http://" + p.stderr.await(t, `msg=listening address=(\S+)`)[1]
	p.stderr.await(t, `msg="configuration files are watched"`)
	var open, ended sync.WaitGroup
	var cut atomic.Int64
	var leaving atomic.Bool
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var bodies sync.Map
	for n := range streams {
		open.Add(1)
		ended.Go(func() {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("%s/v1/tasks/one/task%d", base, n%10), nil)
			if err != nil {
				t.Error(err)
			}
			r.Header.Set("Accept", "text/event-stream")
			r.Header.Set("Authorization", "Bearer of-this-test")
			answer, err := client.Do(r)
			if err != nil {
				open.Done()
				t.Error(err)
				return
			}
			bodies.Store(n, answer.Body)
			lines := bufio.NewScanner(answer.Body)
			lines.Buffer(nil, 1<<20)
			for first := true; lines.Scan(); {
				if first && strings.HasPrefix(lines.Text(), "id:") {
					first = false
					open.Done()
				}
			}
			if !leaving.Load() {
				cut.Add(1)
			}
		})
	}
	open.Wait()
	swap(t, dir, "..2", config("debug"))
	p.stderr.await(t, `msg="configuration reloaded"`)
	writeIn(t, filepath.Join(dir, "..2"), "config.yaml", config("info")+"limits: {streams: 1}\n")
	for deadline := time.Now().Add(20 * time.Second); strings.Count(p.stderr.String(), `msg="configuration reloaded"`) < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not reloaded again:\n%s", p.stderr)
		}
	}
	_, metrics, _ := get(t, base+"/metrics")
	if want := fmt.Sprintf("\npollux_streams_open %d\n", streams); !strings.Contains(metrics, want) || cut.Load() > 0 {
		t.Errorf("%d of %d streams were cut; want%s", cut.Load(), streams, want)
	}
	leaving.Store(true)
	bodies.Range(func(_, body any) bool { body.(io.Closer).Close(); return true })
	ended.Wait()
	if code := p.end(t); code != exitOK {
		t.Errorf("serve ended with %d", code)
	}
}
