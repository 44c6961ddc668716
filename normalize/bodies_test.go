package normalize

// bodies are native answers, as upstreams send them or might.
var bodies = []struct{ name, provider, json string }{
	{"aitronos completed", "aitronos", `{"id":"resp_67cc","status":"completed","createdAt":1763805600,"startedAt":1763805602,"completedAt":1763805611,
		"progress":{"percentage":100,"stage":"generating_output","stepsCompleted":5,"totalSteps":5},
		"output":[{"type":"message","role":"user","content":"Write."},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"An "},
		{"type":"reasoning","text":"hm"},{"type":"output_text","text":"article"}]},{"type":"message","role":"assistant","content":"as a string"}],
		"error":null,"usage":{"input_tokens":12,"output_tokens":450,"total_tokens":462},"model":"ftg-3.0","thread":{"id":"thread_1","messageCount":4},"metadata":{"ticket":"T-1042"}}`},
	{"aitronos processing", "aitronos", `{"id":"resp_67cc","status":"processing","createdAt":1763805600,"startedAt":1763805602,"completedAt":null,
		"progress":{"percentage":45,"stage":"tool_execution","stepsCompleted":2,"totalSteps":5.0},"usage":{"input_tokens":0,"output_tokens":0,"total_tokens":0},"model":"ftg-3.0"}`},
	{"aitronos not started", "aitronos", `{"id":"resp_67cc","status":"processing","createdAt":1763805600,"startedAt":null}`},
	{"aitronos snake case", "aitronos", `{"id":"resp_67cc","status":"completed","created_at":1741476542,"completed_at":1741476550,"output":"not a list"}`},
	{"aitronos failed", "aitronos", `{"id":"resp_67cc","status":"failed","createdAt":1763805600,"error":{"message":"The model provider returned an error.","code":"PROVIDER_ERROR","type":"server_error"}}`},
	{"aitronos new word", "aitronos", `{"id":"resp_67cc","status":"incomplete"}`},
	{"orq completed", "orq", `{"_id":"01K6D8QETC","task_id":"01K6D8QESE","output":[{"messageId":"m0","role":"user","parts":[{"kind":"text","text":"Help me."}]},
		{"messageId":"m1","role":"agent","parts":[{"kind":"text","text":"Here "},{"kind":"data","data":{"n":12345678901234567890,"x":2.50}},{"kind":"text","text":"it is"}]},
		{"messageId":"m2","role":"agent","parts":[{"kind":"tool_call","tool_name":"f"}]},{"messageId":"m3","role":"agent","parts":[{"kind":"text","text":"Bye"}]}],
		"created_at":"2026-11-20T10:00:00.000Z","model":"openai/gpt-4o","status":"completed","usage":{"completion_tokens":340,"prompt_tokens":120,"total_tokens":460},
		"finish_reason":"stop","telemetry":{"trace_id":"5b8a","span_id":"0515"}}`},
	{"orq length", "orq", `{"task_id":"01K6D8QESE","output":[],"status":"completed","usage":null,"finish_reason":"length"}`},
	{"orq waits", "orq", `{"task_id":"01K6D8QESE","output":[],"status":"completed","finish_reason":"function_call",
		"pending_tool_calls":[{"id":"call_1","type":"function","function":{"name":"get_events","arguments":"{\"city\":\"Budapest\"}"}},{"id":"call_2","function":{"arguments":{"a":1.0}}}]}`},
	{"orq failed with calls", "orq", `{"task_id":"01K6D8QESE","output":[],"status":"failed","error":"529 overloaded","pending_tool_calls":[{"id":"call_1"}]}`},
	{"gumloop completed", "gumloop", `{"interaction_id":"xYz","gummie_id":"abc","state":"COMPLETED","created_ts":"2026-03-05T10:30:00.000000+00:00",
		"messages":[{"role":"user","content":"Hi","parts":[]},{"role":"assistant","parts":[{"type":"text","text":"first"}]},{"role":"assistant","parts":[{"type":"text","text":"Last "},{"type":"tool"},{"type":"text","text":"words"}]}],"response":""}`},
	{"gumloop response", "gumloop", `{"interaction_id":"xYz","state":"COMPLETED","response":"final","messages":[]}`},
	{"gumloop silent", "gumloop", `{"interaction_id":"xYz","state":"COMPLETED","response":"","messages":[{"role":"assistant","parts":[]}]}`},
	{"flow failed", "gumloop-flow", `{"user_id":"u","state":"FAILED","outputs":{},"created_ts":"2026-03-14T12:00:00Z","log":["Flow started","Node 2 failed: timeout"],"finished_ts":"2026-03-14T12:00:40Z"}`},
	{"flow failed silently", "gumloop-flow", `{"user_id":"u","state":"FAILED","outputs":{},"log":[]}`},
	{"flow terminating", "gumloop-flow", `{"state":"TERMINATING"}`},
	{"vessl object", "vessl", `{"status":"completed","status_code":200,"raw_output":"{\"n\": 12345678901234567890, \"f\": 2.50}","output":{"n": 12345678901234567890, "f": 2.50, "status":"failed"}}`},
	{"vessl false", "vessl", `{"status":"completed","status_code":200,"raw_output":"false","output":false}`},
	{"vessl null", "vessl", `{"status":"completed","status_code":200,"raw_output":"null","output":null}`},
	{"vessl string", "vessl", `{"status":"completed","status_code":200,"raw_output":"\"s\"","output":"s"}`},
	{"vessl list", "vessl", `{"status":"completed","output":["a","b"]}`},
	{"vessl text", "vessl", `{"status":"completed","status_code":200,"raw_output":"plain text"}`},
	{"vessl failed", "vessl", `{"status":"failed","status_code":500,"raw_output":"Internal Server Error","fail_reason":"Service responded with status code 500"}`},
	{"vessl failed early", "vessl", `{"status":"failed","status_code":0,"fail_reason":""}`},
	{"shannon completed", "shannon", `{"task_id":"task-00000000-0000-0000-0000-000000000002-1780405477","status":"TASK_STATUS_COMPLETED","result":"Paris.",
		"created_at":"2026-06-02T13:05:19.551200773Z","updated_at":"2026-06-02T13:05:19.551200814Z","session_id":"5d2f","model_used":"gpt-5-mini","usage":{"total_tokens":300,"input_tokens":200,"output_tokens":100,"estimated_cost":0.006},
		"metadata":{"model_breakdown":[{"tokens":300}]},"unified_response":{"status":"completed","error":null}}`},
	{"shannon not enriched", "shannon", `{"task_id":"task_01HQ","status":"COMPLETED","result":"Paris.","error":"","created_at":"2026-06-02T13:05:19Z","updated_at":"2026-06-02T13:05:19Z"}`},
	{"shannon no success", "shannon", `{"task_id":"task_01HQ","status":"TASK_STATUS_COMPLETED","result":"Partial","unified_response":{"status":"failed","error":"token budget exceeded"}}`},
	{"shannon failed silently", "shannon", `{"task_id":"task_01HQ","status":"TASK_STATUS_FAILED"}`},
	{"shannon timeout", "shannon", `{"task_id":"task_01HQ","status":"TASK_STATUS_TIMEOUT","error":"took too long"}`},
	{"shannon paused", "shannon", `{"task_id":"task_01HQ","status":"TASK_STATUS_PAUSED","metadata":{"model_breakdown":[1]}}`},
	{"shannon unspecified", "shannon", `{"task_id":"task_01HQ","status":"TASK_STATUS_UNSPECIFIED"}`},
	{"shannon prefix alone", "shannon", `{"task_id":"task_01HQ","status":"TASK_STATUS_"}`},
}

func bodyNamed(name string) (provider string, body []byte) {
	for _, b := range bodies {
		if b.name == name {
			return b.provider, []byte(b.json)
		}
	}
	panic("no body named " + name)
}
