package main

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"pollux/providers"
	"pollux/providers/sandbox"
)

const (
	clientsDir = "testdata/clients"
	clientKey  = "sk-client-canary"

	// loopbackOnly makes node fail a script that tries to leave the machine.
	loopbackOnly = "./loopback.mjs"

	crowd = 20 // clients that poll the same task at the same time

	// lifetime is how long an answer is fresh in this test: the least that
	// every provider file allows.
	lifetime = time.Second
)

// TestClients starts the vendors' own clients against Pollux, in front of the
// simulated upstreams and of an A2A agent that nobody here wrote. All they are
// told is another base URL.
func TestClients(t *testing.T) {
	t.Parallel()
	install(t, clientsDir, "node", "npm", "curl")
	front := newFront(t, 4)
	front.simulate(t, "aitronos", "gumloop-flow", "openai", "orq", "shannon", "vessl")
	front.add(t, "a2a", "/agent", agent(t))
	front.serve(t)
	for _, c := range []struct {
		script, upstream string
		document         string            // of the task that the crowd polled, with %s for its id
		want             map[string]string // members of the script's result
	}{
		{"openai.mjs", "openai", "/v1/tasks/openai/%s", map[string]string{
			"created": "queued", "status": "completed", "model": "gpt-5.1", "cancelled": "cancelled", "after_cancel": "cancelled",
			"missing.status": "404", "missing.error": "NotFoundError", "missing.type": "invalid_request_error", "detailed": "completed",
		}},
		{"orq.mjs", "orq", "/v1/tasks/orq/my%%20agent%%2Fx/%s", map[string]string{
			"status": "completed", "finish_reason": "stop", "calls": "function_call", "call": "get_local_events",
			"same_task": "true", "stale": "false", "finished": "completed", "finished_reason": "stop",
			"missing.status": "404", "missing.error": "HonoApiError",
		}},
		{"gumloop.cjs", "gumloop-flow", "/v1/tasks/gumloop-flow/%s?user_id=user_2b9d71f0", map[string]string{
			"state": "DONE", "failed": "Flow execution failed: Flow started\nNode 2 failed: timeout", "missing.status": "404",
		}},
		{"a2a.mjs", "a2a", "/v1/tasks/a2a/%s", map[string]string{
			"created": "TASK_STATE_SUBMITTED", "state": "TASK_STATE_COMPLETED", "text": `You said "hello". Grüße! 🦦`,
			"question": "TASK_STATE_INPUT_REQUIRED", "asks": "For which day?", "stale": "false",
			"answered": "TASK_STATE_COMPLETED", "answer": `You said "on Friday". Grüße! 🦦`,
			"cancelled": "TASK_STATE_CANCELED", "after_cancel": "TASK_STATE_CANCELED", "missing": "RestTaskNotFoundError",
		}},
	} {
		t.Run(c.script, func(t *testing.T) {
			t.Parallel()
			out := front.runScript(t, c.script, c.upstream)
			for path, want := range c.want {
				if got := gjson.GetBytes(out.Result, path).String(); got != want {
					t.Errorf("%s is %q, want %q", path, got, want)
				}
			}
			task := gjson.GetBytes(out.Result, "task").String()
			front.checkBytes(t, c.upstream, out.Exchanges)
			front.checkPolls(t, c.upstream, task, out.Exchanges)
			front.checkDocument(t, fmt.Sprintf(c.document, task), task)
		})
	}
	for _, c := range []curlCase{
		{"aitronos", "X-API-Key: ", "/v1/model/response", `{"background": true}`, "id", "/v1/model/response/%s", `status="completed"`},
		{"vessl", "Authorization: Bearer ", "/async", `{"question": "?"}`, "id", "/async/%s/output", `status="completed"`},
		{"shannon", "X-API-Key: ", "/api/v1/tasks", `{"query": "What is the capital of France?"}`, "task_id", "/api/v1/tasks/%s", `model_used%"*"`},
	} {
		t.Run("curl "+c.upstream, func(t *testing.T) {
			t.Parallel()
			front.runCurl(t, c)
		})
	}
}

