package providers

import (
	"net/http"
	"testing"
	"time"

	"pollux/normalize"
	"pollux/providers/format"
)

// lathe is a file with most words of the second edition.
const lathe = `
name: lathe
identity: {headers: [X-Key], select: [X-Version, Accept]}
params: {op: {in: path, slashes: true, max: 300}, zone: {in: query, optional: true}}
poll:
  request: GET /v1/operations/{op}:state
  headers: {X-Version: "2026-01", X-Goog-Api-Client: gl/1}
  documents: [200, 202, 303, 422]
  links: [urls, items.#.href]
  link_headers: [operation-location]
  hints: [{header: x-wait-ms, unit: ms}, {path: again.after, unit: s}]
create: {request: POST /v1/things, id: [{header: Location, match: 'operations/([^?]+)'}, name], link_headers: [Location]}
cancel: {request: 'POST /v1/operations/{op}:cancel', body: {}}
status:
  path: [state, outcome]
  words: {done ok: completed, done -: unknown, busy -: in_progress}
  codes: {202: in_progress, 303: completed, 422: failed}
  other: in_progress
  fold: true
  rules: [{when: http == 422 && text("why") == "stopped", set: {status: cancelled}}]
fields:
  id: {path: name, match: 'operations/(.+)$', when: terminal}
  output.data: {path: '@this', when: http == 303}
  error.message: why
errors: {bodies: [{code: 0.code, message: 0.message}, {code: code, message: why}]}
`

func TestDocuments(t *testing.T) {
	p := parse(t, "lathe", lathe)
	ref := Reference{[]string{"a/b==", ""}}
	tests := []struct {
		name        string
		code        int
		contentType string
		body        string
		kind        Kind
		status      normalize.Status
		native      string
	}{
		{"words", 200, "application/json", `{"state":"Done","outcome":"OK"}`, Answered, normalize.Completed, "Done OK"},
		{"declared as text", 200, "text/plain", `{"state":"BUSY"}`, Answered, normalize.InProgress, "BUSY -"},
		{"not declared", 200, "", `{"state":"busy"}`, Answered, normalize.InProgress, "busy -"},
		{"declared as bytes", 200, "application/octet-stream", `{"state":"busy"}`, Answered, normalize.InProgress, "busy -"},
		{"a page", 200, "text/html; charset=utf-8", `{"state":"busy"}`, BadAnswer, "", ""},
		{"unlisted word", 200, "", `{"state":"turning"}`, Answered, normalize.InProgress, "turning -"},
		{"no word", 200, "", `{}`, BadAnswer, "", ""},
		{"no body", 200, "", ``, BadAnswer, "", ""},
		{"code", 202, "", `{}`, Answered, normalize.InProgress, "202"},
		{"code without body", 202, "", ``, Answered, normalize.InProgress, "202"},
		{"code with text", 202, "text/plain", `Accepted`, Answered, normalize.InProgress, "202"},
		{"code with a list", 202, "", `[1]`, Answered, normalize.InProgress, "202"},
		{"code before word", 202, "", `{"state":"done","outcome":"ok"}`, Answered, normalize.InProgress, "done ok"},
		{"code with a page", 202, "text/html", `<p>`, BadAnswer, "", ""},
		{"redirection", 303, "", ``, Answered, normalize.Completed, "303"},
		{"failed by code", 422, "", `{"why":"broke"}`, Answered, normalize.Failed, "422"},
		{"rule after code", 422, "", `{"why":"stopped"}`, Answered, normalize.Cancelled, "422"},
		{"another code", 201, "", `{"state":"busy"}`, BadAnswer, "", ""},
		{"another redirection", 302, "", ``, BadAnswer, "", ""},
		{"bad request", 400, "", `[{"code":"E_BAD","message":"m"}]`, Rejected, "", ""},
		{"another task", 200, "", `{"name":"operations/a/c","state":"busy"}`, BadAnswer, "", ""},
		{"no such form", 200, "", `{"name":"a/b==","state":"busy"}`, BadAnswer, "", ""},
		{"this task", 200, "", `{"name":"projects/p/operations/a/b==","state":"busy"}`, Answered, normalize.InProgress, "busy -"},
		{"this task twice, then another", 202, "", `{"name":"operations/a/b==","name":"operations/x"}`, BadAnswer, "", ""},
		{"id null", 200, "", `{"name":null,"state":"busy"}`, Answered, normalize.InProgress, "busy -"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := p.Judge(ref, tt.code, http.Header{"Content-Type": {tt.contentType}}, []byte(tt.body), noon)
			if v.Kind != tt.kind || v.Task.Status != tt.status || v.Task.NativeStatus != tt.native || v.UnknownWord {
				t.Errorf("Judge(%d %q) = %s (%s), %s %q; want %s, %s %q", tt.code, tt.body, v.Kind.String(), v.Reason, v.Task.Status, v.Task.NativeStatus, tt.kind.String(), tt.status, tt.native)
			}
			if v.Kind == Answered && v.Task.ID != "a/b==" {
				t.Errorf("the document is of task %q", v.Task.ID)
			}
		})
	}
	if v := p.Judge(ref, 400, nil, []byte(`[{"code":"E_BAD","message":"m"}]`), noon); v.Code != "E_BAD" {
		t.Errorf("code of a list of errors = %q, want E_BAD", v.Code)
	}
	// What is no document of a file with an error's code among its documents is judged as ever.
	gone := parse(t, "gone", "name: gone\nidentity: {headers: [X-Key]}\nparams: {id: {in: path}}\npoll: {request: 'GET /{id}', documents: [200, 404, 422]}\nstatus: {path: s, words: {x: completed}}\n")
	for body, want := range map[string]Kind{`{"s":"x"}`: Answered, `{"error":"no such task"}`: NotFound, `not found`: BadAnswer} {
		if v := gone.Judge(Reference{[]string{"1"}}, 404, nil, []byte(body), noon); v.Kind != want {
			t.Errorf("Judge(404 %s) = %s, want %s", body, v.Kind.String(), want.String())
		}
	}
}

