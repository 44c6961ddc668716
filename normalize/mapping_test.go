package normalize

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

func compiled(t testing.TB, spec Spec) *Mapping {
	t.Helper()
	m, faults := Compile(spec)
	if len(faults) > 0 {
		t.Fatalf("Compile: %v", faults)
	}
	return m
}

func answer(body string) Native {
	return Native{HTTPStatus: 200, Body: []byte(body), Param: func(name string) (string, bool) { return "the " + name, true }}
}

// TestMap checks members of the rendered document by path; the value of each is
// JSON as it must appear.
func TestMap(t *testing.T) {
	tests := map[string]map[string]string{
		"aitronos completed": {
			"id": `"resp_67cc"`, "status": `"completed"`, "terminal": `true`, "created_at": `"2025-11-22T10:00:00Z"`, "completed_at": `"2025-11-22T10:00:11Z"`,
			"progress": `{"percent":100,"stage":"generating_output","steps_completed":5,"total_steps":5}`, "output.text": `"An article\n\nas a string"`,
			"error": `null`, "usage": `{"input_tokens":12,"output_tokens":450,"total_tokens":462,"cost_usd":null}`,
			"metadata": `{"thread":{"id":"thread_1","messageCount":4},"user":{"ticket":"T-1042"}}`,
		},
		"aitronos processing":  {"status": `"in_progress"`, "usage.total_tokens": `null`, "progress.total_steps": `5`, "completed_at": `null`, "output": `{"text":null,"data":null,"messages":null}`},
		"aitronos not started": {"status": `"queued"`, "native_status": `"processing"`, "metadata": `{}`},
		"aitronos snake case":  {"created_at": `"2025-03-08T23:29:02Z"`, "completed_at": `"2025-03-08T23:29:10Z"`, "output.text": `null`, "output.messages": `null`},
		"aitronos failed":      {"error": `{"code":"PROVIDER_ERROR","type":"server_error","message":"The model provider returned an error."}`},
		"aitronos new word":    {"status": `"unknown"`, "terminal": `false`, "native_status": `"incomplete"`},
		"orq completed": {
			"output.text": `"Here it is\n\nBye"`, "output.data": `{"n":12345678901234567890,"x":2.50}`, "output.messages.#": `4`,
			"usage.input_tokens": `120`, "required_action": `null`, "metadata.telemetry": `{"trace_id":"5b8a","span_id":"0515"}`,
		},
		"orq length":            {"status": `"incomplete"`, "terminal": `true`, "status_reason": `"length"`, "usage.total_tokens": `null`, "output.text": `null`, "output.messages": `[]`},
		"orq failed with calls": {"status": `"failed"`, "required_action": `null`, "error": `{"code":null,"type":"task_failed","message":"529 overloaded"}`},
		"orq waits": {
			"status": `"requires_action"`, "terminal": `false`, "native_status": `"completed"`, "status_reason": `null`,
			"required_action": `{"type":"tool_calls","tool_calls":[{"id":"call_1","name":"get_events","arguments":"{\"city\":\"Budapest\"}"},{"id":"call_2","name":null,"arguments":{"a":1.0}}]}`,
		},
		"gumloop completed":       {"output.text": `"Last words"`, "created_at": `"2026-03-05T10:30:00Z"`},
		"gumloop response":        {"output.text": `"final"`},
		"gumloop silent":          {"output.text": `""`},
		"flow failed":             {"id": `"the run_id"`, "error.message": `"Node 2 failed: timeout"`, "output.data": `{}`},
		"flow failed silently":    {"error": `{"code":null,"type":"task_failed","message":"task failed"}`},
		"flow terminating":        {"status": `"in_progress"`, "cancel_requested": `true`},
		"vessl object":            {"status": `"completed"`, "output.text": `null`, "output.data": `{"n":12345678901234567890,"f":2.50,"status":"failed"}`},
		"vessl false":             {"output.text": `null`, "output.data": `false`},
		"vessl null":              {"output.text": `null`, "output.data": `null`},
		"vessl string":            {"output.text": `"s"`, "output.data": `null`},
		"vessl list":              {"output.text": `null`, "output.data": `["a","b"]`},
		"vessl text":              {"output.text": `"plain text"`, "output.data": `null`},
		"vessl failed":            {"error": `{"code":"500","type":"task_failed","message":"Service responded with status code 500"}`, "metadata.status_code": `500`},
		"vessl failed early":      {"error": `{"code":"0","type":"task_failed","message":"task failed"}`},
		"shannon completed":       {"created_at": `"2026-06-02T13:04:37Z"`, "usage.cost_usd": `0.006`, "metadata.model_breakdown": `[{"tokens":300}]`, "status": `"completed"`},
		"shannon not enriched":    {"status": `"completed"`, "native_status": `"COMPLETED"`, "created_at": `null`},
		"shannon no success":      {"status": `"failed"`, "native_status": `"TASK_STATUS_COMPLETED"`, "error.message": `"token budget exceeded"`, "output.text": `"Partial"`},
		"shannon failed silently": {"error.message": `"task failed"`},
		"shannon timeout":         {"status": `"timed_out"`, "error.message": `"took too long"`},
		"shannon paused":          {"required_action": `{"type":"resume","tool_calls":[]}`, "metadata": `{}`},
		"shannon unspecified":     {"status": `"unknown"`},
		"shannon prefix alone":    {"status": `"unknown"`, "native_status": `"TASK_STATUS_"`},
	}
	mappings := map[string]*Mapping{}
	for provider, spec := range specs() {
		mappings[provider] = compiled(t, spec)
	}
	for _, body := range bodies {
		t.Run(body.name, func(t *testing.T) {
			r, err := mappings[body.provider].Map(answer(body.json))
			if err != nil {
				t.Fatal(err)
			}
			document := r.Task.AppendJSON(nil)
			for path, want := range tests[body.name] {
				if got := gjson.GetBytes(document, path).Raw; got != want {
					t.Errorf("%s = %s, want %s", path, got, want)
				}
			}
			if len(tests[body.name]) == 0 {
				t.Error("nothing is expected of it")
			}
		})
	}
}

