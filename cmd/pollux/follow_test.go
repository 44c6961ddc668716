package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pollux/providers"
	"pollux/providers/sandbox"
)

// TestFollowToTheEnd: npm's eventsource and a real browser follow a task, and
// stop by themselves once it has ended.
func TestFollowToTheEnd(t *testing.T) {
	t.Parallel()
	install(t, webhooksDir, "node", "npm", "chromium")
	set, err := providers.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	upstream, err := sandbox.New(set, sandbox.Options{Seed: 1, Speed: 60})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(upstream)
	t.Cleanup(front.Close)
	dir := t.TempDir()
	writeIn(t, dir, "config.yaml", fmt.Sprintf(`listen: 127.0.0.1:0
store: {driver: none}
upstreams:
  vessl: {provider: vessl, base_url: "%[1]s/vessl"}
  held: {provider: vessl, base_url: "%[1]s/vessl", credential: {value: team-1}}
`, front.URL))
	p := start(t, "serve", "--config", filepath.Join(dir, "config.yaml"))
	base := "http://" + p.stderr.await(t, `msg=listening address=(\S+)`)[1]
	task := func() string {
		id, err := upstream.Create("vessl", nil, "team-1", "")
		if err != nil {
			t.Fatal(err)
		}
		return id
	}

	node := exec.CommandContext(t.Context(), "node", "follow.mjs", base+"/v1/tasks/vessl/"+task(), "Bearer team-1")
	node.Dir = webhooksDir
	out, err := node.Output()
	if err != nil {
		t.Fatalf("node: %v", err)
	}
	checkStatuses(t, "npm eventsource", out)

	checkStatuses(t, "Chromium", browse(t, base, "/v1/tasks/held/"+task()))
	if code := p.end(t); code != exitOK {
		t.Errorf("exit code %d:\n%s", code, p.stderr)
	}
}

// checkStatuses fails unless a follower saw each status once, the last one
// terminal.
func checkStatuses(t *testing.T, who string, text []byte) {
	t.Helper()
	var statuses []string
	if err := json.Unmarshal(text, &statuses); err != nil || len(statuses) == 0 {
		t.Fatalf("%s saw %q, %v", who, text, err)
	}
	if last := statuses[len(statuses)-1]; !slices.Contains([]string{"completed", "failed", "cancelled", "incomplete", "timed_out"}, last) {
		t.Errorf("%s saw %v, want an end", who, statuses)
	}
	if len(slices.Compact(slices.Clone(statuses))) != len(statuses) {
		t.Errorf("%s saw %v, want no status twice", who, statuses)
	}
}

// browse opens a page in Chromium that follows a task, and returns what it
// reports. The page comes from the same origin as Pollux, as behind a proxy.
func browse(t *testing.T, base, path string) []byte {
	t.Helper()
	pollux, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan []byte, 1)
	mux := http.NewServeMux()
	mux.Handle("/v1/", &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(pollux) }})
	mux.HandleFunc("GET /follow.html", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(webhooksDir, "follow.html"))
	})
	mux.HandleFunc("POST /seen", func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil {
			seen <- body
		}
	})
	origin := httptest.NewServer(mux)
	t.Cleanup(func() { http.DefaultTransport.(*http.Transport).CloseIdleConnections() })
	t.Cleanup(origin.Close)
	log := newTranscript()
	chromium := exec.CommandContext(t.Context(), "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--user-data-dir="+t.TempDir(), origin.URL+"/follow.html?task="+url.QueryEscape(path))
	chromium.Stderr, chromium.WaitDelay = log, time.Second
	chromium.Cancel = func() error { return chromium.Process.Kill() }
	if err := chromium.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = chromium.Process.Kill() // it stays open by itself
		_ = chromium.Wait()
	}()
	select {
	case body := <-seen:
		return body
	case <-time.After(60 * time.Second):
		t.Fatalf("the browser never came to an end:\n%s", log)
		return nil
	}
}
