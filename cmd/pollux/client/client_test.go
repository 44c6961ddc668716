package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pollux/cmd/pollux/console"
)

// scriptedPollux answers the requests it gets one after the other as a script
// says; the last step answers all that follow.
type scriptedPollux struct {
	*httptest.Server
	mu    sync.Mutex
	steps []http.HandlerFunc // guarded by mu
	seen  []*http.Request    // guarded by mu
}

func startPollux(t *testing.T, steps ...http.HandlerFunc) *scriptedPollux {
	t.Helper()
	p := &scriptedPollux{steps: steps}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.seen = append(p.seen, r)
		step := p.steps[0]
		if len(p.steps) > 1 {
			p.steps = p.steps[1:]
		}
		p.mu.Unlock()
		step(w, r)
	}))
	t.Cleanup(p.Close)
	cleanClient(t)
	t.Setenv("POLLUX_SERVER", p.URL)
	return p
}

func (p *scriptedPollux) requests() []*http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}

// cleanClient keeps a test from what the environment says.
func cleanClient(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"POLLUX_SERVER", "POLLUX_KEY", "POLLUX_CREDENTIAL"} {
		t.Setenv(name, "")
	}
	t.Setenv("XDG_CONFIG_HOME", dir)
	return dir
}

// writeClientFile writes client.yaml where the client looks for it.
func writeClientFile(t *testing.T, dir, text string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(dir, "pollux", "client.yaml")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// documentOf is a task document with the given status, and what else is to be
// different.
func documentOf(status string, changes map[string]any) string {
	d := map[string]any{
		"object": "task", "id": "task_1", "upstream": "shannon", "provider": "shannon", "status": status,
		"terminal": strings.Contains("completed incomplete failed cancelled timed_out", status), "native_status": nil,
		"status_reason": nil, "cancel_requested": false,
		"created_at": "2025-10-22T10:30:00Z", "started_at": nil, "completed_at": nil, "updated_at": "2025-10-22T10:30:05.25Z",
		"progress": map[string]any{"percent": nil, "stage": nil, "steps_completed": nil, "total_steps": nil},
		"output":   map[string]any{"text": nil, "data": nil, "messages": nil}, "required_action": nil, "error": nil,
		"usage": map[string]any{"input_tokens": nil, "output_tokens": nil, "total_tokens": nil, "cost_usd": nil},
		"model": nil, "metadata": map[string]any{},
	}
	for name, value := range changes {
		d[name] = value
	}
	text, err := json.Marshal(d)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// tells answers 200 with a document, the headers being name, value, ...
func tells(body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("ETag", fmt.Sprintf(`W/"%x"`, len(body)))
		setHeaders(w, headers)
		fmt.Fprint(w, body)
	}
}

func setHeaders(w http.ResponseWriter, headers []string) {
	for i := 0; i < len(headers); i += 2 {
		w.Header().Set(headers[i], headers[i+1])
	}
}

// refuses answers with a problem.
func refuses(code int, kind, title, detail string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		setHeaders(w, headers)
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]any{"type": "/problems/" + kind, "title": title, "status": code, "detail": detail})
	}
}

func TestParseRef(t *testing.T) {
	cases := []struct{ name, ref, path, query string }{
		{"plain", "shannon/task_1", "shannon/task_1", ""},
		{"blanks", "orq/my agent/01K6", "orq/my%20agent/01K6", ""},
		{"escaped already", "orq/my%20agent%2Fb/01K6", "orq/my%20agent%2Fb/01K6", ""},
		{"a percent that escapes nothing", "orq/100%/x", "orq/100%25/x", ""},
		{"a percent at the end", "orq/a/1%2", "orq/a/1%252", ""},
		{"with a query", "gumloop/abc?user_id=u 1", "gumloop/abc", "user_id=u%201"},
		{"what would end the path", "shannon/a#b\\c", "shannon/a%23b%5Cc", ""},
		{"not ASCII", "shannon/ä", "shannon/%C3%A4", ""},
		{"control characters", "shannon/a\r\nX: y", "shannon/a%0D%0AX:%20y", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseRef(c.ref)
			if err != nil || got.path != c.path || got.query != c.query {
				t.Errorf("parseRef(%q) = %q ? %q, %v, want %q ? %q", c.ref, got.path, got.query, err, c.path, c.query)
			}
		})
	}
	for _, bad := range []string{"", "shannon", "shannon/", "/x", "a//b", "a/../b", "a/.", "?x/y"} {
		if got, err := parseRef(bad); err == nil || codeOf(err) != console.ExitUsage {
			t.Errorf("parseRef(%q) = %+v, %v, want wrong usage", bad, got, err)
		}
	}
}

