package providers

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"pollux/providers/format"
)

// reference for tests whose answers name no task of their own.
func referenceFor(t testing.TB, provider string) Reference {
	t.Helper()
	f := fixture{Recording: &Recording{}, provider: builtins(t).Get(provider)}
	return f.reference(t)
}

// TestOtherAnswers covers what the contracts allow beyond the recordings. Each
// want is a GJSON path into the document and the JSON there.
func TestOtherAnswers(t *testing.T) {
	tests := []struct {
		name, provider, body string
		want                 map[string]string
	}{
		{"content is a string", "aitronos", `{"id":"resp_67ccd2bed1ec8190","status":"completed","output":[{"role":"assistant","content":"Hello"}]}`,
			map[string]string{"output.text": `"Hello"`, "status": `"completed"`}},
		{"parts joined with nothing, messages with a blank line", "aitronos",
			`{"id":"resp_67ccd2bed1ec8190","status":"completed","output":[
			{"role":"user","content":"question"},
			{"role":"assistant","content":[{"type":"output_text","text":"a"},{"type":"image","text":"no"},{"type":"output_text","text":"b"}]},
			{"role":"assistant","content":"c"}]}`,
			map[string]string{"output.text": `"ab\n\nc"`}},
		{"snake_case", "aitronos", `{"id":"resp_67ccd2bed1ec8190","status":"completed","created_at":1741476542,"completed_at":1741476550,"usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}`,
			map[string]string{"created_at": `"2025-03-08T23:29:02Z"`, "completed_at": `"2025-03-08T23:29:10Z"`, "usage.total_tokens": "3", "model": "null"}},
		{"not started, percentage absent", "aitronos", `{"id":"resp_67ccd2bed1ec8190","status":"processing","startedAt":null}`,
			map[string]string{"status": `"queued"`, "native_status": `"processing"`}},
		{"not started, yet working", "aitronos", `{"id":"resp_67ccd2bed1ec8190","status":"processing","startedAt":null,"progress":{"percentage":3}}`,
			map[string]string{"status": `"in_progress"`}},
		{"not started, in the other case", "aitronos", `{"id":"resp_67ccd2bed1ec8190","status":"processing","created_at":1763805600,"started_at":null,"progress":{"percentage":0}}`,
			map[string]string{"status": `"queued"`, "started_at": "null"}},
		{"started, by one of two cases", "aitronos", `{"id":"resp_67ccd2bed1ec8190","status":"processing","startedAt":null,"started_at":1763805602}`,
			map[string]string{"status": `"in_progress"`, "started_at": `"2025-11-22T10:00:02Z"`}},
		{"all done and still processing", "aitronos", `{"id":"resp_67ccd2bed1ec8190","status":"processing","startedAt":1,"progress":{"percentage":100},"output":[],"usage":{"input_tokens":0}}`,
			map[string]string{"status": `"in_progress"`, "terminal": "false", "usage.input_tokens": "null"}},
		{"word in another case", "aitronos", `{"id":"resp_67ccd2bed1ec8190","status":"Completed"}`,
			map[string]string{"status": `"unknown"`, "terminal": "false", "native_status": `"Completed"`}},

		{"calls pending in whatever state", "orq", `{"task_id":"task-1","status":"in_progress","output":[],"pending_tool_calls":[{"id":"c1","type":"function","function":{"name":"f"}}]}`,
			map[string]string{"status": `"requires_action"`, "required_action.tool_calls": `[{"id":"c1","name":"f","arguments":null}]`}},
		{"waits without saying for what", "orq", `{"task_id":"task-1","status":"completed","output":[],"finish_reason":"function_call"}`,
			map[string]string{"status": `"requires_action"`, "required_action.tool_calls": `[]`}},
		{"an empty list is not waiting", "orq", `{"task_id":"task-1","status":"completed","output":[],"finish_reason":"tool_calls","pending_tool_calls":[]}`,
			map[string]string{"status": `"completed"`, "required_action": "null"}},
		{"failed wins over pending calls", "orq", `{"task_id":"task-1","status":"failed","output":[],"error":"boom","pending_tool_calls":[{"id":"c1"}]}`,
			map[string]string{"status": `"failed"`, "error.message": `"boom"`, "required_action": "null"}},
		{"out of time", "orq", `{"task_id":"task-1","status":"completed","output":[{"role":"agent","parts":[{"kind":"text","text":"so far"}]}],"finish_reason":"max_time"}`,
			map[string]string{"status": `"incomplete"`, "terminal": "true", "status_reason": `"max_time"`, "output.text": `"so far"`}},
		{"an error part is no failed task", "orq", `{"task_id":"task-1","status":"completed","output":[{"role":"agent","parts":[{"kind":"error","error":"tool"},{"kind":"text","text":"x"}]}],"finish_reason":null,"error":null}`,
			map[string]string{"status": `"completed"`, "error": "null", "output.text": `"x"`}},
		{"data part", "orq", `{"task_id":"task-1","status":"completed","output":[{"role":"agent","parts":[{"kind":"data","data":{"n":12345678901234567890}}]}]}`,
			map[string]string{"output.data": `{"n":12345678901234567890}`, "output.text": "null"}},
		{"several agent messages", "orq", `{"task_id":"task-1","status":"completed","output":[{"role":"agent","parts":[{"kind":"text","text":"a"},{"kind":"text","text":"b"}]},{"role":"tool","parts":[{"kind":"text","text":"no"}]},{"role":"agent","parts":[{"kind":"text","text":"c"}]}]}`,
			map[string]string{"output.text": `"ab\n\nc"`}},

		{"no response, but a text part", "gumloop", `{"interaction_id":"xYz789AbCdEfGhI","state":"COMPLETED","messages":[{"role":"assistant","parts":[{"type":"text","text":"old"}]},{"role":"user","content":"q","parts":[]},{"role":"assistant","parts":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}`,
			map[string]string{"output.text": `"ab"`}},
		{"response wins", "gumloop", `{"interaction_id":"xYz789AbCdEfGhI","state":"COMPLETED","response":"final","messages":[{"role":"assistant","parts":[{"type":"text","text":"part"}]}]}`,
			map[string]string{"output.text": `"final"`}},
		{"undocumented state", "gumloop", `{"interaction_id":"xYz789AbCdEfGhI","state":"APPROVAL_REQUIRED"}`,
			map[string]string{"status": `"unknown"`, "terminal": "false"}},
		{"status is not state", "gumloop", `{"interaction_id":"xYz789AbCdEfGhI","state":"ASYNC_PROCESSING","status":"COMPLETED"}`,
			map[string]string{"status": `"in_progress"`}},
		{"being ended", "gumloop-flow", `{"state":"TERMINATING","log":["x"]}`, map[string]string{"status": `"in_progress"`, "cancel_requested": "true"}},
		{"ended", "gumloop-flow", `{"state":"TERMINATED","finished_ts":"2026-03-14T12:00:40.250+00:00"}`,
			map[string]string{"status": `"cancelled"`, "completed_at": `"2026-03-14T12:00:40.25Z"`, "error": "null"}},
		{"failed in silence", "gumloop-flow", `{"state":"FAILED","log":[]}`, map[string]string{"error.message": `"task failed"`}},

		{"no prefix", "shannon", `{"task_id":"task-1","status":"RUNNING"}`, map[string]string{"status": `"in_progress"`, "native_status": `"RUNNING"`}},
		{"one L", "shannon", `{"task_id":"task-1","status":"TASK_STATUS_CANCELED"}`, map[string]string{"status": `"cancelled"`}},
		{"timed out", "shannon", `{"task_id":"task-1","status":"TASK_STATUS_TIMEOUT"}`,
			map[string]string{"status": `"timed_out"`, "error": `{"code":null,"type":"task_failed","message":"task failed"}`}},
		{"history is gone", "shannon", `{"task_id":"task-1","status":"TASK_STATUS_UNSPECIFIED"}`, map[string]string{"status": `"unknown"`, "terminal": "false"}},
		{"no error", "shannon", `{"task_id":"task-1","status":"TASK_STATUS_COMPLETED","error":"","result":"r"}`, map[string]string{"status": `"completed"`, "error": "null"}},
		{"completed with the text of an error", "shannon", `{"task_id":"task-1","status":"TASK_STATUS_COMPLETED","error":"research plan review timed out"}`,
			map[string]string{"status": `"failed"`, "native_status": `"TASK_STATUS_COMPLETED"`, "error.message": `"research plan review timed out"`}},
		{"time in the id", "shannon", `{"task_id":"task-1","status":"RUNNING","created_at":"2030-01-01T00:00:00Z"}`, map[string]string{"created_at": "null"}},

		{"false is a value", "vessl", `{"status":"completed","status_code":200,"raw_output":"false","output":false}`,
			map[string]string{"output.data": "false", "output.text": "null"}},
		{"digits stay", "vessl", `{"status":"completed","status_code":200,"output":{"n":9007199254740993,"p":2.50}}`,
			map[string]string{"output.data": `{"n":9007199254740993,"p":2.50}`}},
		{"the payload has a status", "vessl", `{"status":"in_progress","output":{"status":"failed"}}`, map[string]string{"status": `"in_progress"`}},
		{"an inner 429 is the result", "vessl", `{"status":"failed","status_code":429,"raw_output":"slow down","fail_reason":"Service responded with status code 429"}`,
			map[string]string{"status": `"failed"`, "error.code": `"429"`, "output.text": `"slow down"`}},
		{"a code in quotes", "vessl", `{"status":"failed","status_code":"503","fail_reason":"busy"}`,
			map[string]string{"error": `{"code":"503","type":"task_failed","message":"busy"}`, "metadata.status_code": `"503"`}},
		{"no service answered", "vessl", `{"status":"failed","status_code":0,"fail_reason":"Internal error"}`,
			map[string]string{"error.code": "null", "metadata.status_code": "0"}},
	}
	for _, test := range tests {
		t.Run(test.provider+"/"+test.name, func(t *testing.T) {
			v := builtins(t).Get(test.provider).Judge(referenceFor(t, test.provider), 200, http.Header{}, []byte(test.body), noon)
			if v.Kind != Answered {
				t.Fatalf("Judge(%s) = %s, want a document", test.body, v.Reason)
			}
			document := v.Task.AppendJSON(nil)
			for path, want := range test.want {
				if got := gjson.GetBytes(document, path).Raw; got != want {
					t.Errorf("%s: %s = %s, want %s", test.body, path, got, want)
				}
			}
		})
	}
}

