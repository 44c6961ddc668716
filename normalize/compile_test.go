package normalize

import (
	"slices"
	"strings"
	"testing"
)

func TestCompileFaults(t *testing.T) {
	at := Position{Line: 7, Column: 3, Key: "k"}
	comma := ","
	field := func(name string, s SourceSpec) func(*Spec) {
		return func(spec *Spec) {
			s.Position = at
			spec.Fields = []FieldSpec{{name, []SourceSpec{s}, at}}
		}
	}
	word := func(w string, o OutcomeSpec) func(*Spec) {
		return func(s *Spec) { s.Status.Words = append(s.Status.Words, WordSpec{w, o, at}) }
	}
	rule := func(code string, o OutcomeSpec) func(*Spec) {
		return func(s *Spec) { s.Status.Rules = []RuleSpec{{ExprSpec{code, at}, o, at.below("set"), at}} }
	}
	volatile := func(p string) func(*Spec) {
		return func(s *Spec) { s.Volatile = []VolatileSpec{{PathSpec: PathSpec{p, at}}} }
	}
	tests := []struct {
		change    func(*Spec)
		key, want string
	}{
		{field("outputs", path("a")), "k", `no member "outputs"`},
		{field("metadata.", path("a")), "k", "no member"},
		{field("status", path("a")), "k", "no member"},
		{field("model", path("a..b")), "k", "empty component"},
		{field("model", SourceSpec{}), "k", "needs a path or a param"},
		{field("model", SourceSpec{Path: "a", Param: "request_id"}), "k", "not both"},
		{field("model", param("nosuch")), "k.param", "no parameter"},
		{field("model", when("a", "nosuch")), "k.when", "unknown name nosuch"},
		{field("model", when("a", `"text"`)), "k.when", "expected bool"},
		{field("model", SourceSpec{Path: "a", Match: "("}), "k.match", "missing closing"},
		{field("model", SourceSpec{Path: "a", Match: "a+"}), "k.match", "needs a group"},
		{field("model", timed("a", "unix")), "k.time", "only times and metadata"},
		{field("created_at", timed("a", "iso")), "k.time", "no form of time"},
		{field("model", SourceSpec{Path: "a", Join: &comma}), "k.join", "only output.text"},
		{field("model", SourceSpec{Path: "a", Each: &EachSpec{}}), "k.each", "only required_action"},
		{field("required_action.tool_calls", path("a")), "k.each", "need each"},
		{field("required_action.tool_calls", SourceSpec{Path: "a", Each: &EachSpec{Path: "b"}}), "k.each", "stands without"},
		{field("required_action.tool_calls", SourceSpec{Each: &EachSpec{Path: "b", ID: "c["}}), "k.each", `written \[`},
		{func(s *Spec) { s.Fields = append(s.Fields, FieldSpec{"model", nil, at}) }, "k", "has no source"},
		{func(s *Spec) { s.Fields = append(s.Fields, FieldSpec{"id", []SourceSpec{path("x")}, at}) }, "k", "filled twice"},
		{word("pending", OutcomeSpec{Status: Failed}), "k", "listed twice"},
		{word("w", OutcomeSpec{Status: "done"}), "k", `"done" is no status`},
		{word("w", OutcomeSpec{}), "k", "has no status"},
		{word("w", OutcomeSpec{Status: Failed, RequiredAction: "resume"}), "k", "needs status requires_action"},
		{word("w", OutcomeSpec{Status: Failed, StatusReason: "r"}), "k", "needs status incomplete"},
		{word("w", OutcomeSpec{Status: Incomplete, StatusReason: "r."}), "k.status_reason", "separator"},
		{rule("", OutcomeSpec{Status: Failed}), "k", "needs a condition"},
		{rule("true", OutcomeSpec{}), "k.set", "must set something"},
		{rule("word ==", OutcomeSpec{Status: Failed}), "k", "condition"},
		{rule("http == 'x'", OutcomeSpec{Status: Failed}), "k", "mismatched types"},
		{rule("now().Year() > 1", OutcomeSpec{Status: Failed}), "k", "unknown name now"},
		{rule(`kind("a..b") == "null"`, OutcomeSpec{Status: Failed}), "k", "empty component"},
		{rule(`kind(word) == "null"`, OutcomeSpec{Status: Failed}), "k", "as a literal"},
		{rule(`let f = kind; f("a") == "null"`, OutcomeSpec{Status: Failed}), "k", "as a literal"},
		{rule(`$env.kind("a") == "null"`, OutcomeSpec{Status: Failed}), "k", "$env"},
		{volatile("a.#.b"), "k", "only name members"},
		{volatile("status"), "k", "cannot be volatile"},
		{func(s *Spec) { s.Volatile = []VolatileSpec{{PathSpec{"a", at}, ExprSpec{"word", at.below("when")}}} }, "k.when", "expected bool"},
		{func(s *Spec) { s.Status.Paths = []PathSpec{{"", at}} }, "k", "empty path"},
		{func(s *Spec) { s.Status.Paths[0].Position, s.Status.Words = at, nil }, "k", "no native words"},
		{func(s *Spec) { s.Settled = ExprSpec{"count(1)", at} }, "k", "condition"},

		// The second edition.
		{rule(`http == 202`, OutcomeSpec{Status: Failed}), "k", "http is never 202 here: the codes whose answers are documents are 200"},
		{rule(`404 == http`, OutcomeSpec{Status: Failed}), "k", "http is never 404"},
		{rule(`http in [200, 303]`, OutcomeSpec{Status: Failed}), "k", "http is never 303"},
		{field("model", when("a", "http == 422")), "k.when", "list 422 in poll.documents"},
		{rule(`kind("a") == "boolean"`, OutcomeSpec{Status: Failed}), "k", `kind is never "boolean", it is one of absent, null, true`},
		{rule(`kind("a") in ["null", "bool"]`, OutcomeSpec{Status: Failed}), "k", `kind is never "bool"`},
		{rule(`status == "pending"`, OutcomeSpec{Status: Failed}), "k", `status is never "pending"`},
		{rule(`text("$.a.b[0]") == "x"`, OutcomeSpec{Status: Failed}), "k", "GJSON path is a.b.0"},
		{field("model", path("$.a[*].b")), "k", "JSONPath; the same as a GJSON path is a.#.b"},
		{field("model", path("/a/0/b")), "k", "JSON pointer; the same as a GJSON path is a.0.b"},
		{field("model", path("/a~1b/c.d")), "k", `a\/b.c\.d`},
		{field("model", path(".a.b")), "k", "empty component"},
		{field("model", path("a[0].b")), "k", "a.0.b"},
		{func(s *Spec) { s.Status.Other, s.Status.OtherAt = Completed, at }, "k", "never is one"},
		{func(s *Spec) { s.Status.Other, s.Status.OtherAt = "running", at }, "k", "no status"},
		{func(s *Spec) { s.Status.Codes = []CodeSpec{{202, OutcomeSpec{Status: InProgress}, at}} }, "k", "list it in poll.documents, which has 200"},
		{func(s *Spec) { s.Documents, s.Status.Codes = []int{202}, []CodeSpec{{202, OutcomeSpec{}, at}} }, "k", "code 202 has no status"},
		{func(s *Spec) {
			s.Documents, s.Status.Codes = []int{200, 202}, []CodeSpec{{202, OutcomeSpec{Status: InProgress}, at}}
			s.Status.Words, s.Status.Paths[0].Position = nil, at
		}, "k", "it lacks 200"},
		{func(s *Spec) {
			s.Status.Fold = true
			s.Status.Words = append(s.Status.Words, WordSpec{"PENDING", OutcomeSpec{Status: Queued}, at})
		}, "k", "listed twice"},
		{func(s *Spec) {
			s.Status.Paths = append(s.Status.Paths, PathSpec{Path: "more"})
			s.Status.Words = []WordSpec{{"a b", OutcomeSpec{Status: Queued}, at}, {"a", OutcomeSpec{Status: Queued}, at}}
		}, "k", `"a" can never come: path leads to 2 words`},
		{field("usage.input_tokens", SourceSpec{Path: "a", Scale: "ten"}), "k.scale", "decimal number"},
		{field("usage.input_tokens", SourceSpec{Path: "a", Scale: "0"}), "k.scale", "other than 0"},
		{field("model", SourceSpec{Path: "a", Scale: "10"}), "k.scale", "only numbers"},
		{field("model", SourceSpec{Sum: []string{"a"}}), "k.sum", "only numbers"},
		{field("usage.input_tokens", SourceSpec{Sum: []string{"a..b"}}), "k.sum", "empty component"},
		{field("usage.input_tokens", SourceSpec{Path: "a", Sum: []string{"b"}}), "k", "one of path, param, result and sum"},
		{field("usage.input_tokens", SourceSpec{Sum: []string{"b"}, Match: "(a)"}), "k.match", "nothing to match"},
		{field("metadata.x", SourceSpec{Path: "a", Scale: "2", Time: "unix"}), "k.scale", "a time is neither"},
		{field("created_at", timed("a", "layout:YYYY-MM-DD")), "k.time", "no Go layout of a date; write it as 2006-01-02"},
		{field("created_at", timed("a", "layout:15:04")), "k.time", "no Go layout of a date"},
		{func(s *Spec) {
			s.Fields, s.Result.Position = []FieldSpec{{"model", []SourceSpec{{Result: "a"}}, Position{}}}, at
		}, "k", "the file has no result"},
		{func(s *Spec) { s.Result = ResultSpec{ExprSpec{"terminal", at}, "model", at} }, "k", "output.data or output.text"},
		{func(s *Spec) { s.Result = ResultSpec{When: ExprSpec{"http == 303", at}} }, "k", "http is never 303"},
		{func(s *Spec) { s.Expires = ExpiresSpec{At: []SourceSpec{{Path: "a..b", Position: at}}} }, "k", "empty component"},
	}
	for _, tt := range tests {
		spec := vessl()
		tt.change(&spec)
		m, faults := Compile(spec)
		if m != nil || len(faults) == 0 {
			t.Errorf("Compile accepts what should be faulted with %q", tt.want)
			continue
		}
		f := faults[0]
		if f.Key != tt.key || f.Line != 7 || f.Column != 3 || !strings.Contains(f.Message, tt.want) {
			t.Errorf("fault = %+v, want key %s and %q", f, tt.key, tt.want)
		}
	}
}

