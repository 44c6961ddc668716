package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"pollux/providers"
	"pollux/providers/sandbox"
)

// childConfig names the environment variable that makes the test binary a
// server to be killed.
const childConfig = "POLLUX_TEST_SERVE"

func serveUntilKilled(file string) int {
	return run(context.Background(), []string{"serve", "--config", file}, strings.NewReader(""), os.Stdout, os.Stderr)
}

const webhooksDir = "../../proxy/webhooks/testdata/webhooks"

// delivered is one request that a receiver got.
type delivered struct {
	path    string
	headers map[string]string
	body    string
}

// receiver is a socket that webhooks are sent to. Now and then it fails.
type receiver struct {
	*httptest.Server
	mu  sync.Mutex
	got []delivered
}

func newReceiver(t *testing.T, failing float64) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return // killed while sending
		}
		headers := map[string]string{}
		for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
			headers[name] = q.Header.Get(name)
		}
		r.mu.Lock()
		r.got = append(r.got, delivered{q.URL.Path, headers, string(body)})
		r.mu.Unlock()
		if rand.Float64() < failing {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) all() []delivered {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// child is a server in a process of its own.
type child struct {
	process *exec.Cmd
	stderr  *transcript
	base    string
}

func startChild(t *testing.T, config string) *child {
	t.Helper()
	c := &child{process: exec.Command(os.Args[0]), stderr: newTranscript()}
	c.process.Env = append(os.Environ(), childConfig+"="+config)
	c.process.Stderr = c.stderr
	if err := c.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	c.base = "http://" + c.stderr.await(t, `msg=listening address=(\S+)`)[1]
	return c
}

func (c *child) kill() {
	_ = c.process.Process.Kill() // it may be dead already
	_ = c.process.Wait()         // "signal: killed"
}

// post sends one request with the credential of a team.
func (c *child) post(path, body string) (code int, answer string, err error) {
	request, err := http.NewRequest(http.MethodPost, c.base+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Authorization", "Bearer team-1")
	request.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	res, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

// accepted is one webhook that Pollux has confirmed.
type accepted struct {
	path, id, secret string
	tasks            []string
}

// TestWebhooksSurviveKills kills Pollux at random moments: every webhook that
// it accepted is told of each of its tasks at least once, always under the same
// id, and every message verifies with the public library.
func TestWebhooksSurviveKills(t *testing.T) {
	t.Parallel()
	install(t, webhooksDir, "node", "npm")
	set, err := providers.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	upstream, err := sandbox.New(set, sandbox.Options{Seed: 3, Speed: 40})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(upstream)
	defer front.Close()
	r := newReceiver(t, 0.1)
	dir := t.TempDir()
	config := writeIn(t, dir, "config.yaml", fmt.Sprintf(`listen: 127.0.0.1:0
store: {path: %s}
webhooks: {allow_networks: [127.0.0.0/8]}
upstreams: {vessl: {provider: vessl, base_url: "%s/vessl"}}
`, filepath.Join(dir, "pollux.db"), front.URL))

	var all []accepted
	for round := range 10 {
		c := startChild(t, config)
		deadline := time.After(time.Duration(rand.IntN(900)) * time.Millisecond)
		for n := range 6 {
			one := accepted{path: fmt.Sprintf("/%d/%d", round, n)}
			for range 2 {
				id, err := upstream.Create("vessl", nil, "team-1", "")
				if err != nil {
					t.Fatal(err)
				}
				one.tasks = append(one.tasks, id)
			}
			code, answer, err := c.post("/v1/webhooks", fmt.Sprintf(`{"tasks":["vessl/%s","vessl/%s"],"url":"%s%s?token=hidden"}`,
				one.tasks[0], one.tasks[1], r.URL, one.path))
			if err != nil || code != http.StatusCreated {
				t.Fatalf("register: %d %s %v\n%s", code, answer, err, c.stderr)
			}
			one.id, one.secret = gjson.Get(answer, "id").Str, gjson.Get(answer, "secret").Str
			all = append(all, one)
		}
		<-deadline
		c.kill()
	}
	c := startChild(t, config)
	r.awaitAll(t, c, all)
	checkIDs(t, r.all())
	verifyAll(t, all, r.all())
	for _, name := range []string{"pollux.db", "pollux.db-wal"} {
		if raw, err := os.ReadFile(filepath.Join(dir, name)); err == nil && (bytes.Contains(raw, []byte("team-1")) || bytes.Contains(raw, []byte("token=hidden"))) {
			t.Errorf("%s holds a secret in clear", name)
		}
	}
}

// awaitAll waits until every webhook was told of each of its tasks.
func (r *receiver) awaitAll(t *testing.T, c *child, all []accepted) {
	t.Helper()
	late := time.Now().Add(90 * time.Second)
	for {
		told := map[string]bool{}
		for _, d := range r.all() {
			told[d.path+" "+gjson.Get(d.body, "data.id").Str] = true
		}
		missing := ""
		for _, one := range all {
			for _, task := range one.tasks {
				if !told[one.path+" "+task] {
					missing += fmt.Sprintf("webhook %s, task %s\n", one.id, task)
				}
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("never told:\n%s%s", missing, c.stderr)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// checkIDs fails if one event came under two ids, or two under one.
func checkIDs(t *testing.T, got []delivered) {
	t.Helper()
	ids, events := map[string]string{}, map[string]string{}
	for _, d := range got {
		event, id := d.path+" "+gjson.Get(d.body, "data.id").Str+" "+gjson.Get(d.body, "type").Str, d.headers["webhook-id"]
		if known, ok := ids[event]; ok && known != id {
			t.Errorf("%s came as %s and as %s", event, known, id)
		}
		if known, ok := events[id]; ok && known != event {
			t.Errorf("%s stands for %s and for %s", id, known, event)
		}
		ids[event], events[id] = id, event
		if !gjson.Get(d.body, "data.terminal").Bool() {
			t.Errorf("told of a task that has not ended: %s", d.body)
		}
	}
	if len(got) > 0 {
		t.Logf("%d messages for %d events", len(got), len(ids))
	}
}

// verifyAll checks messages with npm's standardwebhooks, and that it refuses
// what was tampered with.
func verifyAll(t *testing.T, all []accepted, got []delivered) {
	t.Helper()
	secrets := map[string]string{}
	for _, one := range all {
		secrets[one.path] = one.secret
	}
	type check struct {
		Secret  string            `json:"secret"`
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	}
	var checks []check
	for _, d := range got {
		checks = append(checks, check{secrets[d.path], d.headers, d.body})
	}
	good := len(checks)
	d := got[len(got)-1]
	for _, seconds := range []int64{-301, 301} {
		at, err := strconv.ParseInt(d.headers["webhook-timestamp"], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		headers := map[string]string{"webhook-id": d.headers["webhook-id"], "webhook-signature": d.headers["webhook-signature"],
			"webhook-timestamp": strconv.FormatInt(at+seconds, 10)}
		checks = append(checks, check{secrets[d.path], headers, d.body})
	}
	checks = append(checks, check{secrets[d.path], d.headers, d.body + " "})
	for i, verdict := range verify(t, checks) {
		if (verdict == "ok") != (i < good) {
			t.Errorf("message %d of %d, the last 3 of them forged: the library says %q", i, len(checks), verdict)
		}
	}
}

// verify runs the receiver's script over checks.
func verify[T any](t *testing.T, checks []T) []string {
	t.Helper()
	var lines bytes.Buffer
	for _, c := range checks {
		if err := json.NewEncoder(&lines).Encode(c); err != nil {
			t.Fatal(err)
		}
	}
	node := exec.CommandContext(t.Context(), "node", "verify.mjs")
	node.Dir, node.Stdin = webhooksDir, &lines
	out, err := node.CombinedOutput()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, out)
	}
	verdicts := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(verdicts) != len(checks) {
		t.Fatalf("%d verdicts on %d messages:\n%s", len(verdicts), len(checks), out)
	}
	return verdicts
}