func TestJudgeCodes(t *testing.T) {
	const object, page = `{"message":"x"}`, `<html>404</html>`
	tests := []struct {
		name, provider string
		code           int
		body           string
		kind           Kind
		status         int
		fault          bool
	}{
		{"created", "vessl", 201, `{"status":"completed"}`, BadAnswer, 0, false},
		{"accepted", "vessl", 202, `{"status":"completed"}`, BadAnswer, 0, false},
		{"no content", "vessl", 204, "", BadAnswer, 0, true},
		{"partial content", "vessl", 206, `{"status":"compl`, BadAnswer, 0, true},
		{"redirect", "vessl", 302, "", BadAnswer, 0, false},
		{"not modified", "vessl", 304, "", BadAnswer, 0, false},
		{"bad request", "vessl", 400, object, Rejected, 400, false},
		{"key", "vessl", 401, page, Unauthorized, 401, false},
		{"quota", "orq", 402, object, Rejected, 402, false},
		{"access", "vessl", 403, page, Forbidden, 403, false},
		{"missing", "orq", 404, object, NotFound, 0, false},
		{"missing, any JSON", "orq", 404, `"not found"`, NotFound, 0, false},
		{"wrong route", "orq", 404, page, BadAnswer, 0, false},
		{"wrong route, empty", "orq", 404, "", BadAnswer, 0, false},
		{"missing, any body by the file", "vessl", 404, page, NotFound, 0, false},
		{"wrong method", "orq", 405, "Method Not Allowed\n", BadAnswer, 0, false},
		{"method refused in JSON", "orq", 405, object, Rejected, 405, false},
		{"timeout", "orq", 408, object, TooSlow, 0, false},
		{"gone", "orq", 410, "", NotFound, 0, false},
		{"conflict", "gumloop", 409, object, Rejected, 409, false},
		{"rate", "orq", 429, page, RateLimited, 0, false},
		{"legal", "orq", 451, object, Rejected, 451, false},
		{"error", "orq", 500, object, BadAnswer, 0, true},
		{"permanent by the file", "orq", 501, page, Rejected, 501, false},
		{"permanent elsewhere", "vessl", 501, object, BadAnswer, 0, true},
		{"gateway", "vessl", 502, page, BadAnswer, 0, true},
		{"nonsense code", "vessl", 999, object, BadAnswer, 0, true},
		{"ambiguous organisation", "aitronos", 403, `{"success":false,"error":{"code":"AMBIGUOUS_ORGANIZATION","message":"m"}}`, Rejected, 403, false},
		{"bad key as 403", "gumloop", 403, `{"error":"Unauthorized"}`, Unauthorized, 401, false},
		{"no access as 403", "gumloop", 403, `{"error":"unauthorized"}`, Forbidden, 403, false},
		{"bad key as 403, in the longer envelope", "gumloop", 403, `{"error":{"message":"Unauthorized","code":null,"type":"auth_error"}}`, Unauthorized, 401, false},
		{"no access as 403, in the longer envelope", "gumloop", 403, `{"error":{"message":"unauthorized","code":null}}`, Forbidden, 403, false},
		{"bad key as 403 of a flow", "gumloop-flow", 403, `{"error":"Unauthorized"}`, Unauthorized, 401, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := builtins(t).Get(test.provider).Judge(referenceFor(t, test.provider), test.code, http.Header{}, []byte(test.body), noon)
			if v.Kind != test.kind || v.Status != test.status || v.ServerFault != test.fault || v.Reason == "" {
				t.Errorf("Judge(%d %s) = %s, status %d, fault %v, reason %q, want %s, %d, %v and a reason",
					test.code, test.body, v.Kind.String(), v.Status, v.ServerFault, v.Reason, test.kind.String(), test.status, test.fault)
			}
		})
	}
}

