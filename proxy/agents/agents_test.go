package agents

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"pollux/cache"
	"pollux/proxy/follow"
	"pollux/proxy/problem"
)

// desk plays the rest of the server: tasks by reference, and what happens to
// them while somebody waits.
type desk struct {
	tasks   map[string]follow.Answer
	changes []func(d *desk) // one per second of a wait
	rows    []json.RawMessage
	asked   Query
	refused *problem.Problem // of a cancel
}

func (d *desk) Wait(ctx context.Context, refs []string, enough func([]follow.Answer) bool) []follow.Answer {
	for {
		answers := make([]follow.Answer, len(refs))
		for i, ref := range refs {
			a, ok := d.tasks[ref]
			if !ok {
				a.Problem = &problem.Problem{Type: problem.TaskNotFound, Status: 404, Detail: "the upstream knows no such task"}
			}
			answers[i] = a
		}
		if enough(answers) || ctx.Err() != nil || len(d.changes) == 0 {
			return answers
		}
		d.changes[0](d)
		d.changes = d.changes[1:]
	}
}

func (d *desk) List(q Query) ([]json.RawMessage, string, *problem.Problem) {
	d.asked = q
	return d.rows, "next", nil
}

func (d *desk) Cancel(context.Context, string) *problem.Problem { return d.refused }
func (d *desk) Explain(p *problem.Problem) json.RawMessage      { return p.AppendJSON(nil, "") }

func running(ref, status, document string) follow.Answer {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if document == "" {
		document = `{"object":"task","status":"` + status + `","progress":{"percent":null,"stage":null,"steps_completed":null,"total_steps":null},` +
			`"output":{"text":null,"data":null,"messages":null},"required_action":null,"error":null}`
	}
	terminal := map[string]bool{"completed": true, "failed": true, "cancelled": true, "timed_out": true, "incomplete": true}[status]
	return follow.Answer{PollAfter: 2 * time.Second, Entry: &cache.Entry{Ref: ref, Status: status, Terminal: terminal, Document: []byte(document), FirstSeen: at.Add(313), UpdatedAt: at}}
}

func finished(ref, text string) follow.Answer {
	return running(ref, "completed", fmt.Sprintf(`{"object":"task","status":"completed","progress":{},"output":{"text":%q,"data":{"a":[1,2.50]},"messages":null},"required_action":null,"error":null}`, text))
}

// headers of a request in a revision; modern ones say what they are about.
func headers(revision, method, name string) func(string) string {
	return func(header string) string {
		return map[string]string{headerVersion: revision, headerMethod: method, headerName: name}[header]
	}
}

// ask sends one message of a revision with sessions.
func ask(t *testing.T, d *desk, body string) gjson.Result {
	t.Helper()
	return answerOf(t, Request{Body: []byte(body), Header: headers(revisionLegacy, "", ""), Tasks: d, MaxWait: time.Minute}, nil)
}

func call(t *testing.T, d *desk, tool, arguments string) gjson.Result {
	t.Helper()
	return ask(t, d, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`","arguments":`+arguments+`}}`).Get("result")
}

func answerOf(t *testing.T, r Request, notify func([]byte)) gjson.Result {
	t.Helper()
	c, reply := New("test").Read(r)
	if c != nil {
		reply = c.Run(t.Context(), notify)
	}
	if reply.Body != nil && !gjson.ValidBytes(reply.Body) {
		t.Fatalf("the answer is no JSON: %s", reply.Body)
	}
	return gjson.ParseBytes(reply.Body)
}

// modern sends a message of revision 2026-07-28 that declares the extension.
func modern(t *testing.T, d *desk, method, name, params string) gjson.Result {
	t.Helper()
	body := `{"jsonrpc":"2.0","id":"a","method":"` + method + `","params":{` + params + `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
		`"io.modelcontextprotocol/clientCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}}}`
	return answerOf(t, Request{Body: []byte(body), Header: headers(revisionModern, method, name), Tasks: d, MaxWait: time.Minute}, nil)
}

