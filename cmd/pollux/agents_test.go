package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"pollux/providers"
	"pollux/providers/sandbox"
)

const agentsDir = "testdata/agents"

// agentsFront is a Pollux in front of simulated upstreams.
func agentsFront(t *testing.T, speed float64) (upstream *sandbox.Server, base string) {
	t.Helper()
	set, err := providers.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	if upstream, err = sandbox.New(set, sandbox.Options{Seed: 7, Speed: speed}); err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(upstream)
	t.Cleanup(front.Close)
	dir := t.TempDir()
	writeIn(t, dir, "config.yaml", fmt.Sprintf(`listen: 127.0.0.1:0
store: {driver: none}
upstreams:
  vessl: {provider: vessl, base_url: "%[1]s/vessl"}
  shannon: {provider: shannon, base_url: "%[1]s/shannon"}
  held: {provider: vessl, base_url: "%[1]s/vessl", credential: {value: team-2}}
`, front.URL))
	p := start(t, "serve", "--config", filepath.Join(dir, "config.yaml"))
	t.Cleanup(func() { // it drains for a moment, and is not to outlive its test
		if code := p.end(t); code != exitOK {
			t.Errorf("exit code %d:\n%s", code, p.stderr)
		}
	})
	return upstream, "http://" + p.stderr.await(t, `msg=listening address=(\S+)`)[1]
}

// make starts a task for a credential.
func makeTask(t *testing.T, s *sandbox.Server, provider, credential, lifecycle string) string {
	t.Helper()
	id, err := s.Create(provider, nil, credential, lifecycle)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestAgentClients drives every tool through the official clients: TypeScript
// over HTTP and over standard input and output, and Go in the newest
// revision.
func TestAgentClients(t *testing.T) {
	t.Parallel()
	install(t, agentsDir, "node", "npm", "go")
	upstream, base := agentsFront(t, 20)
	program := filepath.Join(t.TempDir(), "pollux")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	ended := "vessl/" + makeTask(t, upstream, "vessl", "team-1", "")
	if code, doc := askJSON(t, "GET", base+"/v1/tasks/"+ended+"?wait=60", "", map[string]string{"Authorization": "Bearer team-1"}); code != 200 || !doc.Get("terminal").Bool() {
		t.Fatalf("%d %s", code, doc.Raw)
	}
	for _, c := range []struct {
		name, dir string
		command   []string
		told      bool // progress is told, and counted
	}{
		{"TypeScript over HTTP", agentsDir, []string{"node", "client.mjs", "http", base + "/mcp"}, true},
		{"TypeScript over standard input", agentsDir, []string{"node", "client.mjs", "stdio", program}, false}, // notice and answer may arrive as one,
		{"Go", filepath.Join(agentsDir, "goclient"), []string{"go", "run", ".", base + "/mcp"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			endless := "vessl/" + makeTask(t, upstream, "vessl", "team-1", "stuck")
			running := "vessl/" + makeTask(t, upstream, "vessl", "team-1", "")
			command := exec.CommandContext(t.Context(), c.command[0], append(c.command[1:], "Bearer team-1", running, ended, endless)...)
			command.Dir, command.Env = c.dir, append(os.Environ(), "POLLUX_SERVER="+base)
			var stderr bytes.Buffer
			command.Stderr = &stderr
			text, err := command.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, &stderr)
			}
			out := gjson.ParseBytes(text)
			for path, want := range map[string]string{
				"tools": `["wait_for_tasks","get_task","list_tasks","cancel_task"]`,
				"waited.structuredContent.results.0.terminal": "true", "waited.structuredContent.done": "true",
				"got.structuredContent.document.terminal": "true", "got.structuredContent.document.output": "",
				"page.structuredContent.offset": "0", "listed.structuredContent.rows.0.upstream": "vessl",
				"lost.isError": "true", "lost.structuredContent.results.0.problem.status": "400",
				"wrong.isError": "true", "cancelled.structuredContent.accepted": "false",
			} {
				if got := out.Get(path).String(); got != want {
					t.Errorf("%s is %q, want %q", path, got, want)
				}
			}
			if c.told && out.Get("told").Int() == 0 {
				t.Error("nothing was told while it waited")
			}
			if aborted := out.Get("aborted"); aborted.Exists() && aborted.String() != "aborted" {
				t.Errorf("an aborted call was %s", aborted)
			}
		})
	}
}