func TestUnusableAnswers(t *testing.T) {
	tests := []struct{ name, contentType, body string }{
		{"empty", "", ""},
		{"null", "", "null"},
		{"array", "", `[{"task_id":"task-1","status":"RUNNING"}]`},
		{"string", "", `"{\"status\":\"RUNNING\"}"`},
		{"cut", "", `{"task_id":"task-1","status":"RUNNING"`},
		{"trailing text", "", `{"task_id":"task-1","status":"RUNNING"}{}`},
		{"byte order mark", "", "\ufeff" + `{"task_id":"task-1","status":"RUNNING"}`},
		{"invalid UTF-8", "", `{"task_id":"task-1","status":"RUNNING","q":"` + "\xff" + `"}`},
		{"NaN", "", `{"task_id":"task-1","status":"RUNNING","n":NaN}`},
		{"deep", "", `{"task_id":"task-1","status":"RUNNING","n":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`},
		{"bottomless", "", strings.Repeat("[", 1<<20)},
		{"HTML", "text/html; charset=utf-8", `{"task_id":"task-1","status":"RUNNING"}`},
		{"no status", "", `{"task_id":"task-1"}`},
		{"status in another case", "", `{"task_id":"task-1","Status":"RUNNING"}`},
		{"status null", "", `{"task_id":"task-1","status":null}`},
		{"status an object", "", `{"task_id":"task-1","status":{"state":"RUNNING"}}`},
		{"two statuses", "", `{"task_id":"task-1","status":"RUNNING","status":"COMPLETED"}`},
		{"another task", "", `{"task_id":"task-2","status":"COMPLETED"}`},
		{"another task, second", "", `{"task_id":"task-1","task_id":"task-2","status":"COMPLETED"}`},
		{"another task, spelt out", "", `{"task\u005fid":"task-2","status":"COMPLETED"}`},
		{"another case", "", `{"task_id":"TASK-1","status":"COMPLETED"}`},
		{"id a number", "", `{"task_id":1,"status":"COMPLETED"}`},
		{"id an object", "", `{"task_id":{"task_id":"task-1"},"status":"COMPLETED"}`},
		{"id true", "", `{"task_id":true,"status":"COMPLETED"}`},
	}
	p := builtins(t).Get("shannon")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := http.Header{}
			if test.contentType != "" {
				h.Set("Content-Type", test.contentType)
			}
			v := p.Judge(Reference{[]string{"task-1"}}, 200, h, []byte(test.body), noon)
			if v.Kind != BadAnswer || !v.ServerFault || v.Reason == "" {
				t.Errorf("Judge(%.80q) = %s, fault %v, reason %q, want upstream-error and a fault", test.body, v.Kind.String(), v.ServerFault, v.Reason)
			}
		})
	}
}