func TestMapResult(t *testing.T) {
	tests := map[string]struct{ unknown, settled bool }{
		"shannon completed":    {false, true},
		"shannon not enriched": {false, false},
		"shannon prefix alone": {true, false},
		"shannon unspecified":  {false, false},
		"orq completed":        {false, false},
		"aitronos new word":    {true, false},
	}
	for name, want := range tests {
		provider, body := bodyNamed(name)
		r, err := compiled(t, specs()[provider]).Map(answer(string(body)))
		if err != nil || r.UnknownWord != want.unknown || r.Settled != want.settled || r.RuleErrors != 0 {
			t.Errorf("Map(%s): unknown %v, settled %v, rule errors %d, %v; want %v, %v", name, r.UnknownWord, r.Settled, r.RuleErrors, err, want.unknown, want.settled)
		}
	}
}

func TestMapRefuses(t *testing.T) {
	nested := vessl()
	nested.Status.Paths[0].Path = "run.0.status"
	tests := []struct {
		name, body string
		spec       Spec
		want       string
	}{
		{"no status", `{"state":"completed"}`, vessl(), "missing"},
		{"other case", `{"Status":"completed"}`, vessl(), "missing"},
		{"null", `{"status":null}`, vessl(), "missing"},
		{"list", `{"status":["completed"]}`, vessl(), "neither text"},
		{"object", `{"status":{"state":"completed"}}`, vessl(), "neither text"},
		{"twice", `{"status":"in_progress","x":1,"status":"completed"}`, vessl(), "more than once"},
		{"twice, alike", `{"status":"completed","status":"completed"}`, vessl(), "more than once"},
		{"twice, after blanks", "\r\n {\"status\":\"completed\",\"status\":\"completed\"}", vessl(), "more than once"},
		{"twice, escaped", `{"status":"in_progress","st\u0061tus":"completed"}`, vessl(), "more than once"},
		{"parent twice", `{"run":[{"status":"completed"}],"run":[]}`, nested, "more than once"},
		{"twice below", `{"run":[{"status":"completed","status":"failed"}]}`, nested, "more than once"},
		{"no such element", `{"run":[]}`, nested, "missing"},
	}
	for _, tt := range tests {
		_, err := compiled(t, tt.spec).Map(answer(tt.body))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Map(%s) = %v, want an error with %q", tt.name, tt.body, err, tt.want)
		}
	}
	// Elsewhere, and in other objects, duplicates are the upstream's affair.
	for _, body := range []string{`{"status":"completed","a":1,"a":2}`, `{"status":"completed","a":{"status":1,"status":2}}`, `{"run":[{"status":"completed"},{"status":1,"status":2}]}`} {
		spec := vessl()
		if strings.HasPrefix(body, `{"run"`) {
			spec = nested
		}
		if r, err := compiled(t, spec).Map(answer(body)); err != nil || r.Task.Status != Completed {
			t.Errorf("Map(%s) = %s, %v", body, r.Task.Status, err)
		}
	}
}

