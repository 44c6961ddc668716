package normalize

import "strings"

// The specs below are those of six real APIs, much as their provider files have
// them.

func path(p string) SourceSpec   { return SourceSpec{Path: p} }
func param(p string) SourceSpec  { return SourceSpec{Param: p} }
func filled(p string) SourceSpec { return SourceSpec{Path: p, NotEmpty: true} }
func timed(p, form string) SourceSpec {
	return SourceSpec{Path: p, Time: form}
}
func when(p, code string) SourceSpec { return SourceSpec{Path: p, When: code} }

func fieldOf(name string, sources ...SourceSpec) FieldSpec {
	return FieldSpec{Name: name, Sources: sources}
}

// words reads "QUEUED=queued RUNNING=in_progress".
func words(list string) (out []WordSpec) {
	for pair := range strings.FieldsSeq(list) {
		word, status, _ := strings.Cut(pair, "=")
		out = append(out, WordSpec{Word: word, OutcomeSpec: OutcomeSpec{Status: Status(status)}})
	}
	return out
}

func volatiles(paths ...string) (out []VolatileSpec) {
	for _, p := range paths {
		out = append(out, VolatileSpec{PathSpec: PathSpec{Path: p}})
	}
	return out
}

func ruleOf(code string, set OutcomeSpec) RuleSpec {
	return RuleSpec{When: ExprSpec{Code: code}, Set: set}
}

func specs() map[string]Spec {
	return map[string]Spec{
		"aitronos": aitronos(), "orq": orq(), "gumloop": gumloop(), "gumloop-flow": gumloopFlow(), "vessl": vessl(), "shannon": shannon(),
	}
}

func aitronos() Spec {
	return Spec{
		Status: StatusSpec{
			Paths: []PathSpec{{Path: "status"}},
			Words: words("queued=queued processing=in_progress in_progress=in_progress completed=completed failed=failed cancelled=cancelled"),
			Rules: []RuleSpec{ruleOf(`word == "processing" && kind("startedAt") == "null" && number("progress.percentage") == 0`, OutcomeSpec{Status: Queued})},
		},
		Fields: []FieldSpec{
			fieldOf("id", path("id")),
			fieldOf("created_at", timed("createdAt", "unix"), timed("created_at", "unix")),
			fieldOf("started_at", timed("startedAt", "unix"), timed("started_at", "unix")),
			fieldOf("completed_at", timed("completedAt", "unix"), timed("completed_at", "unix")),
			fieldOf("progress.percent", path("progress.percentage")),
			fieldOf("progress.stage", path("progress.stage")),
			fieldOf("progress.steps_completed", path("progress.stepsCompleted")),
			fieldOf("progress.total_steps", path("progress.totalSteps")),
			fieldOf("output.text", path(`output.#(role=="assistant")#.[content,content.#(type=="output_text")#.text]`)),
			fieldOf("output.messages", path("output")),
			fieldOf("error.code", path("error.code")),
			fieldOf("error.type", path("error.type")),
			fieldOf("error.message", path("error.message")),
			fieldOf("usage.input_tokens", when("usage.input_tokens", "terminal")),
			fieldOf("usage.output_tokens", when("usage.output_tokens", "terminal")),
			fieldOf("usage.total_tokens", when("usage.total_tokens", "terminal")),
			fieldOf("model", path("model")),
			fieldOf("metadata.thread", path("thread")),
			fieldOf("metadata.user", path("metadata")),
		},
	}
}

func orq() Spec {
	return Spec{
		Status: StatusSpec{
			Paths: []PathSpec{{Path: "status"}},
			Words: words("in_progress=in_progress completed=completed failed=failed"),
			Rules: []RuleSpec{
				ruleOf(`word == "failed"`, OutcomeSpec{Status: Failed}),
				ruleOf(`count("pending_tool_calls") > 0 || text("finish_reason") == "function_call"`, OutcomeSpec{Status: RequiresAction, RequiredAction: "tool_calls"}),
				ruleOf(`word == "completed" && text("finish_reason") in ["length", "max_iterations", "max_time", "content_filter"]`,
					OutcomeSpec{Status: Incomplete, StatusReason: "finish_reason"}),
			},
		},
		Fields: []FieldSpec{
			fieldOf("id", path("task_id")),
			fieldOf("created_at", timed("created_at", "rfc3339")),
			fieldOf("output.text", path(`output.#(role=="agent")#.parts.#(kind=="text")#.text`)),
			fieldOf("output.data", path(`[output.#(role=="agent")#.parts.#(kind=="data")#.data|@flatten].0.0`)),
			fieldOf("output.messages", path("output")),
			fieldOf("required_action.tool_calls", SourceSpec{Each: &EachSpec{"pending_tool_calls", "id", "function.name", "function.arguments"}}),
			fieldOf("error.message", path("error")),
			fieldOf("usage.input_tokens", path("usage.prompt_tokens")),
			fieldOf("usage.output_tokens", path("usage.completion_tokens")),
			fieldOf("usage.total_tokens", path("usage.total_tokens")),
			fieldOf("model", path("model")),
			fieldOf("metadata.response_id", path("_id")),
			fieldOf("metadata.finish_reason", path("finish_reason")),
			fieldOf("metadata.telemetry", path("telemetry")),
		},
		Volatile: volatiles("telemetry"),
	}
}