func TestAcceptableAnswers(t *testing.T) {
	p := builtins(t).Get("shannon")
	for _, contentType := range []string{"", "application/json", "Application/JSON; charset=UTF-8", "application/vnd.shannon+json", "text/json"} {
		for _, body := range []string{`{"task_id":"task-1","status":"RUNNING"}`, `{"status":"RUNNING"}`, `{"task_id":null,"status":"RUNNING"}`} {
			h := http.Header{"Content-Type": {contentType}}
			v := p.Judge(Reference{[]string{"task-1"}}, 200, h, []byte(body), noon)
			if v.Kind != Answered || v.Task.ID != "task-1" {
				t.Errorf("Judge(%q, %s) = %s, id %q (%s), want the document of task-1", contentType, body, v.Kind.String(), v.Task.ID, v.Reason)
			}
		}
	}
}

// Shannon's ids end in the second in which the task was made; its created_at is
// the time of the poll.
func TestTimeInTheID(t *testing.T) {
	p := builtins(t).Get("shannon")
	for id, want := range map[string]string{
		"task-00000000-0000-0000-0000-000000000002-1780405477": `"2026-06-02T13:04:37Z"`,
		"task-0f2c-1761129000":                                 `"2025-10-22T10:30:00Z"`,
		"task-0f2c-17611290000000":                             "null",
		"task-0f2c-0":                                          "null",
		"task-1761129000":                                      "null",
		"task_01HQZX3Y9K8M2P4N5S7T9W2V":                        "null",
		"other-0f2c-1761129000":                                "null",
		"task-0f2c-1761129000.scheduled":                       "null",
	} {
		for _, body := range []string{`{"status":"RUNNING","created_at":"2030-01-01T00:00:00Z"}`, `{"task_id":"` + id + `","status":"RUNNING"}`} {
			v := p.Judge(Reference{[]string{id}}, 200, http.Header{}, []byte(body), noon)
			if got := gjson.GetBytes(v.Task.AppendJSON(nil), "created_at").Raw; v.Kind != Answered || got != want {
				t.Errorf("Judge(%s) for %s = created_at %s, want %s", body, id, got, want)
			}
		}
	}
}