func TestCompileReportsEveryFault(t *testing.T) {
	spec := vessl()
	spec.Status.Paths[0].Path = "a..b"
	spec.Fields = append(spec.Fields, fieldOf("nosuch", path("x")), fieldOf("model", path("]")), fieldOf("metadata.x", when("y", "1")))
	spec.Settled = ExprSpec{Code: "?"}
	if _, faults := Compile(spec); len(faults) != 5 {
		t.Errorf("Compile reports %d faults, want 5: %v", len(faults), faults)
	}
}

func TestPaths(t *testing.T) {
	var got []string
	for _, p := range compiled(t, orq()).Paths() {
		got = append(got, p.Path)
	}
	for _, want := range []string{"status", "pending_tool_calls", "pending_tool_calls|#.function.name", "finish_reason", "telemetry", "usage.total_tokens"} {
		if !slices.Contains(got, want) {
			t.Errorf("Paths() lacks %q: %q", want, got)
		}
	}
}

func TestCondition(t *testing.T) {
	body := []byte(`{"s":"x","e":"","n":1.5,"big":12345678901234567890,"t":true,"f":false,"z":null,"a":[1,2,3],"o":{"p":"q"}}`)
	tests := map[string]bool{
		`kind("s") == "string" && kind("n") == "number" && kind("t") == "true" && kind("f") == "false"`:    true,
		`kind("z") == "null" && kind("a") == "array" && kind("o") == "object" && kind("nope") == "absent"`: true,
		`text("s") == "x" && text("n") == "" && text("nope") == "" && text("o.p") in ["q"]`:                true,
		`number("n") == 1.5 && number("s") == 0 && number("nope") == 0 && number("big") > 1e19`:            true,
		`count("a") == 3 && count("o") == 0 && count("nope") == 0 && count("a.#(>1)#") == 2`:               true,
		`http == 403 && word == "W" && status == "completed" && terminal`:                                  true,
		`json.o.p == "q" && json.a[1] == 2 && json.nope == nil`:                                            true,
		`text("s") matches "^y"`: false,
	}
	for code, want := range tests {
		c, fault := CompileCondition(ExprSpec{Code: code})
		if fault != nil {
			t.Errorf("CompileCondition(%s): %+v", code, fault)
			continue
		}
		if got, err := c.Holds(Native{HTTPStatus: 403, Body: body}, "W", Completed); err != nil || got != want {
			t.Errorf("%s = %v, %v, want %v", code, got, err, want)
		}
		for _, none := range []string{"", "<html>[[[", `["s","x"]`} {
			if got, _ := c.Holds(Native{Body: []byte(none)}, "", ""); got {
				t.Errorf("%s holds for the body %q", code, none)
			}
		}
	}
	c, _ := CompileCondition(ExprSpec{Code: "json.nope.deeper"})
	if got, err := c.Holds(Native{Body: body}, "", ""); got || err == nil {
		t.Errorf("a member of nothing = %v, %v, want an error", got, err)
	}
}
