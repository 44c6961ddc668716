package providers

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"pollux/normalize"
	"pollux/providers/format"
)

const fetched = `
name: fetched
base_url: https://api.fetched.example/v1
identity: {headers: [Authorization], query: [key]}
params: {id: {in: path}}
poll: {request: 'GET /jobs/{id}/status', documents: [200, 202], headers: {X-Version: "1"}}
status: {path: status, words: {BUSY: in_progress, DONE: completed}}
fields: {model: {result: model}, metadata.link: url}
result: {link: url, when: status == "completed", into: output.data, failed: [422, 500], max_bytes: 1MiB, hosts: [CDN.example]}
expires: {after: 1h}
errors: {bodies: [{code: type, message: detail}]}
`

func TestResultRequest(t *testing.T) {
	p := parse(t, "fetched", fetched)
	base, _ := format.ParseBaseURL(p.BaseURL)
	c := Credential{Headers: []Field{{"Authorization", "Bearer k"}}, Query: []Field{{"key", "q"}}}
	for _, tt := range []struct {
		link, want string
		away       bool
		err        error
	}{
		{"https://api.fetched.example/v1/jobs/1/result?x=1", "https://api.fetched.example/v1/jobs/1/result?x=1&key=q", false, nil},
		{"https://API.fetched.example:443/r#f", "https://API.fetched.example:443/r?key=q", false, nil},
		{"/r", "https://api.fetched.example/r?key=q", false, nil},
		{"r", "https://api.fetched.example/v1/jobs/1/r?key=q", false, nil},
		{"../2/r?x=1", "https://api.fetched.example/v1/jobs/2/r?x=1&key=q", false, nil},
		{"?part=r", "https://api.fetched.example/v1/jobs/1/status?part=r&key=q", false, nil},
		{"r/../../../../x", "https://api.fetched.example/x?key=q", false, nil},
		{"https://cdn.example/r.json", "https://cdn.example/r.json", true, nil},
		{"http://cdn.example/r.json", "", false, ErrForeignResult},
		{"http://api.fetched.example/r", "", false, ErrForeignResult},
		{"https://api.fetched.example:8443/r", "", false, ErrForeignResult},
		{"https://api.fetched.example.evil.example/r", "", false, ErrForeignResult},
		{"//evil.example/r", "", false, ErrForeignResult},
		{"https://user@api.fetched.example/r", "", false, ErrForeignResult},
		{"https://169.254.169.254/latest", "", false, ErrForeignResult},
		{"file:///etc/passwd", "", false, ErrForeignResult},
		{"javascript:alert(1)", "", false, ErrForeignResult},
		{"http://[::1", "", false, ErrForeignResult},
		{"", "", false, ErrNoResultLink},
	} {
		req, away, err := p.ResultRequest(t.Context(), base, Reference{[]string{"1"}}, Verdict{ResultLink: tt.link}, c)
		if !errors.Is(err, tt.err) || away != tt.away {
			t.Errorf("ResultRequest(%q): away %v, %v; want %v, %v", tt.link, away, err, tt.away, tt.err)
			continue
		}
		if err != nil {
			continue
		}
		if got := req.URL.String(); got != tt.want || req.Method != "GET" {
			t.Errorf("ResultRequest(%q) = %s %s, want GET %s", tt.link, req.Method, got, tt.want)
		}
		if h := req.Header; (h.Get("Authorization") == "") != tt.away || (h.Get("X-Version") == "") != tt.away {
			t.Errorf("ResultRequest(%q) has the headers %v", tt.link, h)
		}
	}
}

func TestJudgeResult(t *testing.T) {
	p := parse(t, "fetched", fetched)
	r := Reference{[]string{"1"}}
	first := Answer{200, http.Header{}, []byte(`{"status":"DONE","url":"https://cdn.example/r"}`)}
	v := p.Judge(r, first.Code, first.Header, first.Body, noon)
	if !v.WantsResult || v.ResultLink != "https://cdn.example/r" {
		t.Fatalf("Judge: wants a result %v at %q", v.WantsResult, v.ResultLink)
	}
	if busy := p.Judge(r, 202, nil, []byte(`{"status":"BUSY"}`), noon); busy.WantsResult || busy.ResultLink != "" {
		t.Errorf("a running task wants a result %v at %q", busy.WantsResult, busy.ResultLink)
	}
	for _, tt := range []struct {
		name string
		code int
		typ  string
		body string
		kind Kind
		want map[string]string
	}{
		{"JSON", 200, "application/json", `{"model":"m","n":1.50}`, Answered, map[string]string{"status": `"completed"`, "output.data": `{"model":"m","n":1.50}`, "model": `"m"`}},
		{"text", 200, "text/plain", "done\n", Answered, map[string]string{"output.text": `"done"`, "output.data": "null"}},
		{"failed", 422, "application/json", `{"type":"nsfw","detail":"not safe"}`, Answered, map[string]string{"status": `"failed"`, "error": `{"code":"nsfw","type":"task_failed","message":"not safe"}`}},
		{"failed without a word", 500, "text/html", `<p>`, Answered, map[string]string{"status": `"failed"`, "error.message": `"task failed"`}},
		{"not there yet", 404, "application/json", `{}`, NotFound, nil},
		{"refused", 403, "", ``, Forbidden, nil},
		{"too often", 429, "", ``, RateLimited, nil},
		{"broken", 503, "", ``, BadAnswer, nil},
		{"a page", 200, "text/html", `<p>`, BadAnswer, nil},
		{"no text", 200, "", "\xff\xfe", BadAnswer, nil},
		{"elsewhere", 302, "", ``, BadAnswer, nil},
	} {
		v := p.JudgeResult(r, first, Answer{tt.code, http.Header{"Content-Type": {tt.typ}, "Retry-After": {"3"}}, []byte(tt.body)}, noon)
		if v.Kind != tt.kind {
			t.Errorf("%s: %s (%s), want %s", tt.name, v.Kind.String(), v.Reason, tt.kind.String())
			continue
		}
		if v.Kind != Answered && v.RetryAfter != 3*time.Second {
			t.Errorf("%s: asks to wait %v, want 3s", tt.name, v.RetryAfter)
		}
		document := v.Task.AppendJSON(nil)
		for path, want := range tt.want {
			if got := gjson.GetBytes(document, path).Raw; got != want {
				t.Errorf("%s: %s = %s, want %s", tt.name, path, got, want)
			}
		}
	}
	// A file that takes nothing whole reads JSON, or the result is still to come.
	members := parse(t, "members", "name: members\nidentity: {need: none}\nparams: {id: {in: path}}\npoll: {request: 'GET /{id}'}\nstatus: {path: s, words: {x: completed}}\nfields: {model: {result: m}}\nresult: {request: 'GET /{id}/r', when: terminal}\n")
	for body, want := range map[string]Kind{`{"m":"x"}`: Answered, ``: Answered, `[{"m":`: BadAnswer, `soon`: BadAnswer} {
		if got := members.JudgeResult(r, Answer{200, nil, []byte(`{"s":"x"}`)}, Answer{200, nil, []byte(body)}, noon).Kind; got != want {
			t.Errorf("the result %q is %s, want %s", body, got.String(), want.String())
		}
	}
	if at := p.ExpiresAt(&v, noon); !at.Equal(noon.Add(time.Hour)) || v.Task.Metadata[len(v.Task.Metadata)-1].Name != "expires_at" {
		t.Errorf("ExpiresAt = %v, %v", at, v.Task.Metadata)
	}
	if v.Task.Status != normalize.Completed {
		t.Errorf("status %s", v.Task.Status)
	}
}
