package normalize

import (
	"errors"
	"testing"
)

func TestWords(t *testing.T) {
	one := StatusSpec{Paths: []PathSpec{{Path: "run.state"}}, Words: words("3=in_progress true=completed false=queued 1.50=failed")}
	prefixed := StatusSpec{Paths: []PathSpec{{Path: "a"}, {Path: "b"}}, Prefix: "S_", Words: words("x=queued")}
	prefixed.Words = []WordSpec{{Word: "DONE OK", OutcomeSpec: OutcomeSpec{Status: Completed}}, {Word: "DONE -", OutcomeSpec: OutcomeSpec{Status: Failed}}, {Word: "- OK", OutcomeSpec: OutcomeSpec{Status: Queued}}}
	empty := StatusSpec{Paths: []PathSpec{{Path: "a"}}, Words: append(words("x=completed"), WordSpec{Word: "", OutcomeSpec: OutcomeSpec{Status: InProgress}})}
	folded := StatusSpec{Paths: []PathSpec{{Path: "a"}}, Prefix: "st_", Words: words("Done=completed"), Fold: true, Other: InProgress,
		Rules: []RuleSpec{ruleOf(`word == "Done" && kind("cut") == "true"`, OutcomeSpec{Status: Incomplete})}}
	nothing := prefixed
	nothing.Words = append(nothing.Words, WordSpec{Word: "- -", OutcomeSpec: OutcomeSpec{Status: Queued}})
	tests := []struct {
		name, body string
		spec       StatusSpec
		want       Status
		native     string
		unknown    bool
	}{
		{"number", `{"run":{"state":3}}`, one, InProgress, "3", false},
		{"boolean", `{"run":{"state":true}}`, one, Completed, "true", false},
		{"false", `{"run":{"state":false}}`, one, Queued, "false", false},
		{"digits stay", `{"run":{"state":1.50}}`, one, Failed, "1.50", false},
		{"text of a number", `{"run":{"state":"3"}}`, one, InProgress, "3", false},
		{"unlisted number", `{"run":{"state":4}}`, one, Unknown, "4", true},
		{"two", `{"a":"DONE","b":"OK"}`, prefixed, Completed, "DONE OK", false},
		{"two with prefixes", `{"a":"S_DONE","b":"S_OK"}`, prefixed, Completed, "S_DONE S_OK", false},
		{"second absent", `{"a":"DONE"}`, prefixed, Failed, "DONE -", false},
		{"second null", `{"a":"DONE","b":null}`, prefixed, Failed, "DONE -", false},
		{"second empty", `{"a":"DONE","b":""}`, prefixed, Failed, "DONE -", false},
		{"first absent", `{"b":"OK"}`, prefixed, Queued, "- OK", false},
		{"unlisted pair", `{"a":"DONE","b":"WELL"}`, prefixed, Unknown, "DONE WELL", true},
		{"both absent and listed", `{}`, nothing, Queued, "- -", false},
		{"absent", `{}`, empty, InProgress, "", false},
		{"null", `{"a":null}`, empty, InProgress, "", false},
		{"folded", `{"a":"DONE"}`, folded, Completed, "DONE", false},
		{"folded prefix", `{"a":"ST_dOnE"}`, folded, Completed, "ST_dOnE", false},
		{"rules see the file's spelling", `{"a":"dONE","cut":true}`, folded, Incomplete, "dONE", false},
		{"other", `{"a":"Updating"}`, folded, InProgress, "Updating", false},
		{"other of an empty word", `{"a":""}`, folded, InProgress, "", false},
	}
	for _, tt := range tests {
		r, err := compiled(t, Spec{Status: tt.spec}).Map(answer(tt.body))
		if err != nil || r.Task.Status != tt.want || r.Task.NativeStatus != tt.native || r.UnknownWord != tt.unknown {
			t.Errorf("%s: Map(%s) = %s %q, unknown %v, %v; want %s %q, %v", tt.name, tt.body, r.Task.Status, r.Task.NativeStatus, r.UnknownWord, err, tt.want, tt.native, tt.unknown)
		}
	}
	for name, tt := range map[string]struct {
		spec StatusSpec
		body string
	}{
		"absent":              {one, `{}`},
		"null":                {one, `{"run":{"state":null}}`},
		"both absent":         {prefixed, `{"c":1}`},
		"absent beside other": {folded, `{}`},
	} {
		if r, err := compiled(t, Spec{Status: tt.spec}).Map(answer(tt.body)); !errors.Is(err, ErrNoStatus) {
			t.Errorf("%s: Map(%s) = %s, %v, want ErrNoStatus", name, tt.body, r.Task.Status, err)
		}
	}
}