// A rule that fails or that does not look at the word must not end a task.
func TestRulesCannotEndUnknownTasks(t *testing.T) {
	spec := vessl()
	spec.Status.Rules = []RuleSpec{
		ruleOf(`json.deep.er == 1`, OutcomeSpec{Status: Completed}),
		ruleOf(`count("calls") > 0`, OutcomeSpec{Status: RequiresAction}),
		ruleOf(`http == 200 && kind("done") == "true"`, OutcomeSpec{Status: Failed}),
	}
	m := compiled(t, spec)
	tests := []struct {
		body   string
		want   Status
		errors int
	}{
		{`{"status":"new","done":true}`, Unknown, 1},
		{`{"status":"new","calls":[1],"done":true}`, RequiresAction, 1},
		{`{"status":"pending","done":true}`, Failed, 1},
		{`{"status":"pending","deep":{"er":2}}`, Queued, 0},
		{`{"status":"pending","deep":{"er":1}}`, Completed, 0},
		{`{"status":"Completed"}`, Unknown, 1},
		{`{"status":""}`, Unknown, 1},
	}
	for _, tt := range tests {
		r, err := m.Map(answer(tt.body))
		if err != nil || r.Task.Status != tt.want || r.RuleErrors != tt.errors {
			t.Errorf("Map(%s) = %s, %d rule errors, %v; want %s, %d", tt.body, r.Task.Status, r.RuleErrors, err, tt.want, tt.errors)
		}
	}
}

