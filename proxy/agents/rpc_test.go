package agents

import (
	"pollux/proxy/follow"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

// TestProtocol: each message with its exact answer.
func TestProtocol(t *testing.T) {
	for _, test := range []struct {
		name, revision, method, about string // headers
		body                          string
		code                          int   // HTTP
		rpc                           int64 // code of the error; 0: none
	}{
		{"ping", revisionLegacy, "", "", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, 200, 0},
		{"the oldest with a header", "2025-06-18", "", "", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, 200, 0},
		{"before there was a header", "", "", "", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, 200, 0},
		{"initialize", "", "", "", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}`, 200, 0},
		{"initialize without a revision", "", "", "", `{"jsonrpc":"2.0","id":1,"method":"initialize"}`, 200, codeInvalidParams},
		{"a notification", revisionLegacy, "", "", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, 202, 0},
		{"an answer", revisionLegacy, "", "", `{"jsonrpc":"2.0","id":1,"result":{}}`, 202, 0},
		{"no JSON", revisionLegacy, "", "", `{"jsonrpc"`, 400, codeParse},
		{"a member twice", revisionLegacy, "", "", `{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`, 400, codeParse},
		{"a batch", revisionLegacy, "", "", `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, 400, codeInvalidRequest},
		{"a text", revisionLegacy, "", "", `"ping"`, 400, codeInvalidRequest},
		{"another JSON-RPC", revisionLegacy, "", "", `{"jsonrpc":"1.0","id":1,"method":"ping"}`, 400, codeInvalidRequest},
		{"no method", revisionLegacy, "", "", `{"jsonrpc":"2.0","id":1}`, 400, codeInvalidRequest},
		{"an id that is null", revisionLegacy, "", "", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, 400, codeInvalidRequest},
		{"an id that is a list", revisionLegacy, "", "", `{"jsonrpc":"2.0","id":[1],"method":"ping"}`, 400, codeInvalidRequest},
		{"params that are a list", revisionLegacy, "", "", `{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}`, 400, codeInvalidParams},
		{"arguments that are a list", revisionLegacy, "", "", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_task","arguments":[]}}`, 200, codeInvalidParams},
		{"an unknown tool", revisionLegacy, "", "", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"poll"}}`, 200, codeInvalidParams},
		{"an unknown method", revisionLegacy, "", "", `{"jsonrpc":"2.0","id":1,"method":"resources/list"}`, 200, codeMethodNotFound},
		{"an unknown revision", "2024-11-05", "", "", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, 400, codeUnsupportedVersion},
		{"a notification of an unknown revision", "2099-01-01", "", "", `{"jsonrpc":"2.0","method":"x"}`, 400, codeUnsupportedVersion},

		{"discover", revisionModern, "server/discover", "", `{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{` + meta + `}}`, 200, 0},
		{"modern list", revisionModern, "tools/list", "", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{` + meta + `}}`, 200, 0},
		{"modern initialize", revisionModern, "initialize", "", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{` + meta + `}}`, 404, codeMethodNotFound},
		{"modern, unknown method", revisionModern, "a", "", `{"jsonrpc":"2.0","id":1,"method":"a","params":{` + meta + `}}`, 404, codeMethodNotFound},
		{"modern, no meta", revisionModern, "tools/list", "", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, 400, codeInvalidParams},
		{"modern, no header", "", "tools/list", "", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{` + meta + `}}`, 400, codeHeaderMismatch},
		{"modern, two revisions", revisionLegacy, "tools/list", "", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{` + meta + `}}`, 400, codeHeaderMismatch},
		{"modern, no Mcp-Method", revisionModern, "", "", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{` + meta + `}}`, 400, codeHeaderMismatch},
		{"modern, another Mcp-Method", revisionModern, "ping", "", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{` + meta + `}}`, 400, codeHeaderMismatch},
		{"modern, no Mcp-Name", revisionModern, "tools/call", "", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_task",` + meta + `}}`, 400, codeHeaderMismatch},
		{"modern, a task without Mcp-Name", revisionModern, "tasks/get", "", `{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"shannon/a",` + meta + `}}`, 400, codeHeaderMismatch},
		{"modern, no such method of tasks", revisionModern, "tasks/list", "", `{"jsonrpc":"2.0","id":1,"method":"tasks/list","params":{` + meta + `}}`, 404, codeMethodNotFound},
		{"modern, a coded Mcp-Name", revisionModern, "tools/call", "=?base64?bGlzdF90YXNrcw==?=", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_tasks",` + meta + `}}`, 200, 0},
		{"modern, capabilities missing", revisionModern, "tools/list", "", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`, 400, codeInvalidParams},
		{"a handle without the extension", revisionModern, "tasks/get", "a/1", `{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"a/1",` + meta + `}}`, 400, codeMissingCapability},
		{"a handle of an old revision", revisionLegacy, "", "", `{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"a/1"}}`, 200, codeMethodNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := Request{Body: []byte(test.body), Header: headers(test.revision, test.method, test.about), Tasks: &desk{}, MaxWait: time.Second}
			c, reply := New("test").Read(r)
			if c != nil {
				reply = c.Run(t.Context(), nil)
			}
			got := gjson.ParseBytes(reply.Body)
			if reply.Code != test.code || got.Get("error.code").Int() != test.rpc {
				t.Errorf("%s: HTTP %d, error %d, want %d and %d: %s", test.body, reply.Code, got.Get("error.code").Int(), test.code, test.rpc, reply.Body)
			}
			if (reply.Code == 202) != (reply.Body == nil) {
				t.Errorf("HTTP %d with the body %q", reply.Code, reply.Body)
			}
		})
	}
}

func TestRevisionsAreAgreedOn(t *testing.T) {
	for asked, want := range map[string]string{"2025-06-18": "2025-06-18", "2025-11-25": "2025-11-25", "2026-07-28": "2025-11-25", "2024-11-05": "2025-11-25"} {
		got := ask(t, &desk{}, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"`+asked+`"}}`)
		if v := got.Get("result.protocolVersion").String(); v != want {
			t.Errorf("initialize with %s agrees on %s, want %s", asked, v, want)
		}
	}
}

// FuzzMessage: whatever comes, the answer is JSON-RPC or nothing.
func FuzzMessage(f *testing.F) {
	f.Add(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"wait_for_tasks","arguments":{"tasks":["a/1"],"timeout_seconds":0}}}`, revisionLegacy)
	f.Add(`{"jsonrpc":"2.0","id":"x","method":"tasks/get","params":{"taskId":"a/1#output",`+meta+`}}`, revisionModern)
	f.Add(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, "")
	f.Add(`[]`, "2024-01-01")
	f.Fuzz(func(t *testing.T, body, revision string) {
		d := &desk{tasks: map[string]follow.Answer{"a/1": finished("a/1", "x")}}
		name := gjson.Get(body, "params.name").String() + gjson.Get(body, "params.taskId").String()
		r := Request{Body: []byte(body), Header: headers(revision, gjson.Get(body, "method").String(), name), Tasks: d, MaxWait: time.Millisecond}
		c, reply := New("fuzz").Read(r)
		if c != nil {
			reply = c.Run(t.Context(), nil)
		}
		if reply.Body == nil {
			if reply.Code != 202 {
				t.Errorf("HTTP %d without a body", reply.Code)
			}
			return
		}
		got := gjson.ParseBytes(reply.Body)
		if !gjson.ValidBytes(reply.Body) || got.Get("jsonrpc").String() != "2.0" || got.Get("result").Exists() == got.Get("error").Exists() {
			t.Errorf("%q: the answer %q is no JSON-RPC", body, reply.Body)
		}
	})
}