func TestARunningTaskIsSmall(t *testing.T) {
	ref := "openai/" + strings.Repeat("x", 40)
	d := &desk{tasks: map[string]follow.Answer{ref: running(ref, "in_progress", "")}}
	params := `"name":"wait_for_tasks","arguments":{"tasks":["` + ref + `"],"timeout_seconds":0}`
	message := func(meta string) []byte {
		return []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{` + params + meta + `}}`)
	}
	withoutHandles := message(`,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`)
	got := answerOf(t, Request{Body: withoutHandles, Header: headers(revisionModern, "tools/call", "wait_for_tasks"), Tasks: d, MaxWait: time.Minute}, nil)
	if got.Get("result.resultType").String() != "complete" || len(got.Raw) >= 400 {
		t.Errorf("the answer about one running task has %d bytes in revision %s, want less than 400: %s", len(got.Raw), revisionModern, got.Raw)
	}
	if got = ask(t, d, string(message(""))); len(got.Raw) >= 400 {
		t.Errorf("the answer about one running task has %d bytes, want less than 400: %s", len(got.Raw), got.Raw)
	}
	r := got.Get("result.structuredContent")
	if r.Get("done").Bool() || r.Get("results.0.poll_after_seconds").Int() != 2 || got.Get("result.isError").Bool() {
		t.Errorf("a time-out is a result that says when to come back: %s", got.Raw)
	}
	if text := got.Get("result.content.0.text").String(); !strings.Contains(text, "wait_for_tasks again") || !strings.Contains(text, ref) {
		t.Errorf("the text %q lacks the reference, or what to do next", text)
	}
}

func TestWaiting(t *testing.T) {
	lost := `shannon/lost`
	for name, test := range map[string]struct {
		arguments string
		done      bool
		failed    bool
	}{
		"all of them running":      {`{"tasks":["a/1","a/2"]}`, false, false},
		"all, one ended":           {`{"tasks":["a/1","b/ended"]}`, false, false},
		"any, one ended":           {`{"tasks":["a/1","b/ended"],"until":"any"}`, true, false},
		"all, ended and lost":      {`{"tasks":["b/ended","` + lost + `"]}`, true, false},
		"any, running and lost":    {`{"tasks":["a/1","` + lost + `"],"until":"any"}`, false, false},
		"only lost":                {`{"tasks":["` + lost + `"],"until":"any"}`, true, true},
		"one that wants something": {`{"tasks":["c/asks"]}`, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := &desk{tasks: map[string]follow.Answer{"a/1": running("a/1", "queued", ""), "a/2": running("a/2", "in_progress", ""),
				"b/ended": finished("b/ended", "hello"), "c/asks": running("c/asks", "requires_action", "")}}
			got := call(t, d, "wait_for_tasks", test.arguments)
			if got.Get("structuredContent.done").Bool() != test.done || got.Get("isError").Bool() != test.failed {
				t.Errorf("wait_for_tasks(%s) = %s, want done %v, isError %v", test.arguments, got.Raw, test.done, test.failed)
			}
		})
	}
}

func TestWrongArgumentsAreToldToTheModel(t *testing.T) {
	many := `"a/1"` + strings.Repeat(`,"a/1"`, 100)
	for _, test := range []struct{ tool, arguments, want string }{
		{"wait_for_tasks", `{}`, "tasks wants 1 to 100 references"},
		{"wait_for_tasks", `{"tasks":[]}`, "tasks wants 1 to 100 references"},
		{"wait_for_tasks", `{"tasks":[` + many + `]}`, "101 references"},
		{"wait_for_tasks", `{"tasks":"a/1"}`, "tasks wants a list of strings"},
		{"wait_for_tasks", `{"tasks":["a/1"],"until":"some"}`, "until wants"},
		{"wait_for_tasks", `{"tasks":["a/1"],"timeout_seconds":-1}`, "timeout_seconds wants"},
		{"wait_for_tasks", `{"tasks":["a/1"],"timeout_seconds":0.5}`, "timeout_seconds wants a whole number"},
		{"wait_for_tasks", `{"tasks":["a/1"],"timeout_seconds":"1"}`, "timeout_seconds wants a whole number"},
		{"wait_for_tasks", `{"tasks":["a/1"],"timeout":5}`, "not known"},
		{"get_task", `{}`, "task wants a reference"},
		{"get_task", `{"task":"a/1","offset":-1}`, "offset wants"},
		{"get_task", `{"task":"a/1","output_path":"` + strings.Repeat("a", 501) + `"}`, "longer than 500 bytes"},
		{"list_tasks", `{"limit":0}`, "limit wants 1 to 100"},
		{"cancel_task", `{"task":7}`, "task wants a string"},
	} {
		got := call(t, &desk{}, test.tool, test.arguments)
		if text := got.Get("content.0.text").String(); !got.Get("isError").Bool() || !strings.Contains(text, test.want) {
			t.Errorf("%s(%.80s) = %q, want an error with %q", test.tool, test.arguments, text, test.want)
		}
	}
}

// TestWholeNumbers: a number is whole by its value, not by how it is written.
func TestWholeNumbers(t *testing.T) {
	d := &desk{tasks: map[string]follow.Answer{"a/ended": finished("a/ended", "hello")}}
	for tool, arguments := range map[string]string{
		"wait_for_tasks": `{"tasks":["a/ended"],"timeout_seconds":25.0}`,
		"get_task":       `{"task":"a/ended","offset":0.0}`,
		"list_tasks":     `{"limit":2.0e1}`,
	} {
		if got := call(t, d, tool, arguments); got.Get("isError").Bool() {
			t.Errorf("%s(%s) = %s", tool, arguments, got.Raw)
		}
	}
	if d.asked.Limit != 20 {
		t.Errorf("a limit of 2.0e1 is %d", d.asked.Limit)
	}
}

func TestProgressIsTold(t *testing.T) {
	d := &desk{tasks: map[string]follow.Answer{"a/1": running("a/1", "queued", "")}, changes: []func(*desk){
		func(*desk) {}, // nothing new: nothing is told
		func(d *desk) { d.tasks["a/1"] = running("a/1", "in_progress", "") },
		func(d *desk) { d.tasks["a/1"] = finished("a/1", "x") },
	}}
	var told []gjson.Result
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"wait_for_tasks","arguments":{"tasks":["a/1"]},"_meta":{"progressToken":"t"}}}`
	answerOf(t, Request{Body: []byte(body), Header: headers(revisionLegacy, "", ""), Tasks: d, MaxWait: time.Minute},
		func(m []byte) { told = append(told, gjson.ParseBytes(m)) })
	if len(told) != 3 {
		t.Fatalf("%d notifications, want one per change: %v", len(told), told)
	}
	last := -1.0
	for _, m := range told {
		if m.Get("method").String() != "notifications/progress" || m.Get("params.progressToken").String() != "t" || m.Get("params.progress").Float() <= last {
			t.Errorf("%s: want progress that grows, under the token", m.Raw)
		}
		last = m.Get("params.progress").Float()
	}
}