// callTool calls a tool as somebody and returns its result.
func callTool(ctx context.Context, base, credential, tool, arguments string) (gjson.Result, error) {
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `","arguments":` + arguments + `}}`
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/mcp", strings.NewReader(body))
	if err != nil {
		return gjson.Result{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	if credential != "" {
		request.Header.Set("Authorization", credential)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return gjson.Result{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return gjson.ParseBytes(text).Get("result"), err
}

// TestAgentsWaitTogether: many agents wait for the same jobs, and the upstream
// is polled as for one.
func TestAgentsWaitTogether(t *testing.T) {
	t.Parallel()
	const agents, jobs = 50, 10
	upstream, base := agentsFront(t, 4)
	var refs []string
	for range jobs {
		refs = append(refs, `"vessl/`+makeTask(t, upstream, "vessl", "team-1", "")+`"`)
	}
	arguments := `{"tasks":[` + strings.Join(refs, ",") + `],"timeout_seconds":5}`
	begun := time.Now()
	var waiting sync.WaitGroup
	var mostCalls atomic.Int64
	for range agents {
		waiting.Go(func() {
			for calls := int64(1); ; calls++ {
				r, err := callTool(t.Context(), base, "Bearer team-1", "wait_for_tasks", arguments)
				if err != nil || r.Get("isError").Bool() {
					t.Errorf("%v %s", err, r.Raw)
					return
				}
				if size := len(r.Raw); size > 400*jobs {
					t.Errorf("an answer about %d tasks has %d bytes", jobs, size)
				}
				if r.Get("structuredContent.done").Bool() {
					for n := mostCalls.Load(); calls > n && !mostCalls.CompareAndSwap(n, calls); n = mostCalls.Load() {
					}
					return
				}
			}
		})
	}
	waiting.Wait()
	took := time.Since(begun)
	if most := int64(took/(5*time.Second)) + 2; mostCalls.Load() > most {
		t.Errorf("%d tool calls in %v, want at most %d", mostCalls.Load(), took, most)
	}
	polls, most := upstream.Stats().Upstreams["vessl"].Polls, int64(jobs)*(int64(took/time.Second)+3)
	if polls > most {
		t.Errorf("%d upstream polls in %v for %d agents, want at most %d: one a second and job", polls, took, agents, most)
	}
}

func TestAgentsAndCredentials(t *testing.T) {
	upstream, base := agentsFront(t, 1)
	mine := "vessl/" + makeTask(t, upstream, "vessl", "team-1", "stuck")
	held := "held/" + makeTask(t, upstream, "vessl", "team-2", "stuck")
	unknown := "vessl/zzzzzzzzzzzz"
	wait := func(credential string, refs ...string) gjson.Result {
		t.Helper()
		r, err := callTool(t.Context(), base, credential, "wait_for_tasks", `{"tasks":["`+strings.Join(refs, `","`)+`"],"timeout_seconds":0}`)
		if err != nil {
			t.Fatal(err)
		}
		return r.Get("structuredContent.results")
	}
	if r := wait("Bearer team-1", mine, held); r.Get("0.status").String() == "" || r.Get("1.status").String() == "" {
		t.Errorf("a task of one's own, and one of an upstream whose key Pollux holds: %s", r.Raw)
	}
	foreign, lost := wait("Bearer team-3", mine).Get("0.problem").Raw, wait("Bearer team-3", unknown).Get("0.problem").Raw
	if foreign != lost || foreign == "" {
		t.Errorf("somebody else's task looks like %s, and one that does not exist like %s", foreign, lost)
	}
	if r := wait("Bearer team-1", mine, "shannon/task-1", held); r.Get("0.problem.status").Int() != 401 || r.Get("1.problem.status").Int() != 401 || r.Get("2.status").String() == "" {
		t.Errorf("a header that may be meant for two upstreams serves none: %s", r.Raw)
	}
	if r := wait("", mine); r.Get("0.problem.status").Int() != 401 {
		t.Errorf("without a credential: %s", r.Raw)
	}
}

// TestAgentsThatLeave: an aborted call leaves nothing behind.
func TestAgentsThatLeave(t *testing.T) {
	upstream, base := agentsFront(t, 1)
	ref := "vessl/" + makeTask(t, upstream, "vessl", "team-1", "stuck")
	ctx, abort := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer abort()
	if r, err := callTool(ctx, base, "Bearer team-1", "wait_for_tasks", `{"tasks":["`+ref+`"]}`); err == nil {
		t.Fatalf("answered: %s", r.Raw)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		_, metrics, _ := get(t, base+"/metrics")
		if strings.Contains(metrics, "\npollux_waits_open 0\n") && strings.Contains(metrics, "\npollux_followed_tasks 0\n") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the wait goes on although nobody waits")
		}
	}
}

// askJSON sends a request and reads the answer.
func askJSON(t *testing.T, method, url, body string, header map[string]string) (int, gjson.Result) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, gjson.ParseBytes(text)
}