// TestFormsOfOneID: Salesforce knows a job by 15 characters, and by those and a
// checksum of three. It answers with the longer form, whichever it was asked by.
func TestFormsOfOneID(t *testing.T) {
	p := builtins(t).Get("salesforce-bulk")
	const long = "750R0000000zlh9IAA"
	for _, tt := range []struct {
		asked, answered string
		want            Kind
	}{
		{long, long, Answered},
		{long[:15], long, Answered},
		{long[:15], long[:15], Answered},
		{long[:15], "750R0000000zlH9IAA", BadAnswer}, // another job: its case counts
		{long[:15], long + "A", BadAnswer},
		{long[:15], long[:15] + `","id":"750R0000000xxx9IAA`, BadAnswer},
		{long, "750R0000000zlh9IAB", BadAnswer},
		{long, long[:15], BadAnswer},
	} {
		v := p.Judge(Reference{[]string{"v62.0", "query", tt.asked}}, 200, nil, []byte(`{"id":"`+tt.answered+`","state":"InProgress"}`), noon)
		if v.Kind != tt.want || v.Kind == Answered && v.Task.ID != tt.answered {
			t.Errorf("asked for %s, answered %s: %s, task %s", tt.asked, tt.answered, v.Kind.String(), v.Task.ID)
		}
	}
	if id := CreatedID(&p.Creates[0], nil, []byte(`{"id":"`+long+`"}`)); id != long {
		t.Errorf("created %s", id)
	}
}

// TestLists: an answer may be a list, whether its words or its code decide.
func TestLists(t *testing.T) {
	p := parse(t, "list", `
name: list
identity: {headers: [X-Key]}
params: {id: {in: path}}
poll: {request: 'GET /{id}', documents: [200, 201]}
status: {path: 0.state, words: {busy: in_progress}, codes: {201: completed}}
fields: {id: 0.id, output.data: {path: '@this', when: http == 201}, progress.percent: 0.done}
volatile: [0.done]
`)
	ref := Reference{[]string{"1"}}
	busy := p.Judge(ref, 200, nil, []byte(`[{"id":"1","state":"busy","done":1}]`), noon)
	more := p.Judge(ref, 200, nil, []byte(` [{"id":"1","state":"busy","done":2}]`), noon)
	if busy.Task.Status != normalize.InProgress || more.Task.Progress.Percent != "2" || busy.Digest != more.Digest {
		t.Errorf("a list is %s (%s), then %s%% with another digest", busy.Task.Status, busy.Reason, more.Task.Progress.Percent)
	}
	if done := p.Judge(ref, 201, nil, []byte(`[1, 2]`), noon); string(done.Task.Output.Data) != "[1, 2]" {
		t.Errorf("the data of a list are %s", done.Task.Output.Data)
	}
	for _, body := range []string{`[{"id":"2","state":"busy"}]`, `[]`, `"busy"`, `[{"state":"busy"}`} {
		if v := p.Judge(ref, 200, nil, []byte(body), noon); v.Kind != BadAnswer {
			t.Errorf("%s is %s", body, v.Kind.String())
		}
	}
}