func TestNumericIDs(t *testing.T) {
	p := parse(t, "jobs", `
name: jobs
identity: {headers: [Authorization]}
params: {id: {in: path}}
poll: {request: 'GET /jobs/{id}'}
status: {path: state, words: {done: completed}}
fields: {id: id}
`)
	for body, want := range map[string]Kind{`{"id":17,"state":"done"}`: Answered, `{"id":18,"state":"done"}`: BadAnswer, `{"id":17.0,"state":"done"}`: BadAnswer} {
		if v := p.Judge(Reference{[]string{"17"}}, 200, nil, []byte(body), noon); v.Kind != want {
			t.Errorf("Judge(%s) for 17 = %s, want %s", body, v.Kind.String(), want.String())
		}
	}
}

func TestVerdictHasNoUpstreamBytes(t *testing.T) {
	const canary = "cAnArY cAnArY"
	for _, p := range builtins(t).All() {
		for _, body := range []string{canary, `{"error":"` + canary + `","message":"` + canary + `","code":"` + canary + `"}`,
			`{"error":{"code":"` + canary + `","message":"` + canary + `"}}`, `{"status":{"x":"` + canary + `"},"state":["` + canary + `"]}`, `{"` + canary + `":1,"` + canary + `":2}`} {
			for _, code := range []int{200, 201, 302, 400, 401, 403, 404, 405, 409, 429, 500, 503} {
				h := http.Header{"Content-Type": {"text/" + canary}, "Retry-After": {canary}}
				v := p.Judge(referenceFor(t, p.Name), code, h, []byte(body), noon)
				if v.Kind != Answered && strings.Contains(v.Code+v.Reason, "cAnArY") {
					t.Errorf("%s: Judge(%d %s) = code %q, reason %q", p.Name, code, body, v.Code, v.Reason)
				}
			}
		}
	}
}

