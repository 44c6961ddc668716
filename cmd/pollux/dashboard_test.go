package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

const dashboardDir = "testdata/dashboard"

// canary is in every string that the upstream of this test says. A page that
// takes it for markup runs it.
const canary = `<img src=x onerror="globalThis.pwned=1"><script>globalThis.pwned=1</script>`

// TestDashboardInBrowser has a real Chromium use the dashboard of a real Pollux
// as a person would: filters, search, a task that changes while it is watched,
// forgetting, the login, and a Pollux that restarts under it.
func TestDashboardInBrowser(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"node", "chromium", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is not installed: make deps installs what the tests start", program)
		}
	}
	jobs := newJobServer()
	upstream := httptest.NewServer(jobs)
	t.Cleanup(upstream.Close)
	dir := t.TempDir()
	provider, err := os.ReadFile(filepath.Join(dashboardDir, "jobs.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	writeIn(t, dir, "jobs.yaml", strings.ReplaceAll(string(provider), "CANARY", canary))
	key, hash := newKey(t)

	open := newPollux(t, dir, "open", "127.0.0.1", fmt.Sprintf("upstreams:\n  jobs: {provider: jobs, base_url: %[1]q, breaker: {open_for: 2s, open_for_max: 2s}}\n  spare: {provider: jobs, base_url: %[1]q}\n", upstream.URL))
	keyed := newPollux(t, dir, "keyed", "127.0.0.1", fmt.Sprintf("upstreams:\n  held: {provider: jobs, base_url: %q, credential: {value: team-1}}\nclients:\n  - {name: me, key: %q, upstreams: [\"*\"], scopes: [read, fleet, purge]}\n", upstream.URL, hash))
	anonymous := newPollux(t, dir, "anonymous", "0.0.0.0", fmt.Sprintf("allow_anonymous: true\nupstreams:\n  jobs: {provider: jobs, base_url: %q}\n", upstream.URL))
	for _, status := range jobs.ids() {
		jobs.polled(t, open.task("jobs", status), "Authorization: Bearer team-1")
		jobs.polled(t, keyed.task("held", status), "X-Pollux-Key: "+key)
	}

	control := httptest.NewServer(controls(map[string]func(*http.Request) error{
		"/down": func(*http.Request) error { return open.down() },
		"/up":   func(*http.Request) error { open.up(t); return nil },
		"/move": func(r *http.Request) error { return jobs.move(r.FormValue("id"), r.FormValue("state")) },
		"/poll": func(r *http.Request) error {
			return pollOnce(r.Context(), open.task("jobs", r.FormValue("id")), "Authorization: Bearer team-1")
		},
		"/die": func(r *http.Request) error {
			jobs.dies(true)
			for i := range 6 { // nobody knows these yet, so each is asked for
				pollOnce(r.Context(), open.task("jobs", fmt.Sprint("ghost-", i)), "Authorization: Bearer team-1")
			}
			return nil
		},
		"/revive": func(r *http.Request) error {
			jobs.dies(false)
			// The upstream does not know it either; until it says so, it is not asked.
			for !strings.Contains(fmt.Sprint(pollOnce(r.Context(), open.task("jobs", "ghost"), "Authorization: Bearer team-1")), "404") {
				if err := r.Context().Err(); err != nil {
					return err
				}
				time.Sleep(50 * time.Millisecond)
			}
			return nil
		},
		"/polls": func(r *http.Request) error { return number(jobs.polls(r.FormValue("id"))) },
	}))
	t.Cleanup(control.Close)

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	node := exec.CommandContext(ctx, "node", "--experimental-websocket", "--no-warnings", "drive.mjs")
	node.Dir = dashboardDir
	node.Env = append(os.Environ(), "OPEN="+open.base, "KEYED="+keyed.base, "ANONYMOUS="+anonymous.base, "KEY="+key, "CONTROL="+control.URL, "NO_COLOR=1")
	// Chromium is a child of node: it ends by node's own hand, asked to end.
	node.Cancel = func() error { return node.Process.Signal(os.Interrupt) }
	node.WaitDelay = 5 * time.Second
	if out, err := node.CombinedOutput(); err != nil {
		t.Errorf("node: %v\n%s", err, bytes.ReplaceAll(out, []byte(key), []byte("(key)")))
	}
	for _, p := range []*restartable{open, keyed, anonymous} {
		if err := p.down(); err != nil {
			t.Error(err)
		}
	}
}

// newKey makes a Pollux key as a user does.
func newKey(t *testing.T) (key, hash string) {
	t.Helper()
	made := runWith(t, "", "key", "new", "me")
	m := regexp.MustCompile(`(?s)\n  (\S+)\n.*key: "([^"]+)"`).FindStringSubmatch(made.stdout)
	if m == nil {
		t.Fatalf("key new ends with %d", made.code)
	}
	return m[1], m[2]
}

// restartable is a Pollux that comes back at the same address.
type restartable struct {
	file, base string

	mu  sync.Mutex
	now *running // guarded by mu
}

// newPollux starts one on a free port of host, whose providers and store are in
// dir.
func newPollux(t *testing.T, dir, name, host, config string) *restartable {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free.Addr().String())
	free.Close()
	file := writeIn(t, dir, name+".conf", fmt.Sprintf("listen: %s:%s\nstore: {path: %q}\nprovider_dir: %q\n%s", host, port, filepath.Join(dir, name+".db"), dir, config))
	p := &restartable{file: file, base: "http://127.0.0.1:" + port}
	p.up(t)
	p.now.stderr.await(t, `msg=listening`)
	return p
}