// installing is held while packages are installed: tests that run side by side
// share them.
var installing sync.Mutex

// install puts the packages of dir into node_modules, as its lock file says.
// They stay there, and a later run finds them as long as the lock file is the
// same. It fails unless the programs are there.
func install(t *testing.T, dir string, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v: this test needs %s (node 20 or later)", err, strings.Join(programs, ", "))
		}
	}
	installing.Lock()
	defer installing.Unlock()
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(lock)
	stamp, want := filepath.Join(dir, "node_modules", ".installed"), hex.EncodeToString(digest[:])
	if got, err := os.ReadFile(stamp); err == nil && string(got) == want {
		return
	}
	npm := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("npm ci in %s: %v\n%s", dir, err, out)
	}
	if err := os.WriteFile(stamp, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// front is Pollux with a witness between it and the upstreams.
type front struct {
	pollux    string // its address
	simulated http.Handler
	witnesses map[string]*witness
	upstreams string // of the config
}

// newFront is a front without upstreams. The tasks of those that are simulated
// take their time divided by speed.
func newFront(t *testing.T, speed float64) *front {
	t.Helper()
	set, err := providers.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	simulated, err := sandbox.New(set, sandbox.Options{Seed: 1, Speed: speed})
	if err != nil {
		t.Fatal(err)
	}
	return &front{simulated: simulated, witnesses: map[string]*witness{}}
}

// simulate adds simulated upstreams.
func (f *front) simulate(t *testing.T, names ...string) {
	for _, name := range names {
		f.add(t, name, "/"+name, f.simulated)
	}
}

// add puts an upstream behind the front.
func (f *front) add(t *testing.T, name, base string, upstream http.Handler) {
	w := &witness{upstream: upstream, base: base}
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	f.witnesses[name] = w
	f.upstreams += fmt.Sprintf("  %s: {provider: %[1]s, base_url: %s%s, freshness: {queued: %s, in_progress: %[4]s, requires_action: %[4]s}}\n",
		name, server.URL, base, lifetime)
}

// serve starts Pollux in front of what was added.
func (f *front) serve(t *testing.T) {
	t.Helper()
	port := freePort(t)
	f.pollux = "http://127.0.0.1:" + port
	p := start(t, "serve", "--config", write(t, "config.yaml", fmt.Sprintf("listen: 127.0.0.1:%s\npublic_url: %s\nstore: {path: %s}\nupstreams:\n%s",
		port, f.pollux, filepath.Join(t.TempDir(), "pollux.db"), f.upstreams)))
	p.stderr.await(t, `msg=listening address=(\S+)`)
	t.Cleanup(func() {
		if code := p.end(t); code != exitOK {
			t.Errorf("serve ended with %d:\n%s", code, p.stderr)
		}
		if strings.Contains(p.stderr.String(), clientKey) {
			t.Errorf("the log shows a credential:\n%s", p.stderr)
		}
	})
}

// agent starts an A2A agent made with the official SDK, and returns the way
// to it.
func agent(t *testing.T) http.Handler {
	t.Helper()
	node := exec.Command("node", "agent.mjs")
	node.Dir = clientsDir
	node.Stderr = t.Output()
	input, err := node.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		input.Close()
		node.Wait()
	})
	port, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatalf("the agent does not say its port: %v", err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "127.0.0.1:" + strings.TrimSpace(port)})
	proxy.Transport = transport
	return proxy
}

// witness passes requests on to an upstream and remembers what it said.
type witness struct {
	upstream  http.Handler
	base      string // path that stands before the upstream's own
	lifecycle string // that created tasks take unless the client says so; "" draws one

	mu   sync.Mutex
	seen []sighting // guarded by mu
}

type sighting struct {
	at     time.Time   // when the request arrived
	call   string      // method, path and query
	header http.Header // of the request
	status int
	body   string
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	s := sighting{at: time.Now(), call: callOf(r.Method, r.URL, w.base), header: r.Header.Clone()}
	if w.lifecycle != "" && r.Method == http.MethodPost && r.Header.Get(sandbox.LifecycleHeader) == "" {
		r.Header.Set(sandbox.LifecycleHeader, w.lifecycle)
	}
	answer := httptest.NewRecorder()
	w.upstream.ServeHTTP(answer, r)
	s.status, s.body = answer.Code, answer.Body.String()
	w.mu.Lock()
	w.seen = append(w.seen, s) // before the answer is out: whoever has it can look it up
	w.mu.Unlock()
	for name, values := range answer.Header() {
		rw.Header()[name] = values
	}
	rw.WriteHeader(s.status)
	io.WriteString(rw, s.body)
}

