package providers

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// noon is the present of every test.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// fixture is one recorded answer: testdata/<provider>/<situation>.json.
type fixture struct {
	file       string
	provider   *Provider
	Situation  string            `json:"situation"`
	Expect     string            `json:"expect"`
	Note       string            `json:"note"`
	HTTPStatus int               `json:"http_status"`
	Headers    map[string]string `json:"headers"`
	Body       json.RawMessage   `json:"body"`
}

func builtins(t testing.TB) *Set {
	t.Helper()
	set, err := Builtin()
	if err != nil {
		t.Fatalf("Builtin() = %v", err)
	}
	return set
}

func fixtures(t testing.TB, provider string) []fixture {
	t.Helper()
	p := builtins(t).Get(provider)
	if p == nil {
		t.Fatalf("no provider %s", provider)
	}
	var all []fixture
	root := filepath.Join("testdata", provider)
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(file, ".golden.json") {
			return err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		f := fixture{file: file, provider: p}
		if err := json.Unmarshal(data, &f); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// body is what was on the wire: text stays text.
func (f *fixture) body() []byte {
	var text string
	if json.Unmarshal(f.Body, &text) == nil {
		return []byte(text)
	}
	return f.Body
}

func (f *fixture) header() http.Header {
	h := http.Header{}
	for name, value := range f.Headers {
		h.Set(name, value)
	}
	return h
}

// reference is the one that the answer is about: its own id where it names
// one, else a fixed one.
func (f *fixture) reference(t testing.TB) Reference {
	t.Helper()
	values := map[string]string{
		"response_id": "resp_67ccd2bed1ec8190", "run_id": "rUn123AbC", "interaction_id": "xYz789AbCdEfGhI", "user_id": "user_2b9d71f0",
		"agent_key": "my agent/x", "task_id": "task-1", "request_id": "98nlux8b0eu6",
	}
	r := Reference{Values: make([]string, len(f.provider.Params))}
	for i, param := range f.provider.Params {
		r.Values[i] = values[param.Name]
		if id := firstID(f.provider.ids, nil, f.body()); param.Task && id != "" && i == lastTask(f.provider) {
			r.Values[i] = id
		}
	}
	return r
}

func lastTask(p *Provider) int {
	last := 0
	for i, param := range p.Params {
		if param.Task {
			last = i
		}
	}
	return last
}

// TestGolden compares each recorded answer's verdict with the golden file
// beside it, and the verdict with the word that the recording itself expects,
// so that an update cannot make nonsense golden.
func TestGolden(t *testing.T) {
	for _, p := range builtins(t).All() {
		for _, f := range fixtures(t, p.Name) {
			t.Run(p.Name+"/"+f.Situation, func(t *testing.T) {
				got, word := f.outcome(t)
				if want := f.want(); word != want {
					t.Errorf("outcome %s, want %s as in %q", word, want, f.Expect)
				}
				compareGolden(t, strings.TrimSuffix(f.file, ".json")+".golden.json", got)
			})
		}
	}
}

func compareGolden(t *testing.T, file string, got any) {
	t.Helper()
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(got); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run go test -update and read what it writes", err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("got %s\nwant %s", b.Bytes(), want)
	}
}

// The golden files hold one of these.
type (
	goldenDocument struct {
		Document    json.RawMessage `json:"document"`
		Settled     bool            `json:"settled,omitempty"`
		UnknownWord bool            `json:"unknown_word,omitempty"`
	}
	goldenProblem struct {
		Problem     string `json:"problem"`
		Status      int    `json:"status,omitempty"`
		Code        string `json:"code,omitempty"`
		Reason      string `json:"reason"`
		RetryAfter  string `json:"retry_after,omitempty"`
		ServerFault bool   `json:"server_fault"`
	}
	goldenCreate struct {
		Create    string `json:"create"`
		Task      string `json:"task"`
		Continues string `json:"continues,omitempty"`
	}
	goldenCancel struct {
		Cancel string `json:"cancel"`
	}
)

// creates are the requests that the recorded answers to creates belong to.
var creates = map[string]struct{ path, body string }{
	"a2a/create_message_200":               {"/message:send", `{"message":{"parts":[{"text":"hello"}]}}`},
	"a2a/v03_create_bare_task_200":         {"/message:send", `{"message":{"parts":[{"text":"hello"}]}}`},
	"aitronos/create_background_queued":    {"/v1/model/response", `{"background":true}`},
	"gumloop/start_agent_202":              {"/start_agent", `{"gummie_id":"g","message":"m","user_id":"u"}`},
	"gumloop-flow/pl_start_200":            {"/start_pipeline", `{"saved_item_id":"s","user_id":"u"}`},
	"openai/create_background_200":         {"/responses", `{"background":true}`},
	"orq/create_background":                {"/v2/agents/my%20agent%2Fx/responses", `{"background":true}`},
	"shannon/submit_200":                   {"/api/v1/tasks", `{"query":"q"}`},
	"shannon/submit_200_idempotent_replay": {"/api/v1/tasks", `{"query":"q"}`},
	"shannon/submit_stream_201":            {"/api/v1/tasks/stream", `{"query":"q"}`},
	"vessl/create_201":                     {"/async", `{"data":1}`},
}

// notPolls are recorded answers of other routes, and what a poll would make of
// them: nothing that looks like an end.
var notPolls = map[string]string{
	"shannon/list_200":                 "upstream-error",
	"shannon/pause_202":                "upstream-error",
	"shannon/pause_409_documented":     "upstream-rejected",
	"shannon/pause_502_already_paused": "upstream-error",
	"shannon/review_pending_200":       "unknown",
	"shannon/stream_redirect_307":      "upstream-error",
}

func (f *fixture) key() string { return f.provider.Name + "/" + f.Situation }

func (f *fixture) isCancel() bool {
	return strings.HasPrefix(f.Situation, "cancel_") || f.Situation == "pl_kill_200"
}

// outcome is the golden value for f and the one word that sums it up.
func (f *fixture) outcome(t *testing.T) (golden any, word string) {
	t.Helper()
	if _, ok := creates[f.key()]; ok {
		return f.created(t), "created"
	}
	if f.isCancel() {
		v := f.provider.JudgeCancel(f.reference(t), f.HTTPStatus, f.header(), f.body(), noon)
		if v.Kind == Answered {
			return goldenCancel{"accepted"}, "accepted"
		}
		return problemOf(v), problemWord(v.Kind)
	}
	v := f.provider.Judge(f.reference(t), f.HTTPStatus, f.header(), f.body(), noon)
	if v.Kind != Answered {
		return problemOf(v), problemWord(v.Kind)
	}
	v.Task.Upstream, v.Task.Provider, v.Task.UpdatedAt = f.provider.Name, f.provider.Name, noon
	return goldenDocument{v.Task.AppendJSON(nil), v.Settled, v.UnknownWord}, string(v.Task.Status)
}

func (f *fixture) created(t *testing.T) goldenCreate {
	t.Helper()
	parser, err := NewParser(f.provider, nil)
	if err != nil {
		t.Fatal(err)
	}
	request := creates[f.key()]
	c := parser.Create([]byte("POST"), []byte(request.path))
	if c == nil {
		t.Fatalf("POST %s is no create of %s", request.path, f.provider.Name)
	}
	r, ok := parser.Created(c, []byte(request.path), nil, []byte(request.body), f.header(), f.body())
	if !ok {
		t.Fatalf("Created(%s) names no task", f.Body)
	}
	return goldenCreate{c.Request.String(), parser.Format(r), c.Continues}
}

func problemOf(v Verdict) goldenProblem {
	g := goldenProblem{Problem: problemWord(v.Kind), Status: v.Status, Code: v.Code, Reason: v.Reason, ServerFault: v.ServerFault}
	if v.RetryAfter > 0 {
		g.RetryAfter = v.RetryAfter.String()
	}
	return g
}

func problemWord(kind Kind) string {
	for word, k := range kinds {
		if k == kind {
			return word
		}
	}
	return "answered"
}

// want is the word that the recording expects: a status, or a kind of error.
func (f *fixture) want() string {
	if word, ok := notPolls[f.key()]; ok {
		return word
	}
	_, submit := creates[f.key()]
	word := regexp.MustCompile(`^(error )?[a-z_]+`).FindString(f.Expect)
	switch {
	case submit:
		return "created"
	case f.isCancel() && f.HTTPStatus < 300:
		return "accepted"
	case f.HTTPStatus == http.StatusRequestTimeout:
		return "upstream-timeout" // a class of its own here, one of unavailability there
	}
	for expected, want := range map[string]string{
		"error auth": "unauthorized", "error permission": "forbidden", "error invalid_request": "upstream-rejected",
		"conflict": "upstream-rejected", "error conflict": "upstream-rejected", "error not_found": "task-not-found",
		"error rate_limited": "rate-limited", "error upstream_unavailable": "upstream-error", "error bad_route": "upstream-error",
	} {
		if word == expected {
			return want
		}
	}
	return word
}