func (p *restartable) up(t *testing.T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = start(t, "serve", "--config", p.file)
}

func (p *restartable) down() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.stop()
	select {
	case code := <-p.now.ended:
		if code != exitOK {
			return fmt.Errorf("exit code %d: %s", code, p.now.stderr)
		}
		return nil
	case <-time.After(10 * time.Second):
		return errors.New("still running ten seconds later")
	}
}

// task is the address of one.
func (p *restartable) task(upstream, id string) string {
	return p.base + "/v1/tasks/" + upstream + "/" + url.PathEscape(id)
}

// jobServer is an upstream whose jobs move when they are told to.
type jobServer struct {
	mu    sync.Mutex
	state map[string]string // guarded by mu; by id, without the canary
	asked map[string]int    // guarded by mu
	dead  bool              // guarded by mu
}

func newJobServer() *jobServer {
	s := &jobServer{state: map[string]string{}, asked: map[string]int{}}
	for _, state := range []string{"WAITING", "ACTIVE", "HELD", "DONE", "CUT", "ERROR", "NEWS"} {
		s.state["job-"+strings.ToLower(state)+canary] = state
	}
	return s
}

func (s *jobServer) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for id := range s.state {
		all = append(all, id)
	}
	return all
}

func (s *jobServer) move(id, state string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state[id] == "" {
		return fmt.Errorf("there is no job %q", id)
	}
	s.state[id] = state
	return nil
}

// dies has every connection cut from now on, or none any more.
func (s *jobServer) dies(dead bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = dead
}

func (s *jobServer) polls(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[id]
}

// ServeHTTP answers a poll, with the canary in every value and name.
func (s *jobServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimPrefix(r.URL.Path, "/jobs/")
	s.mu.Lock()
	state := s.state[id]
	s.asked[id]++
	dead := s.dead
	s.mu.Unlock()
	if dead {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	if state == "" || r.Header.Get("Authorization") != "Bearer team-1" {
		w.WriteHeader(http.StatusNotFound)
		json.NewEncoder(w).Encode(map[string]string{"code": "none", "message": canary})
		return
	}
	call := map[string]string{"id": "call" + canary, "name": "look" + canary, "arguments": "{\"x\": \"" + canary}
	job := map[string]any{
		"id": id, "state": state + canary, "model": "small" + canary, "stage": "planning" + canary, "reason": "length" + canary,
		"digits": json.Number("90071992547409931234"), "name" + canary: canary,
		"calls":  []map[string]string{call},
		"result": map[string]any{"text": "said " + canary, "list": []string{canary}},
	}
	if state == "ERROR" {
		job["fault"] = map[string]string{"code": "E" + canary, "kind": "kind" + canary, "message": "it broke " + canary}
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false) // as most upstreams
	encoder.Encode(job)
}

// polled reads a task once.
func (*jobServer) polled(t *testing.T, address, header string) {
	t.Helper()
	if err := pollOnce(t.Context(), address, header); err != nil {
		t.Fatal(err)
	}
}

func pollOnce(ctx context.Context, address, header string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	name, value, _ := strings.Cut(header, ": ")
	request.Header.Set(name, value)
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", address, answer.Status)
	}
	return nil
}

// number is a control's answer that is no failure.
type number int

func (n number) Error() string { return fmt.Sprint(int(n)) }

// controls lets the script in the browser's process ask for what only this
// process can do.
func controls(all map[string]func(*http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := all[r.URL.Path](r)
		var n number
		if err != nil && !errors.As(err, &n) {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, int(n))
	})
}