func TestErrorCodes(t *testing.T) {
	tests := []struct{ provider, body, want string }{
		{"aitronos", `{"success":false,"error":{"code":"API_KEY_EXPIRED","message":"m"}}`, "API_KEY_EXPIRED"},
		{"orq", `{"error":{"code":"expired_api_key","message":"m"}}`, "expired_api_key"},
		{"orq", `{"code":"404","message":"Task not found"}`, "404"},
		{"orq", `{"id":"x","code":404,"error":"text","source":"system"}`, "404"},
		{"gumloop", `{"error":"gummie_not_found"}`, "gummie_not_found"},
		{"gumloop", `{"error":"gummie_id is required"}`, ""},
		{"gumloop", `{"error":{"code":"c","message":"m"}}`, "c"},
		{"gumloop", `{"error":"slug","message":"A sentence."}`, "slug"},
		{"shannon", `{"error":"Unauthorized"}`, ""},
		{"vessl", `{"message":"Unauthorized"}`, ""},
		{"vessl", `{"code":{"a":1}}`, ""},
		{"gumloop", `{"error":"` + strings.Repeat("a", 65) + `"}`, ""},
	}
	for _, test := range tests {
		v := builtins(t).Get(test.provider).Judge(referenceFor(t, test.provider), 401, nil, []byte(test.body), noon)
		if v.Code != test.want {
			t.Errorf("%s: code of %s = %q, want %q", test.provider, test.body, v.Code, test.want)
		}
	}
}

func TestRetryAfterOfAnyAnswer(t *testing.T) {
	h := http.Header{"Retry-After": {"30"}}
	for code, body := range map[int]string{200: `{"status":"pending"}`, 429: "", 503: ""} {
		v := builtins(t).Get("vessl").Judge(referenceFor(t, "vessl"), code, h, []byte(body), noon)
		if v.RetryAfter != 30*time.Second {
			t.Errorf("Judge(%d) = retry after %v, want 30s", code, v.RetryAfter)
		}
	}
}