func FuzzParseRef(f *testing.F) {
	f.Add("orq/my agent/01K6?x=%2")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseRef(s)
		if err != nil {
			return
		}
		request, err := http.NewRequest(http.MethodGet, "http://h/v1/tasks/"+r.path+"?"+r.query, nil)
		if err != nil {
			t.Fatalf("%q makes no URL: %v", s, err)
		}
		if got := request.URL.RequestURI(); strings.ContainsAny(got, " #\r\n\\") || request.URL.Host != "h" {
			t.Errorf("%q asks %q for %q", s, request.URL.Host, got)
		}
		if again, err := parseRef(r.path); err != nil || again.path != r.path {
			t.Errorf("%q is escaped twice: %q, then %q", s, r.path, again.path)
		}
	})
}

func TestGet(t *testing.T) {
	document := documentOf("completed", map[string]any{
		"native_status": "DONE\x1b]0;x\a", "model": "m-1",
		"output": map[string]any{"text": "Paris.\n\x1b[31mred\u009b", "data": nil, "messages": nil},
		"usage":  map[string]any{"input_tokens": 200, "output_tokens": nil, "total_tokens": json.Number("12345678901234567890"), "cost_usd": 0.006},
	})
	p := startPollux(t, tells(document, "Age", "90", "Cache-Status", "pollux; hit; detail=terminal"))
	got := runWith(t, "", "get", "shannon/my task")
	for _, want := range []string{"task     shannon/my task\n", "status   completed (DONE", "created  2025-10-22T10:30:00Z\n", "updated  2025-10-22T10:30:05.25Z\n",
		"usage    200 in, 12345678901234567890 tokens in all, 0.006 USD\n", "heard    1m ago, hit; detail=terminal\n", "\n\nParis.\n"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("get: no %q in\n%s", want, got.stdout)
		}
	}
	if got.code != console.ExitOK || strings.ContainsAny(got.stdout, "\x1b\a\u009b") {
		t.Errorf("get: %+v", got)
	}
	if uri := p.requests()[0].RequestURI; uri != "/v1/tasks/shannon/my%20task" {
		t.Errorf("get asked for %s", uri)
	}
	if got := runWith(t, "", "get", "--json", "shannon/x"); got.stdout != document+"\n" || got.code != console.ExitOK {
		t.Errorf("get --json: got %+v, want the document as it was sent", got)
	}
	runWith(t, "", "get", "gumloop/x?user_id=u", "--fresh", "--include", "native,history")
	last := p.requests()[2]
	if last.RequestURI != "/v1/tasks/gumloop/x?user_id=u&include=native%2Chistory" || last.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("get --fresh --include asked for %s with %v", last.RequestURI, last.Header)
	}
}

func TestGetShowsWhatMatters(t *testing.T) {
	cases := []struct {
		name     string
		document string
		want     []string
	}{
		{"running", documentOf("in_progress", map[string]any{"cancel_requested": true,
			"progress": map[string]any{"percent": 40, "stage": "reading", "steps_completed": 2, "total_steps": 5}}),
			[]string{"in_progress, to be cancelled", "progress  40 %, step 2 of 5, reading"}},
		{"failed", documentOf("failed", map[string]any{"error": map[string]any{"code": "E1", "type": "task_failed", "message": "no\nluck"}}),
			[]string{"error    E1: no luck"}},
		{"incomplete", documentOf("incomplete", map[string]any{"status_reason": "length"}), []string{"incomplete, length"}},
		{"waits for tools", documentOf("requires_action", map[string]any{"required_action": map[string]any{"type": "tool_calls",
			"tool_calls": []any{map[string]any{"id": "c1", "name": "look", "arguments": `{"at":1}`}}}}),
			[]string{"wants    tool_calls", `call     c1 look "{\"at\":1}"`}},
		{"data", documentOf("completed", map[string]any{"output": map[string]any{"text": nil, "data": map[string]any{"n": json.Number("1.10")}, "messages": nil}}),
			[]string{"\n{\n  \"n\": 1.10\n}\n"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			startPollux(t, tells(c.document))
			got := runWith(t, "", "get", "shannon/x")
			for _, want := range c.want {
				if !strings.Contains(got.stdout, want) {
					t.Errorf("no %q in\n%s", want, got.stdout)
				}
			}
		})
	}
}