func TestCodes(t *testing.T) {
	spec := Spec{Documents: []int{200, 202, 303, 422}, Status: StatusSpec{
		Paths: []PathSpec{{Path: "state"}}, Words: words("busy=queued done=completed"),
		Codes: []CodeSpec{{Code: 202, OutcomeSpec: OutcomeSpec{Status: InProgress}}, {Code: 303, OutcomeSpec: OutcomeSpec{Status: Completed}}, {Code: 422, OutcomeSpec: OutcomeSpec{Status: Failed}}},
		Rules: []RuleSpec{ruleOf(`http == 422 && word == "stopped"`, OutcomeSpec{Status: Cancelled})},
	}, Volatile: volatiles("at")}
	tests := []struct {
		code         int
		body         string
		want         Status
		native       string
		unknown, bad bool
	}{
		{202, `{}`, InProgress, "202", false, false},
		{202, ``, InProgress, "202", false, false},
		{202, `{"state":"done"}`, InProgress, "done", false, false},
		{202, `{"state":"odd"}`, InProgress, "odd", false, false},
		{202, `{"state":{"a":1}}`, InProgress, "202", false, false},
		{303, ``, Completed, "303", false, false},
		{422, `{"state":"odd"}`, Failed, "odd", false, false},
		{422, `{"state":"stopped"}`, Cancelled, "stopped", false, false},
		{200, `{"state":"busy"}`, Queued, "busy", false, false},
		{200, `{"state":"odd"}`, Unknown, "odd", true, false},
		{200, `{}`, "", "", false, true},
	}
	m := compiled(t, spec)
	for _, tt := range tests {
		r, err := m.Map(Native{HTTPStatus: tt.code, Body: []byte(tt.body)})
		if (err != nil) != tt.bad || r.Task.Status != tt.want || r.Task.NativeStatus != tt.native || r.UnknownWord != tt.unknown {
			t.Errorf("Map(%d %s) = %s %q, unknown %v, %v; want %s %q, %v", tt.code, tt.body, r.Task.Status, r.Task.NativeStatus, r.UnknownWord, err, tt.want, tt.native, tt.unknown)
		}
	}
	// Where every document's code is listed, there need be no words.
	bare := compiled(t, Spec{Documents: []int{200, 202}, Status: StatusSpec{Codes: []CodeSpec{{Code: 200, OutcomeSpec: OutcomeSpec{Status: Completed}}, {Code: 202, OutcomeSpec: OutcomeSpec{Status: InProgress}}}}})
	if r, err := bare.Map(Native{HTTPStatus: 200}); err != nil || r.Task.Status != Completed {
		t.Errorf("codes alone: %s, %v", r.Task.Status, err)
	}
}

// What a volatile member holds is shown, and is no change.
func TestVolatileShowsItsNewestValue(t *testing.T) {
	spec := vessl()
	spec.Volatile = volatiles("progress")
	spec.Fields = []FieldSpec{fieldOf("metadata.progress", path("progress")), fieldOf("progress.percent", SourceSpec{Sum: []string{"progress", "base"}})}
	m := compiled(t, spec)
	a, _ := m.Map(answer(`{"status":"pending","base":1,"progress":1}`))
	b, _ := m.Map(answer(`{"status":"pending","base":1,"progress":2}`))
	if a.Digest != b.Digest {
		t.Error("a volatile member is a change")
	}
	if string(b.Task.Metadata[0].Value) != "2" || b.Task.Progress.Percent != "3" {
		t.Errorf("the document shows %s and %s, want 2 and 3", b.Task.Metadata[0].Value, b.Task.Progress.Percent)
	}
}
