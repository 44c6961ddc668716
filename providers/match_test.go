package providers

import (
	"strings"
	"testing"
)

func TestMatchPoll(t *testing.T) {
	tests := []struct {
		name, provider, method, path, query string
		want                                string // values, "" if no match
	}{
		{"path", "shannon", "GET", "/api/v1/tasks/task-1", "", "task-1"},
		{"without the first slash", "shannon", "GET", "api/v1/tasks/task-1", "", "task-1"},
		{"escaped value", "orq", "GET", "/v2/agents/my%20agent%2Fx/responses/01K6", "", "my agent/x|01K6"},
		{"id in the query", "gumloop-flow", "GET", "/get_pl_run", "user_id=u&run_id=r&project_id=p", "r|u|p"},
		{"scope", "aitronos", "GET", "/v1/model/response/r", "organizationId=o", "r|o"},
		{"what is sent though it means nothing", "fal", "GET", "/fal-ai/flux/requests/r/status", "logs=0", "fal-ai|flux|r|"},
		{"what is sent and means something", "fal", "GET", "/fal-ai/flux/requests/r/status", "logs=1", "fal-ai|flux|r|1"},
		{"Azure OpenAI", "openai-videos", "GET", "/videos/video_1", "api-version=preview", "video_1|preview"},
		{"no stream", "gemini-interactions", "GET", "/v1beta/interactions/v1_a", "stream=false", "v1_a|"},

		{"other method", "shannon", "POST", "/api/v1/tasks/task-1", "", ""},
		{"HEAD", "shannon", "HEAD", "/api/v1/tasks/task-1", "", ""},
		{"list", "shannon", "GET", "/api/v1/tasks", "", ""},
		{"below", "shannon", "GET", "/api/v1/tasks/task-1/stream", "", ""},
		{"trailing slash", "shannon", "GET", "/api/v1/tasks/task-1/", "", ""},
		{"double slash", "shannon", "GET", "/api//v1/tasks/task-1", "", ""},
		{"two first slashes", "shannon", "GET", "//api/v1/tasks/task-1", "", ""},
		{"literal in another case", "shannon", "GET", "/API/v1/tasks/task-1", "", ""},
		{"literal escaped", "shannon", "GET", "/%61pi/v1/tasks/task-1", "", ""},
		{"dot segment", "shannon", "GET", "/api/v1/tasks/..", "", ""},
		{"escaped slash in the id", "shannon", "GET", "/api/v1/tasks/a%2Fb", "", ""},
		{"against the pattern", "vessl", "GET", "/async/ABC/output", "", ""},
		{"undeclared parameter", "shannon", "GET", "/api/v1/tasks/task-1", "verbose=1", ""},
		{"twice", "gumloop", "GET", "/agent_status/abc", "user_id=u&user_id=u", ""},
		{"meaningless, twice", "fal", "GET", "/fal-ai/flux/requests/r/status", "logs=0&logs=0", ""},
		{"a stream", "gemini-interactions", "GET", "/v1beta/interactions/v1_a", "stream=true", ""},
		{"plus that may be a blank", "gumloop", "GET", "/agent_status/abc", "user_id=a+b", ""},
		{"none of one_of", "gumloop", "GET", "/agent_status/abc", "", ""},
		{"no run", "gumloop-flow", "GET", "/get_pl_run", "user_id=u", ""},
		{"empty", "shannon", "GET", "", "", ""},
	}
	var v View
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			if newParser(t, test.provider, nil).MatchPoll(&v, []byte(test.method), []byte(test.path), []byte(test.query)) {
				got = strings.Join(v.Reference().Values, "|")
			}
			if got != test.want {
				t.Errorf("MatchPoll(%s, %s %s?%s) = %q, want %q", test.provider, test.method, test.path, test.query, got, test.want)
			}
		})
	}
}