func TestGetFails(t *testing.T) {
	cases := []struct {
		name   string
		step   http.HandlerFunc
		code   int
		stderr string
	}{
		{"no such task", refuses(404, "task-not-found", "No such task", "not here\x1b[2J"), exitUnavailable, "pollux get: No such task (404): not here"},
		{"bad reference", refuses(400, "invalid-request", "The request is malformed", "user_id is missing"), console.ExitUsage, "user_id is missing"},
		{"upstream down", refuses(503, "upstream-unavailable", "The upstream is left alone", ""), exitUnavailable, "(503)"},
		{"something else answers", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<h1>secret", http.StatusBadGateway) }, exitUnavailable, "Bad Gateway (502)\n"},
		{"no document", tells(`{"hello":"world"}`), exitUnavailable, "is this a Pollux?"},
		{"no JSON", tells(`<html>`), exitUnavailable, "is this a Pollux?"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, exitUnavailable, "Found (302)"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := startPollux(t, c.step)
			got := runWith(t, "", "get", "gumloop/x?api_key=sesame")
			if got.code != c.code || got.stdout != "" || !strings.Contains(got.stderr, c.stderr) {
				t.Errorf("got %+v, want code %d and %q", got, c.code, c.stderr)
			}
			if strings.Contains(got.stderr, "sesame") || strings.Contains(got.stderr, "\x1b") {
				t.Errorf("it says too much: %q", got.stderr)
			}
			if n := len(p.requests()); n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		p := startPollux(t, tells("{}"))
		p.Close()
		got := runWith(t, "", "get", "gumloop/x?api_key=sesame")
		if got.code != exitUnavailable || !strings.Contains(got.stderr, "cannot be reached") || strings.Contains(got.stderr, "sesame") {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("a closed pipe", func(t *testing.T) {
		startPollux(t, tells(documentOf("completed", nil)))
		var stderr bytes.Buffer
		code := run(t.Context(), []string{"get", "--json", "shannon/x"}, strings.NewReader(""), failingWriter{}, &stderr)
		if code != exitOutput {
			t.Errorf("code %d, stderr %q", code, &stderr)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		startPollux(t, func(w http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
		var stderr bytes.Buffer
		code := run(ctx, []string{"get", "shannon/x"}, strings.NewReader(""), failingWriter{}, &stderr)
		if code != exitInterrupted || stderr.Len() > 0 {
			t.Errorf("code %d, stderr %q", code, &stderr)
		}
	})
}

func TestClientUsage(t *testing.T) {
	cleanClient(t)
	for _, args := range [][]string{
		{"get"}, {"get", "shannon/x", "shannon/y"}, {"get", "shannon"}, {"get", "--server", "ftp://x", "shannon/x"},
		{"get", "--server", "http://u:p@x", "shannon/x"}, {"get", "--server", "http://x/?y", "shannon/x"}, {"get", "--server", "http://%zz", "shannon/x"},
		{"get", "--key-file", "/nowhere", "shannon/x"}, {"get", "--header", "nothing", "shannon/x"}, {"get", "--header", "X-API-Key: $UNSET_FOR_SURE", "shannon/x"},
		{"wait"}, {"wait", "--timeout", "-1s", "shannon/x"}, {"wait", "shannon/x", "orq"}, {"wait", "--header", "X-API-Key: a", "shannon/x", "orq/y/z"},
		{"watch"}, {"list", "a", "b"}, {"list", "a//b"}, {"list", "--since", "yesterday"}, {"list", "--limit", "-1"},
		{"top", "x"}, {"top", "--every", "1ms"},
	} {
		got := runWith(t, "", args...)
		if got.code != console.ExitUsage || got.stdout != "" || got.stderr == "" || strings.Contains(got.stderr, "u:p") {
			t.Errorf("pollux %q: %+v, want code %d", args, got, console.ExitUsage)
		}
	}
}