func TestOutputsComeInPages(t *testing.T) {
	long := strings.Repeat("ä€", 5000) // five bytes a pair, so that pages would cut characters
	d := &desk{tasks: map[string]follow.Answer{"a/1": finished("a/1", long)}}
	var read strings.Builder
	offset := 0
	for pages := 0; ; pages++ {
		got := call(t, d, "get_task", fmt.Sprintf(`{"task":"a/1","offset":%d}`, offset)).Get("structuredContent")
		text := got.Get("text").String()
		if len(text) > pageSize || got.Get("total_bytes").Int() != int64(len(long)) || pages > 3 {
			t.Fatalf("page at %d has %d bytes of %d", offset, len(text), got.Get("total_bytes").Int())
		}
		read.WriteString(text)
		if got.Get("next_offset").Type == gjson.Null {
			break
		}
		offset = int(got.Get("next_offset").Int())
	}
	if read.String() != long {
		t.Error("the pages together are not the output")
	}
	for path, want := range map[string]string{"data.a.1": "2.50", "data": `{"a":[1,2.50]}`, "nothing": ""} {
		got := call(t, d, "get_task", `{"task":"a/1","output_path":"`+path+`"}`)
		if text := got.Get("structuredContent.text").String(); text != want {
			t.Errorf("output_path %s = %q, want %q", path, text, want)
		}
	}
	got := call(t, d, "get_task", `{"task":"a/1"}`)
	if doc := got.Get("structuredContent.document"); doc.Get("output").Exists() || doc.Get("status").String() != "completed" {
		t.Errorf("get_task = %s, want the document without output", got.Raw)
	}
	got = call(t, d, "wait_for_tasks", `{"tasks":["a/1"],"include_output":true}`)
	if p := got.Get("structuredContent.results.0.output"); len(p.Get("text").String()) > pageSize || !p.Get("next_offset").Exists() {
		t.Errorf("include_output gives more than a page")
	}
	if text := got.Get("content.0.text").String(); !strings.Contains(text, "get_task") {
		t.Error("the text does not say how to read the rest")
	}
}

func TestListAndCancel(t *testing.T) {
	d := &desk{rows: []json.RawMessage{json.RawMessage(`{"ref":"a/1","status":"failed","error":{"message":"out of luck"}}`)}}
	got := call(t, d, "list_tasks", `{"status":"failed","q":"a"}`)
	if got.Get("structuredContent.rows.#").Int() != 1 || d.asked != (Query{Status: "failed", Q: "a", Limit: 20}) {
		t.Errorf("list_tasks = %s, asked for %+v", got.Raw, d.asked)
	}
	if text := got.Get("content.0.text").String(); !strings.Contains(text, "out of luck") || !strings.Contains(text, `"next"`) {
		t.Errorf("list_tasks says %q, want the reason and the cursor", text)
	}
	if got := call(t, d, "cancel_task", `{"task":"a/1"}`); got.Get("structuredContent").Raw != `{"accepted":true,"problem":null}` {
		t.Errorf("cancel_task = %s", got.Raw)
	}
	d.refused = &problem.Problem{Type: problem.UpstreamError, Status: 502, Detail: "no"}
	if got := call(t, d, "cancel_task", `{"task":"a/1"}`); got.Get("structuredContent.accepted").Bool() || !got.Get("isError").Bool() {
		t.Errorf("a refused cancel_task = %s", got.Raw)
	}
}