// all returns what the upstream was asked, in order.
func (w *witness) all() []sighting {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

// of returns what the upstream answered to a call, in order.
func (w *witness) of(call string) []sighting {
	var all []sighting
	for _, s := range w.all() {
		if s.call == call {
			all = append(all, s)
		}
	}
	return all
}

// callOf names a request the same on both sides of Pollux: the path below
// base as it was escaped, the query in the order of its names.
func callOf(method string, u *url.URL, base string) string {
	call := method + " " + strings.TrimPrefix(u.EscapedPath(), base)
	if query := u.Query().Encode(); query != "" {
		call += "?" + query
	}
	return call
}

// output is what a script prints.
type output struct {
	Result    json.RawMessage `json:"result"`
	Exchanges []exchange      `json:"exchanges"`
}

// exchange is one request of a client, and the answer as it reached its SDK.
type exchange struct {
	Method      string `json:"method"`
	URL         string `json:"url"`
	Status      int    `json:"status"`
	Body        []byte `json:"body"`
	CacheStatus string `json:"cache_status"`
}

func (e *exchange) call(t *testing.T, upstream string) string {
	t.Helper()
	u, err := url.Parse(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	return callOf(e.Method, u, "/native/"+upstream)
}

func (f *front) runScript(t *testing.T, script, upstream string) output {
	t.Helper()
	node := exec.CommandContext(t.Context(), "node", "--import", loopbackOnly, script)
	node.Dir = clientsDir
	node.Env = append(os.Environ(), "BASE_URL="+f.pollux+"/native/"+upstream, "API_KEY="+clientKey, fmt.Sprint("CROWD=", crowd))
	var stderr bytes.Buffer
	node.Stderr = &stderr
	stdout, err := node.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, stderr.String())
	}
	var out output
	if err := json.Unmarshal(stdout, &out); err != nil {
		t.Fatalf("%s prints %q: %v", script, stdout, err)
	}
	return out
}

// checkBytes compares every body that a client received with those that the
// upstream sent to the same call.
func (f *front) checkBytes(t *testing.T, upstream string, exchanges []exchange) {
	t.Helper()
	if len(exchanges) < crowd {
		t.Errorf("only %d exchanges", len(exchanges))
	}
	for _, e := range exchanges {
		sent := f.witnesses[upstream].of(e.call(t, upstream))
		if !slices.ContainsFunc(sent, func(s sighting) bool { return s.status == e.Status && s.body == string(e.Body) }) {
			t.Errorf("%s: the upstream never sent this: %d %s", e.call(t, upstream), e.Status, e.Body)
		}
	}
}

// checkPolls compares how often the crowd asked about a task with how often
// the upstream was asked: once per lifetime, whoever asks.
func (f *front) checkPolls(t *testing.T, upstream, task string, exchanges []exchange) {
	t.Helper()
	received := map[string]int{}
	for _, e := range exchanges {
		if call := e.call(t, upstream); e.Method == http.MethodGet && e.CacheStatus != "" && strings.Contains(call, task) {
			received[call]++
		}
	}
	call, polls := "", 0
	for c, n := range received {
		if n > polls {
			call, polls = c, n
		}
	}
	if task == "" || polls < crowd {
		t.Fatalf("task %q: the clients polled %d times, want at least once each", task, polls)
	}
	asked := f.witnesses[upstream].of(call)
	for i := 1; i < len(asked); i++ {
		// The answer comes after the request, so a lifetime is between two
		// requests at least; the tolerance is for the way to the witness.
		if pause := asked[i].at.Sub(asked[i-1].at); pause < lifetime-lifetime/5 {
			t.Errorf("%s: asked again after %v, within a lifetime of %v", call, pause, lifetime)
		}
	}
	if len(asked) == 0 || len(asked)*crowd/2 > polls {
		t.Errorf("%s: %d polls of %d clients became %d of the upstream", call, polls, crowd, len(asked))
	}
	t.Logf("%s: %d polls became %d", call, polls, len(asked))
}