func TestMatchPollWithLiteralsInTheTemplate(t *testing.T) {
	p := parse(t, "jobs", `
name: jobs
identity: {headers: [Authorization]}
params: {id: {in: path}, region: {in: query, optional: true}}
poll: {request: 'GET /jobs/{id}:status?view=full'}
status: {path: state, words: {done: completed}}
fields: {id: id}
`)
	parser, err := NewParser(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	var v View
	for query, want := range map[string]bool{
		"view=full": true, "region=eu&view=full": true, "": false, "view=short": false, "view=full&view=full": false, "view=full&x=1": false,
	} {
		if got := parser.MatchPoll(&v, []byte("GET"), []byte("/jobs/7:status"), []byte(query)); got != want {
			t.Errorf("MatchPoll(?%s) = %v, want %v", query, got, want)
		}
	}
	if parser.MatchPoll(&v, []byte("GET"), []byte("/jobs/:status"), []byte("view=full")) {
		t.Error("MatchPoll accepts an empty id")
	}
}

func TestCreated(t *testing.T) {
	tests := []struct {
		name, provider, path, query, request, answer string
		want                                         string
	}{
		{"flat id", "vessl", "/async", "", `{"data":1}`, `{"id":"98nlux8b0eu6"}`, "98nlux8b0eu6"},
		{"by task_id", "orq", "/v2/agents/my%20agent/responses", "", `{}`, `{"_id":"x","task_id":"01K6"}`, "my agent|01K6"},
		{"A2A object", "orq", "/v2/agents/a/responses", "", `{}`, `{"id":"01K7","contextId":"c","kind":"task","status":{"state":"submitted"}}`, "a|01K7"},
		{"id of something else", "orq", "/v2/agents/a/responses", "", `{}`, `{"id":"01K7","kind":"message"}`, ""},
		{"unnamed placeholder", "shannon", "/api/v1/agents/some%2Fagent", "", `{}`, `{"task_id":"t-1","agent_id":"a"}`, "t-1"},
		{"scope from the body", "gumloop", "/start_agent", "", `{"message":"m","project_id":"p"}`, `{"interaction_id":"i","status":"processing"}`, "i||p"},
		{"scope from the query", "gumloop", "/start_agent", "user_id=u&x=1", `{"message":"m","user_id":"v"}`, `{"interaction_id":"i"}`, "i|u|"},
		{"no scope at all", "gumloop", "/start_agent", "", `{"message":"m"}`, `{"interaction_id":"i"}`, ""},
		{"flow", "gumloop-flow", "/start_pipeline", "", `{"user_id":"u"}`, `{"run_id":"r"}`, "r|u|"},
		{"no JSON", "vessl", "/async", "", `{}`, `<html>`, ""},
		{"no id", "vessl", "/async", "", `{}`, `{"message":"x"}`, ""},
		{"id against the pattern", "vessl", "/async", "", `{}`, `{"id":"../../etc"}`, ""},
		{"half a surrogate pair", "openai", "/responses", "", `{}`, `{"id":"a\ud800b","background":true}`, ""},
		{"a whole one", "openai", "/responses", "", `{}`, `{"id":"a\ud83d\ude00b","background":true}`, "a😀b"},
		{"half a pair in the scope", "aitronos", "/v1/model/response", "organizationId=o", `{}`, `{"id":"r\udc00"}`, ""},
		{"half a pair in the request", "gumloop", "/start_agent", "", `{"user_id":"u\ud800","project_id":"p"}`, `{"interaction_id":"i"}`, ""},
		{"in the background", "aitronos", "/v1/model/response", "", `{"background":true}`, `{"id":"resp_1","status":"queued","created_at":1741476542}`, "resp_1|"},
		{"not in the background", "aitronos", "/v1/model/response", "", `{}`, `{"id":"resp_1","object":"response","createdAt":1741476542,"choices":[]}`, ""},
		{"a task of Runway", "runway", "/v1/image_to_video", "", `{}`, `{"id":"17f20503"}`, "17f20503"},
		{"a voice of Runway", "runway", "/v1/voices", "", `{}`, `{"id":"17f20503"}`, "no create"},
		{"Azure OpenAI", "openai-batches", "/batches", "api-version=2024-10-21", `{}`, `{"id":"batch_1"}`, "batch_1|2024-10-21"},
		{"not declared", "vessl", "/request/x", "", `{}`, `{"id":"abc"}`, "no create"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newParser(t, test.provider, nil)
			got := "no create"
			if c := p.Create([]byte("POST"), []byte(test.path)); c != nil {
				r, _ := p.Created(c, []byte(test.path), []byte(test.query), []byte(test.request), nil, []byte(test.answer))
				got = strings.Join(r.Values, "|")
			}
			if got != test.want {
				t.Errorf("Created(%s %s) = %q, want %q", test.path, test.answer, got, test.want)
			}
		})
	}
}