func TestHandles(t *testing.T) {
	failed := running("a/failed", "failed", `{"status":"failed","progress":{},"output":{"text":null},"required_action":null,"error":{"code":null,"type":"t","message":"m"}}`)
	d := &desk{tasks: map[string]follow.Answer{"a/1": running("a/1", "in_progress", ""), "a/failed": failed, "a/ended": finished("a/ended", "hello"),
		"a/cancelled": running("a/cancelled", "cancelled", ""), "a/asks": running("a/asks", "requires_action", ""),
		"a/busy": {Problem: &problem.Problem{Type: problem.RateLimited, Status: 429, RetryAfter: 7 * time.Second}},
		"a/new":  {Problem: &problem.Problem{Type: problem.TaskNotFound, Status: 404}, Unconfirmed: true},
		"a/gone": {Problem: &problem.Problem{Type: problem.TaskGone, Status: 410, Detail: "the upstream has lost it"}}}}
	got := modern(t, d, "tools/call", "wait_for_tasks", `"name":"wait_for_tasks","arguments":{"tasks":["a/1"],"include_output":true},`).Get("result")
	if got.Get("resultType").String() != "task" || got.Get("taskId").String() != "a/1#output" || got.Get("ttlMs").Type != gjson.Null ||
		got.Get("pollIntervalMs").Int() != 2000 || got.Get("createdAt").String() != "2026-01-02T03:04:05Z" {
		t.Errorf("wait_for_tasks on one task = %s, want a handle", got.Raw)
	}
	for id, want := range map[string]string{"a/1": "working", "a/failed": "completed", "a/ended#output": "completed", "a/cancelled": "cancelled",
		"a/asks": "working", "a/busy": "working", "a/new": "working", "a/gone": "failed"} {
		got := modern(t, d, "tasks/get", id, `"taskId":"`+id+`",`).Get("result")
		if got.Get("status").String() != want || got.Get("resultType").String() != "complete" || got.Get("taskId").String() != id {
			t.Errorf("tasks/get %s = %s, want %s", id, got.Raw, want)
		}
		if want == "completed" && got.Get("result.isError").Bool() != (id == "a/failed") {
			t.Errorf("tasks/get %s = %s: a job that failed is completed, with isError", id, got.Raw)
		}
		if (want == "failed") != got.Get("error.code").Exists() {
			t.Errorf("tasks/get %s = %s: an error goes with failed, and with nothing else", id, got.Raw)
		}
	}
	if got := modern(t, d, "tasks/get", "a/busy", `"taskId":"a/busy",`).Get("result.pollIntervalMs").Int(); got != 7000 {
		t.Errorf("a rate limit asks to come back after %d ms, want 7000", got)
	}
	if got := modern(t, d, "tasks/get", "a/ended#output", `"taskId":"a/ended#output",`).Get("result.result.structuredContent.results.0.output.text").String(); got != "hello" {
		t.Errorf("the output that was asked for is %q", got)
	}
	if got := modern(t, d, "tasks/cancel", "a/1", `"taskId":"a/1",`).Get("result"); got.Raw != `{"resultType":"complete"}` {
		t.Errorf("tasks/cancel = %s", got.Raw)
	}
	for _, method := range []string{"tasks/get", "tasks/update", "tasks/cancel"} { // of a task that never was
		if got := modern(t, d, method, "a/lost", `"taskId":"a/lost",`).Get("error.code").Int(); got != codeInvalidParams {
			t.Errorf("%s of an unknown task: error %d, want %d", method, got, codeInvalidParams)
		}
	}
	for _, tasks := range []string{`["a/1","a/ended"]`, `["a/lost"]`} {
		got := modern(t, d, "tools/call", "wait_for_tasks", `"name":"wait_for_tasks","arguments":{"tasks":`+tasks+`},`).Get("result")
		if got.Get("resultType").String() != "complete" {
			t.Errorf("wait_for_tasks on %s = %s, want no handle", tasks, got.Raw)
		}
	}
}
