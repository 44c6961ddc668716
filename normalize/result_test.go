package normalize

import (
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

func TestResult(t *testing.T) {
	spec := Spec{
		Status: StatusSpec{Paths: []PathSpec{{Path: "s"}}, Words: words("done=completed busy=in_progress")},
		Result: ResultSpec{When: ExprSpec{Code: `status == "completed"`}, Into: "output.data"},
		Fields: []FieldSpec{fieldOf("model", SourceSpec{Result: "model"}, path("model")), fieldOf("error.message", path("why")), fieldOf("output.data", path("link"))},
	}
	m := compiled(t, spec)
	code := "E1"
	tests := []struct {
		name, body string
		result     *NativeResult
		want       map[string]string
	}{
		{"not asked for", `{"s":"done","link":"u","model":"m"}`, nil, map[string]string{"output.data": `"u"`, "model": `"m"`}},
		{"structure", `{"s":"done"}`, &NativeResult{Body: []byte(" {\"model\":\"n\", \"x\":[1.50]}\n")}, map[string]string{"output.data": `{"model":"n","x":[1.50]}`, "output.text": "null", "model": `"n"`}},
		{"a list", `{"s":"done"}`, &NativeResult{Body: []byte(`[1,2]`)}, map[string]string{"output.data": `[1,2]`}},
		{"a string", `{"s":"done","link":"u"}`, &NativeResult{Body: []byte(`"a\nb"`)}, map[string]string{"output.data": "null", "output.text": `"a\nb"`}},
		{"plain text", `{"s":"done"}`, &NativeResult{Body: []byte("line 1\nline 2\n")}, map[string]string{"output.text": `"line 1\nline 2"`}},
		{"nothing", `{"s":"done","link":"u"}`, &NativeResult{}, map[string]string{"output.data": `"u"`, "output.text": "null"}},
		{"null", `{"s":"done"}`, &NativeResult{Body: []byte("null")}, map[string]string{"output.data": "null"}},
		{"failed", `{"s":"done","why":"w"}`, &NativeResult{Body: []byte(`{"detail":"d"}`), Failed: &Error{Code: &code, Message: "d"}},
			map[string]string{"status": `"failed"`, "native_status": `"done"`, "error": `{"code":"E1","type":"task_failed","message":"d"}`}},
		{"failed silently", `{"s":"done","why":"w"}`, &NativeResult{Failed: &Error{}}, map[string]string{"status": `"failed"`, "error.message": `"w"`}},
	}
	for _, tt := range tests {
		r, err := m.Map(Native{HTTPStatus: 200, Body: []byte(tt.body), Result: tt.result})
		if err != nil {
			t.Fatal(err)
		}
		if !r.WantsResult {
			t.Errorf("%s: a completed task wants no result", tt.name)
		}
		document := r.Task.AppendJSON(nil)
		for path, want := range tt.want {
			if got := gjson.GetBytes(document, path).Raw; got != want {
				t.Errorf("%s: %s = %s, want %s", tt.name, path, got, want)
			}
		}
	}
	if r, _ := m.Map(answer(`{"s":"busy"}`)); r.WantsResult {
		t.Error("a running task wants its result")
	}
	spec.Result.Into = "output.text"
	texts := compiled(t, spec)
	r, _ := texts.Map(Native{HTTPStatus: 200, Body: []byte(`{"s":"done","link":"u"}`), Result: &NativeResult{Body: []byte("line")}})
	if *r.Task.Output.Text != "line" || string(r.Task.Output.Data) != `"u"` {
		t.Errorf("a text that was wanted as such took the data away: %s, %s", *r.Task.Output.Text, r.Task.Output.Data)
	}
	one, _ := m.Map(Native{HTTPStatus: 200, Body: []byte(`{"s":"done"}`), Result: &NativeResult{Body: []byte(`1`)}})
	two, _ := m.Map(Native{HTTPStatus: 200, Body: []byte(`{"s":"done"}`), Result: &NativeResult{Body: []byte(`2`)}})
	if one.Digest == two.Digest || one.NativeDigest != two.NativeDigest {
		t.Error("another result is a change of the document, and none of the first body")
	}
}

func TestExpires(t *testing.T) {
	spec := Spec{
		Status:  StatusSpec{Paths: []PathSpec{{Path: "s"}}, Words: words("done=completed busy=in_progress")},
		Expires: ExpiresSpec{After: time.Hour},
		Fields:  []FieldSpec{fieldOf("completed_at", path("end")), fieldOf("metadata.expires_at", path("batch_ends"))},
	}
	after := compiled(t, spec)
	spec.Expires = ExpiresSpec{At: []SourceSpec{{Path: "until"}, {Path: "until", Time: "unix"}}}
	at := compiled(t, spec)
	tests := []struct {
		name, body string
		m          *Mapping
		want       string // of metadata.expires_at
		expires    bool
	}{
		{"after its end", `{"s":"done","end":"2026-11-24T10:00:00Z"}`, after, `"2026-11-24T11:00:00Z"`, true},
		{"instead of the file's own", `{"s":"done","end":"2026-11-24T10:00:00Z","batch_ends":"x"}`, after, `"2026-11-24T11:00:00Z"`, true},
		{"end unknown", `{"s":"done","batch_ends":"x"}`, after, `"x"`, false},
		{"running", `{"s":"busy","end":"2026-11-24T10:00:00Z","batch_ends":"x"}`, after, `"x"`, false},
		{"at a time", `{"s":"done","until":"2026-11-24T10:00:00+0000"}`, at, `"2026-11-24T10:00:00Z"`, true},
		{"at a unix time", `{"s":"done","until":1780405477}`, at, `"2026-06-02T13:04:37Z"`, true},
		{"at no time", `{"s":"done","until":"soon"}`, at, ``, false},
	}
	for _, tt := range tests {
		r, err := tt.m.Map(answer(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		if got := gjson.GetBytes(r.Task.AppendJSON(nil), "metadata.expires_at").Raw; got != tt.want || r.Expires.IsZero() == tt.expires {
			t.Errorf("%s: expires_at %s, %v; want %s", tt.name, got, r.Expires, tt.want)
		}
	}
	r, _ := after.Map(answer(`{"s":"done"}`))
	seen := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	if got := after.Expire(&r.Task, seen); !got.Equal(seen.Add(time.Hour)) || string(r.Task.Metadata[0].Value) != `"2026-11-24T13:00:00Z"` {
		t.Errorf("Expire = %v, %v", got, r.Task.Metadata)
	}
	if got := at.Expire(&r.Task, seen); !got.IsZero() {
		t.Errorf("Expire of an answer that says nothing = %v", got)
	}
}