func gumloop() Spec {
	return Spec{
		Status: StatusSpec{Paths: []PathSpec{{Path: "state"}}, Words: words("ASYNC_PROCESSING=in_progress COMPLETED=completed FAILED=failed")},
		Fields: []FieldSpec{
			fieldOf("id", path("interaction_id")),
			fieldOf("created_at", timed("created_ts", "rfc3339")),
			fieldOf("output.text", filled("response"), path(`messages|@reverse|#(role=="assistant").parts.#(type=="text")#.text`), path("response")),
			fieldOf("output.messages", path("messages")),
			fieldOf("error.message", path("error_message")),
			fieldOf("metadata.agent_id", path("gummie_id")),
		},
	}
}

func gumloopFlow() Spec {
	spec := Spec{
		Params: []string{"run_id"},
		Status: StatusSpec{Paths: []PathSpec{{Path: "state"}}, Words: words("QUEUED=queued STARTED=in_progress RUNNING=in_progress DONE=completed FAILED=failed TERMINATED=cancelled")},
		Fields: []FieldSpec{
			fieldOf("id", param("run_id")),
			fieldOf("created_at", timed("created_ts", "rfc3339")),
			fieldOf("completed_at", timed("finished_ts", "rfc3339")),
			fieldOf("output.data", path("outputs")),
			fieldOf("error.message", path("log|@reverse|0")),
			fieldOf("metadata.log", path("log")),
			fieldOf("metadata.user_id", path("user_id")),
		},
	}
	spec.Status.Words = append(spec.Status.Words, WordSpec{Word: "TERMINATING", OutcomeSpec: OutcomeSpec{Status: InProgress, CancelRequested: true}})
	return spec
}

func vessl() Spec {
	return Spec{
		Params: []string{"request_id"},
		Status: StatusSpec{Paths: []PathSpec{{Path: "status"}}, Words: words("pending=queued in_progress=in_progress completed=completed failed=failed")},
		Fields: []FieldSpec{
			fieldOf("id", param("request_id")),
			fieldOf("output.text", path("output"), when("raw_output", `kind("output") == "absent"`)),
			fieldOf("output.data", when("output", `kind("output") != "string"`)),
			fieldOf("error.code", path("status_code")),
			fieldOf("error.message", path("fail_reason")),
			fieldOf("metadata.status_code", path("status_code")),
		},
	}
}

func shannon() Spec {
	spec := Spec{
		Status: StatusSpec{
			Paths:  []PathSpec{{Path: "status"}},
			Prefix: "TASK_STATUS_",
			Words:  words("QUEUED=queued RUNNING=in_progress COMPLETED=completed FAILED=failed CANCELLED=cancelled CANCELED=cancelled TIMEOUT=timed_out UNSPECIFIED=unknown"),
			Rules: []RuleSpec{ruleOf(`status == "completed" && (text("unified_response.status") == "failed" || text("error") != "")`,
				OutcomeSpec{Status: Failed})},
		},
		Fields: []FieldSpec{
			fieldOf("id", path("task_id")),
			fieldOf("created_at", SourceSpec{Path: "task_id", Match: `^task-[0-9a-fA-F-]{36}-([0-9]{9,11})$`, Time: "unix"}),
			fieldOf("output.text", path("result")),
			fieldOf("output.data", path("response")),
			fieldOf("error.message", filled("unified_response.error"), filled("error")),
			fieldOf("usage.input_tokens", path("usage.input_tokens")),
			fieldOf("usage.output_tokens", path("usage.output_tokens")),
			fieldOf("usage.total_tokens", path("usage.total_tokens")),
			fieldOf("usage.cost_usd", path("usage.estimated_cost")),
			fieldOf("model", path("model_used")),
			fieldOf("metadata.session_id", path("session_id")),
			fieldOf("metadata.model_breakdown", when("metadata.model_breakdown", "terminal")),
		},
		Volatile: volatiles("created_at", "updated_at"),
		Settled:  ExprSpec{Code: `kind("model_used") == "string" && kind("usage") == "object"`},
	}
	spec.Status.Words = append(spec.Status.Words, WordSpec{Word: "PAUSED", OutcomeSpec: OutcomeSpec{Status: RequiresAction, RequiredAction: "resume"}})
	spec.Volatile = append(spec.Volatile, VolatileSpec{PathSpec{Path: "metadata.model_breakdown"}, ExprSpec{Code: "not terminal"}})
	return spec
}