func TestOperationsAreMadeByAnyMethod(t *testing.T) {
	p := newParser(t, "google-lro", nil)
	for _, method := range []string{"POST", "PATCH", "PUT", "DELETE"} {
		path := []byte("/v1/projects/p/things/t")
		c := p.Create([]byte(method), path)
		if c == nil {
			t.Errorf("%s makes nothing", method)
			continue
		}
		if r, ok := p.Created(c, path, nil, nil, nil, []byte(`{"name":"operations/op1"}`)); !ok || r.Values[0] != "op1" {
			t.Errorf("%s makes %q, %v", method, r.Values, ok)
		}
	}
	if c := p.Create([]byte("GET"), []byte("/v1/operations/op1")); c != nil {
		t.Error("a poll makes an operation")
	}
}

func TestAffected(t *testing.T) {
	tests := []struct{ name, provider, method, path, query, body, want string }{
		{"orq continues", "orq", "POST", "/v2/agents/a%2Fb/responses", "", `{"task_id":"01K6","message":{}}`, "a/b|01K6"},
		{"orq creates", "orq", "POST", "/v2/agents/a/responses", "", `{"message":{}}`, ""},
		{"gumloop continues", "gumloop", "POST", "/start_agent", "", `{"interaction_id":"i","user_id":"u"}`, "i|u|"},
		{"half a surrogate pair", "gumloop", "POST", "/start_agent", "", `{"interaction_id":"i\ud800","user_id":"u"}`, ""},
		{"half a pair in a cancel", "gumloop-flow", "POST", "/kill_pipeline", "", `{"run_id":"r\ud800","user_id":"u"}`, ""},
		{"gumloop kills a flow", "gumloop-flow", "POST", "/kill_pipeline", "", `{"run_id":"r","user_id":"u"}`, "r|u|"},
		{"aitronos cancels", "aitronos", "DELETE", "/v1/model/response/r", "organizationId=o", "", "r|o"},
		{"aitronos creates", "aitronos", "POST", "/v1/model/response", "", `{"id":"r"}`, ""},
		{"shannon cancels", "shannon", "POST", "/api/v1/tasks/t/cancel", "", `{"reason":"x"}`, "t"},
		{"shannon resumes", "shannon", "POST", "/api/v1/tasks/t/resume", "", "", "t"},
		{"shannon streams", "shannon", "GET", "/api/v1/tasks/t/stream", "", "", ""},
		{"vessl relays", "vessl", "POST", "/request/x", "", "{}", ""},
		{"Google cancels, where any path may create", "google-lro", "POST", "/v1/operations/op1:cancel", "", "{}", "op1"},
		{"Google creates", "google-lro", "POST", "/v1/projects/p/things", "", "{}", ""},
		{"Google forgets", "google-lro", "DELETE", "/v1/operations/op1", "", "", "op1"},
		{"OpenAI deletes", "openai", "DELETE", "/responses/r", "", "", "r"},
		{"GitHub deletes", "github-actions", "DELETE", "/repos/o/r/actions/runs/7", "", "", "o|r|7"},
		{"GitHub deletes a run's logs", "github-actions", "DELETE", "/repos/o/r/actions/runs/7/logs", "", "", ""},
		{"Azure cancels", "azure-async", "POST", "/subscriptions/s/providers/Microsoft.Compute/locations/l/operations/o1:cancel", "api-version=1", "", "s|l|o1|1"},
		{"Databricks repairs", "databricks", "POST", "/api/2.1/jobs/runs/repair", "", `{"run_id":7,"rerun_all_failed_tasks":true}`, "7"},
		{"A2A continues", "a2a", "POST", "/message:send", "", `{"message":{"taskId":"t1"}}`, "t1"},
		{"A2A continues as a stream", "a2a", "POST", "/message:stream", "", `{"message":{"taskId":"t1"}}`, "t1"},
		{"orq continues as a stream", "orq", "POST", "/v2/agents/a/stream-task", "", `{"task_id":"01K6"}`, "a|01K6"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, ok := newParser(t, test.provider, nil).Affected([]byte(test.method), []byte(test.path), []byte(test.query), []byte(test.body))
			if got := strings.Join(r.Values, "|"); got != test.want || ok != (test.want != "") {
				t.Errorf("Affected = %q, %v, want %q", got, ok, test.want)
			}
		})
	}
}

// parse loads a file's text that must be right.
func parse(t testing.TB, name, text string) *Provider {
	t.Helper()
	p, faults := parseProvider(name+".yaml", []byte(text))
	if len(faults) > 0 {
		t.Fatalf("parseProvider = %v", faults)
	}
	return p
}