func TestHints(t *testing.T) {
	p := parse(t, "lathe", lathe)
	tests := []struct {
		name, retry, header, body string
		want                      time.Duration
	}{
		{"none", "", "", `{"state":"busy"}`, 0},
		{"milliseconds", "", "1500", `{"state":"busy"}`, 1500 * time.Millisecond},
		{"seconds in the body", "", "", `{"state":"busy","again":{"after":2.5}}`, 2500 * time.Millisecond},
		{"text in the body", "", "", `{"state":"busy","again":{"after":"7"}}`, 7 * time.Second},
		{"the largest", "3", "1500", `{"state":"busy","again":{"after":2}}`, 3 * time.Second},
		{"unreadable ones", "2", "soon", `{"state":"busy","again":{"after":"later"}}`, 2 * time.Second},
		{"negative", "", "-5", `{"state":"busy","again":{"after":-1}}`, 0},
		{"without end", "", "inf", `{"state":"busy","again":{"after":"Infinity"}}`, 0},
		{"not a number", "", "NaN", `{"state":"busy"}`, 0},
		{"absurd", "", "1e300", `{"state":"busy"}`, maxWait},
		{"without a document", "", "250", `oops`, 250 * time.Millisecond},
	}
	for _, tt := range tests {
		h := http.Header{"Retry-After": {tt.retry}, "X-Wait-Ms": {tt.header}}
		if v := p.Judge(Reference{[]string{"a", ""}}, 200, h, []byte(tt.body), noon); v.RetryAfter != tt.want {
			t.Errorf("%s: wait %v, want %v", tt.name, v.RetryAfter, tt.want)
		}
	}
}