func TestSources(t *testing.T) {
	empty := ""
	tests := []struct {
		name   string
		field  string
		source SourceSpec
		body   string
		want   string
	}{
		{"boolean is no number", "usage.input_tokens", path("v"), `true`, `null`},
		{"string is no number", "usage.input_tokens", path("v"), `"12"`, `null`},
		{"matched text is one", "usage.input_tokens", SourceSpec{Path: "v", Match: "n=([0-9]+)"}, `"n=12"`, `12`},
		{"digits are kept", "usage.cost_usd", path("v"), `0.10000000000000000000`, `0.10000000000000000000`},
		{"cost beyond a float", "usage.cost_usd", path("v"), `1e999`, `null`},
		{"cost close to nothing", "usage.cost_usd", path("v"), `1e-999`, `1e-999`},
		{"minus nothing", "usage.input_tokens", path("v"), `-0.0`, `0`},
		{"minus a little", "progress.percent", path("v"), `-0.01`, `null`},
		{"percent beyond 100", "progress.percent", path("v"), `101`, `null`},
		{"number is no string", "model", path("v"), `5`, `null`},
		{"numeric id", "id", path("v"), `12345678901234567890`, `"12345678901234567890"`},
		{"empty code", "error.code", path("v"), `""`, `null`},
		{"integral code", "error.code", path("v"), `500.0`, `"500"`},
		{"boolean code", "error.code", path("v"), `true`, `null`},
		{"blank message", "error.message", path("v"), `" "`, `"task failed"`},
		{"object message", "error.message", path("v"), `{"a":1}`, `"task failed"`},
		{"plain list is no text", "output.text", path("v"), `["a"]`, `null`},
		{"list with a join", "output.text", SourceSpec{Path: "v", Join: &empty}, `["a","b"]`, `"ab"`},
		{"searched list", "output.text", path("v.#.t"), `[{"t":"a"},{"t":["b","c"]}]`, `"a\n\nbc"`},
		{"object is no list", "output.messages", path("v"), `{}`, `null`},
		{"data may be anything", "output.data", path("v"), `0`, `0`},
		{"metadata time", "metadata.at", timed("v", "unix_ms"), `1763805600001`, `"2025-11-22T10:00:00.001Z"`},
		{"metadata match", "metadata.at", SourceSpec{Path: "v", Match: "(b+)"}, `"abbc"`, `"bb"`},
		{"match without its group", "metadata.at", SourceSpec{Path: "v", Match: "a(b)?"}, `"a"`, ``},
		{"metadata not empty", "metadata.at", filled("v"), `""`, ``},
		{"metadata keeps escapes", "metadata.at", path("v"), `{ "a" : "\u0041\/" }`, `{"a":"\u0041\/"}`},
		{"wrong form of time", "created_at", timed("v", "unix"), `"2025-11-22T10:00:00Z"`, `null`},
		{"default form of time", "created_at", path("v"), `"2025-11-22T10:00:00"`, `"2025-11-22T10:00:00Z"`},
		{"parameter", "metadata.at", param("request_id"), `1`, `"the request_id"`},
		{"decoded text", "output.data", path("v.@fromstr"), `"{\"a\":[1, 2]}"`, `{"a":[1,2]}`},
		{"decoded nonsense", "output.data", path("v.@fromstr"), `"{\"a\":"`, `null`},
		{"lone surrogate", "model", path("v"), `"\ud800x"`, "\"\uFFFDx\""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := vessl()
			spec.Fields = []FieldSpec{fieldOf(tt.field, tt.source)}
			r, err := compiled(t, spec).Map(answer(`{"status":"failed","v":` + tt.body + `}`))
			if err != nil {
				t.Fatal(err)
			}
			if got := gjson.GetBytes(r.Task.AppendJSON(nil), tt.field).Raw; got != tt.want {
				t.Errorf("%s = %s, want %s", tt.field, got, tt.want)
			}
		})
	}
}

func TestRequiredActionAlwaysHasAType(t *testing.T) {
	spec := orq()
	spec.Status.Rules = nil
	spec.Status.Words = words("waiting=requires_action")
	m := compiled(t, spec)
	for body, want := range map[string]string{
		`{"status":"waiting"}`: `{"type":"action","tool_calls":[]}`,
		`{"status":"waiting","pending_tool_calls":[{"id":"c"}]}`: `{"type":"tool_calls","tool_calls":[{"id":"c","name":null,"arguments":null}]}`,
	} {
		r, err := m.Map(answer(body))
		if err != nil {
			t.Fatal(err)
		}
		if got := gjson.GetBytes(r.Task.AppendJSON(nil), "required_action").Raw; got != want {
			t.Errorf("required_action of %s = %s, want %s", body, got, want)
		}
	}
}

