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
		{word("", OutcomeSpec{Status: Failed}), "k", "cannot be empty"},
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
		{func(s *Spec) { s.Status.Path = PathSpec{"", at} }, "k", "empty path"},
		{func(s *Spec) { s.Status.Path.Position, s.Status.Words = at, nil }, "k", "no native words"},
		{func(s *Spec) { s.Settled = ExprSpec{"count(1)", at} }, "k", "condition"},
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
	spec.Status.Path.Path = "a..b"
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
		for _, none := range []string{"", "<html>[[[", `[{"s":"x"}]`} {
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