func TestSlashes(t *testing.T) {
	p := parse(t, "lathe", lathe)
	parser, err := NewParser(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	base, _ := format.ParseBaseURL("https://h/base")
	const id = "google.showcase.v1beta1.Echo/Wait/CgwI9bKr=="
	r, err := parser.ParseString("google.showcase.v1beta1.Echo%2FWait%2FCgwI9bKr==?zone=z")
	if err != nil || r.Values[0] != id {
		t.Fatalf("ParseString = %q, %v", r.Values, err)
	}
	req, err := p.PollRequest(t.Context(), base, r, Credential{})
	if want := "/base/v1/operations/" + id + ":state?zone=z"; err != nil || req.URL.RequestURI() != want {
		t.Errorf("poll of %s, %v; want %s", req.URL.RequestURI(), err, want)
	}
	if again, err := parser.ParseString(parser.Format(r)); err != nil || again.Values[0] != id {
		t.Errorf("Format = %q, read back as %q, %v", parser.Format(r), again.Values, err)
	}
	for path, want := range map[string]string{
		"/v1/operations/a/b/c:state":     "a/b/c",
		"/v1/operations/a:state":         "a",
		"/v1/operations/a%3D:state":      "a=",
		"/v1/operations/a%2Fb:state":     "", // not the same to every server
		"/v1/operations/a//b:state":      "",
		"/v1/operations//a:state":        "",
		"/v1/operations/a/../b:state":    "",
		"/v1/operations/:state":          "",
		"/v1/operations/a/b":             "",
		"/v1/other/a:state":              "",
		"/v1/operations/a/b:state/extra": "",
	} {
		var v View
		got := ""
		if parser.MatchPoll(&v, []byte("GET"), []byte(path), nil) {
			got = v.Reference().Values[0]
		}
		if got != want {
			t.Errorf("MatchPoll(%s) = %q, want %q", path, got, want)
		}
	}
	for _, bad := range []string{"a%2F%2Fb", "%2Fa", "a%2F", "a%2F..%2Fb"} {
		if r, err := parser.ParseString(bad); err == nil {
			t.Errorf("ParseString(%s) = %q", bad, r.Values)
		}
	}
	if r, ok := parser.Affected([]byte("POST"), []byte("/v1/operations/a/b:cancel"), nil, nil); !ok || r.Values[0] != "a/b" {
		t.Errorf("Affected by a cancel = %q, %v", r.Values, ok)
	}
	long := make([]byte, 300)
	for i := range long {
		long[i] = 'a'
	}
	if _, err := parser.ParseString(string(long)); err != nil {
		t.Errorf("300 bytes: %v", err)
	}
	if _, err := parser.ParseString(string(long) + "a"); err == nil || err.Error() != "op is longer than 300 bytes" {
		t.Errorf("301 bytes: %v", err)
	}
}

func TestCreatedFromHeaders(t *testing.T) {
	parser, err := NewParser(parse(t, "lathe", lathe), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := parser.Create([]byte("POST"), []byte("/v1/things"))
	for _, tt := range []struct{ name, location, body, want string }{
		{"header", "https://h/v1/operations/a/b?x=1", ``, "a/b"},
		{"escaped in the header", "https://h/v1/operations/a%20b/%C3%BC", ``, "a b/ü"},
		{"no escape in the header", "https://h/v1/operations/50%", ``, "50%"},
		{"escaped in the body", "", `{"name":"operations/a%20b"}`, "a%20b"},
		{"body in the poll's form", "", `{"name":"operations/c"}`, "c"},
		{"header that does not match", "/elsewhere", `{"name":"operations/c"}`, "c"},
		{"body of another form", "", `{"name":"c"}`, ""},
		{"neither", "", `not JSON`, ""},
	} {
		r, ok := parser.Created(c, []byte("/v1/things"), nil, nil, http.Header{"Location": {tt.location}}, []byte(tt.body))
		if got := append(r.Values, "")[0]; got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: Created = %q, %v, want %q", tt.name, got, ok, tt.want)
		}
	}
}

func TestConstantAndSelectedHeaders(t *testing.T) {
	p := parse(t, "lathe", lathe)
	base, _ := format.ParseBaseURL("https://h")
	c := Credential{Headers: []Field{{"X-Key", "k"}}, Select: []Field{{"X-Version", "2027-02"}, {"Accept", "text/plain"}}}
	for _, sent := range []Credential{{}, c} {
		poll, err := p.PollRequest(t.Context(), base, Reference{[]string{"a", ""}}, sent)
		if err != nil {
			t.Fatal(err)
		}
		version, accept := "2026-01", "application/json"
		if len(sent.Select) > 0 {
			version, accept = "2027-02", "text/plain"
		}
		if got := poll.Header; got.Get("X-Version") != version || got.Get("Accept") != accept || got.Get("X-Goog-Api-Client") != "gl/1" || len(got["X-Version"]) != 1 {
			t.Errorf("headers of a poll with %d selected: %v", len(sent.Select), got)
		}
	}
}

func TestHeldFault(t *testing.T) {
	file := func(identity string) *Provider {
		return parse(t, "held", "name: held\nidentity: "+identity+"\nparams: {id: {in: path}}\npoll: {request: 'GET /{id}'}\nstatus: {path: s, words: {x: completed}}\n")
	}
	for _, tt := range []struct {
		identity string
		names    []string
		fault    bool
	}{
		{"{headers: [A]}", nil, false},
		{"{query: [key]}", nil, false},
		{"{need: none}", nil, true},
		{"{headers: [A, B], need: all}", nil, true},
		{"{headers: [A, B]}", nil, false},
		{"{headers: [A, B], need: all}", []string{"a", "B"}, false},
		{"{headers: [A, B], need: all}", []string{"B"}, true},
		{"{headers: [A, B]}", []string{"B"}, false},
		{"{headers: [A]}", []string{"C"}, true},
	} {
		if got := file(tt.identity).HeldFault(tt.names); (got != "") != tt.fault {
			t.Errorf("HeldFault(%q) of %s = %q, want a fault: %v", tt.names, tt.identity, got, tt.fault)
		}
	}
}