// checkDocument reads the task that an SDK polled to its end, as a document:
// it comes from the same memory.
func (f *front) checkDocument(t *testing.T, path, task string) {
	t.Helper()
	// The version is part of what an A2A agent is asked; others are not told.
	body := curl(t, "Authorization: Bearer "+clientKey, "-H", "A2A-Version: 1.0", "-w", "%header{cache-status}", f.pollux+path)
	document, status, _ := bytes.Cut(body, []byte("pollux; "))
	if got := gjson.GetBytes(document, "[id,status,terminal]").Raw; got != `["`+task+`","completed",true]` || !bytes.HasPrefix(status, []byte("hit")) {
		t.Errorf("GET %s is %s with Cache-Status %q, want %s completed, and a hit", path, document, status, task)
	}
}

// curlCase is a vendor without a JavaScript client.
type curlCase struct {
	upstream   string
	credential string // header, up to the key
	create     string
	body       string
	id         string // GJSON path in the answer to a create
	poll       string // path with %s for the id
	ended      string // GJSON query that an object which has ended fits
}

func (f *front) runCurl(t *testing.T, c curlCase) {
	base := f.pollux + "/native/" + c.upstream
	lifecycle := cmp.Or(map[string]string{"vessl": "warm"}[c.upstream], "answer")
	created := curl(t, c.credential+clientKey, "-H", "Content-Type: application/json", "-H", sandbox.LifecycleHeader+": "+lifecycle,
		"-d", c.body, base+c.create)
	id := gjson.GetBytes(created, c.id).String()
	if id == "" {
		t.Fatalf("create: %s", created)
	}
	address := base + fmt.Sprintf(c.poll, url.PathEscape(id))
	var exchanges []exchange
	for deadline := time.Now().Add(60 * time.Second); ; {
		round := curlTogether(t, c.credential+clientKey, address)
		exchanges = append(exchanges, round...)
		if !slices.ContainsFunc(round, func(e exchange) bool { return !fits(e.Body, c.ended) }) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not over after a minute: %s", round[0].Body)
		}
		time.Sleep(lifetime / 5) // several rounds per lifetime, and time for the others
	}
	f.checkBytes(t, c.upstream, exchanges)
	f.checkPolls(t, c.upstream, id, exchanges)
}

// fits reports whether an object fits a GJSON query.
func fits(body []byte, query string) bool {
	return gjson.GetBytes(body, "[@this].#("+query+")").Exists()
}

// curl returns the body of one answer.
func curl(t *testing.T, credential string, args ...string) []byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "curl", append([]string{"-sS", "-H", credential}, args...)...).Output()
	if err != nil {
		t.Fatalf("curl: %v", err)
	}
	return out
}

// curlTogether makes as many requests as the crowd has members, all at the
// same time.
func curlTogether(t *testing.T, credential, address string) []exchange {
	t.Helper()
	dir := t.TempDir()
	args := []string{"-sS", "-i", "--parallel", "--parallel-immediate", "--parallel-max", fmt.Sprint(crowd), "-H", credential}
	for i := range crowd {
		args = append(args, "-o", filepath.Join(dir, fmt.Sprint(i)), address)
	}
	if out, err := exec.CommandContext(t.Context(), "curl", args...).CombinedOutput(); err != nil {
		t.Fatalf("curl: %v\n%s", err, out)
	}
	exchanges := make([]exchange, crowd)
	for i := range exchanges {
		raw, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		header, body, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
		answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(append(header, "\r\n\r\n"...))), nil)
		if err != nil {
			t.Fatalf("curl wrote %q: %v", raw, err)
		}
		answer.Body.Close()
		exchanges[i] = exchange{http.MethodGet, address, answer.StatusCode, body, answer.Header.Get("Cache-Status")}
	}
	return exchanges
}