func TestExplain(t *testing.T) {
	provider, body := bodyNamed("gumloop completed")
	_, traces, err := compiled(t, specs()[provider]).Explain(answer(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	byField := map[string]FieldTrace{}
	for _, trace := range traces {
		byField[trace.Field] = trace
	}
	if traces[0].Field != "status" || string(traces[0].Value) != `"completed"` {
		t.Errorf("first trace = %+v, want the status", traces[0])
	}
	text := byField["output.text"]
	if string(text.Value) != `"Last words"` || len(text.Tried) != 3 || text.Tried[0].Outcome != outcomeEmpty || text.Tried[1].Outcome != outcomeUsed || text.Tried[2].Outcome != outcomeLater {
		t.Errorf("trace of output.text = %+v", text)
	}
	if message := byField["error.message"]; message.Value != nil || message.Tried[0].Outcome != "not while completed" {
		t.Errorf("trace of error.message = %+v", message)
	}
}

// documentKeys are the members that every document has, in order.
var documentKeys = []string{
	"object", "id", "upstream", "provider", "status", "terminal", "native_status", "status_reason", "cancel_requested",
	"created_at", "started_at", "completed_at", "updated_at", "progress", "output", "required_action", "error", "usage", "model", "metadata",
}

func checkDocument(t *testing.T, task *Task) {
	t.Helper()
	document := task.AppendJSON(nil)
	if !json.Valid(document) || strings.ContainsAny(string(document), "\n\r") {
		t.Fatalf("document is not one line of JSON: %s", document)
	}
	var keys []string
	eachMember(string(document), func(key, _ string) { keys = append(keys, decodeString(key)) })
	if strings.Join(keys, " ") != strings.Join(documentKeys, " ") {
		t.Fatalf("keys = %q", keys)
	}
	if !task.Status.Valid() {
		t.Errorf("status %q is not in the schema", task.Status)
	}
	if broken(task.Status) != (task.Error != nil) || task.Error != nil && task.Error.Message == "" {
		t.Errorf("status %s with error %+v", task.Status, task.Error)
	}
	if waiting(task.Status) != (task.RequiredAction != nil) {
		t.Errorf("status %s with required action %+v", task.Status, task.RequiredAction)
	}
}

func FuzzMap(f *testing.F) {
	for _, body := range bodies {
		f.Add([]byte(body.json))
		f.Add([]byte("[" + body.json + "]"))
	}
	var mappings []*Mapping
	for _, spec := range specs() {
		mappings = append(mappings, compiled(f, spec))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if CheckAnswer(body) != nil {
			return
		}
		for _, m := range mappings {
			r, err := m.Map(Native{HTTPStatus: 200, Body: body})
			if err != nil {
				continue
			}
			checkDocument(t, &r.Task)
			if r.UnknownWord && r.Task.Status.Terminal() {
				t.Errorf("unknown word of %s ends the task", body)
			}
			again, _, err := m.Explain(Native{HTTPStatus: 200, Body: body})
			if err != nil || again.Digest != r.Digest || string(again.Task.AppendJSON(nil)) != string(r.Task.AppendJSON(nil)) {
				t.Errorf("mapping %s twice gives two documents, %v", body, err)
			}
			// An independent reader must find the same native word.
			var native map[string]json.RawMessage
			var word string
			if json.Unmarshal(body, &native) == nil && json.Unmarshal(native[m.statusPaths[0]], &word) == nil && word != r.Task.NativeStatus {
				t.Errorf("native_status of %s = %q, want %q", body, r.Task.NativeStatus, word)
			}
		}
	})
}

func BenchmarkMap(b *testing.B) {
	for _, name := range []string{"aitronos processing", "orq completed", "shannon completed"} {
		b.Run(name, func(b *testing.B) {
			provider, body := bodyNamed(name)
			m := compiled(b, specs()[provider])
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Map(Native{HTTPStatus: 200, Body: body}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("check 16 MiB of brackets", func(b *testing.B) {
		body := []byte(strings.Repeat("[", 16<<20))
		for b.Loop() {
			if CheckBody(body) == nil {
				b.Fatal("accepted")
			}
		}
	})
}