func TestJudgeCancel(t *testing.T) {
	tests := []struct {
		name, provider string
		code           int
		body           string
		kind           Kind
		status         int
	}{
		{"accepted", "shannon", 202, `{"success":true}`, Answered, 0},
		{"accepted without JSON", "shannon", 202, ``, Answered, 0},
		{"refused with 202", "shannon", 202, `{"success":false,"message":"m"}`, Rejected, 409},
		{"another 2xx", "shannon", 200, `{"success":true}`, BadAnswer, 0},
		{"refused", "shannon", 409, `{"success":false}`, Rejected, 409},
		{"missing", "shannon", 404, `{"error":"Task not found"}`, NotFound, 0},
		{"a page", "shannon", 202, "\n<!DOCTYPE html><title>Sign in</title>", BadAnswer, 0},
		{"flow refused", "gumloop-flow", 200, `{"success":false}`, Rejected, 409},
	}
	for _, test := range tests {
		v := builtins(t).Get(test.provider).JudgeCancel(referenceFor(t, test.provider), test.code, nil, []byte(test.body), noon)
		if v.Kind != test.kind || v.Status != test.status {
			t.Errorf("%s: JudgeCancel(%d %s) = %s, %d, want %s, %d", test.name, test.code, test.body, v.Kind.String(), v.Status, test.kind.String(), test.status)
		}
		if test.name == "another 2xx" && !strings.Contains(v.Reason, "which cancel.ok of") {
			t.Errorf("%s: %q does not say where the codes are listed", test.name, v.Reason)
		}
	}
}

func TestJudgeCancelByContentType(t *testing.T) {
	p := builtins(t).Get("shannon")
	for _, c := range []struct {
		contentType, body string
		want              Kind
	}{
		{"application/json", "{}", Answered}, {"application/json", "done", Answered}, {"", "", Answered}, {"", "done", Answered},
		{"text/plain", "done", Answered}, {"application/problem+json", "{}", Answered}, {"image/png", "", Answered}, {"text/css", "{}", Answered},
		{"text/html", "done", BadAnswer}, {"Text/HTML; charset=utf-8", "{}", BadAnswer}, {"application/xhtml+xml", "", BadAnswer},
		{"", "\ufeff\n<!DOCTYPE html>", BadAnswer}, {"text/plain", "<HTML>", BadAnswer}, {"", "<!-- login --><html>", BadAnswer},
		{"application/xml", "<Error/>", BadAnswer}, {"application/soap+xml", "<e/>", BadAnswer}, {"image/png", "\x89PNG", BadAnswer}, {"text/css", "a{}", BadAnswer},
	} {
		h := http.Header{"Content-Type": {c.contentType}}
		if v := p.JudgeCancel(referenceFor(t, "shannon"), 202, h, []byte(c.body), noon); v.Kind != c.want {
			t.Errorf("%q, %q: %s, want %s", c.contentType, c.body, v.Kind.String(), c.want.String())
		}
	}
}

func TestExplain(t *testing.T) {
	p := builtins(t).Get("gumloop")
	body := []byte(`{"interaction_id":"any","state":"COMPLETED","response":"","messages":[]}`)
	traces, v := p.Explain(Reference{}, Answer{200, nil, body}, nil, noon)
	if v.Kind != Answered || v.Task.ID != "any" || len(traces) == 0 {
		t.Errorf("Explain(no reference) = %d traces, %s, id %q, want a document of the task that the body names", len(traces), v.Reason, v.Task.ID)
	}
	if _, v := p.Explain(Reference{[]string{"other", "u", ""}}, Answer{200, nil, body}, nil, noon); v.Kind != BadAnswer {
		t.Errorf("Explain(another reference) = %s, want upstream-error", v.Kind.String())
	}
	if _, v := p.Explain(Reference{}, Answer{200, nil, []byte("<html>")}, nil, noon); v.Kind != BadAnswer {
		t.Errorf("Explain(HTML) = %s, want upstream-error", v.Kind.String())
	}
}

func TestEveryProblemIsAKind(t *testing.T) {
	for _, word := range format.Problems {
		if kind := kinds[word]; kind == 0 || kind.String() != word {
			t.Errorf("%s means %q", word, kind)
		}
	}
	if len(kinds) != len(format.Problems) {
		t.Errorf("%d kinds of problems, and a file may name %d", len(kinds), len(format.Problems))
	}
}
