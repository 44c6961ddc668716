package normalize

import (
	"cmp"
	"testing"

	"github.com/tidwall/gjson"
)

// Numbers are reckoned as they are written, never through a float.
func TestArithmetic(t *testing.T) {
	tests := []struct {
		name, field string
		source      SourceSpec
		body, want  string
	}{
		{"ratio to percent", "progress.percent", SourceSpec{Path: "a", Scale: "100"}, `{"a":0.29}`, "29"},
		{"third of it", "progress.percent", SourceSpec{Path: "a", Scale: "100"}, `{"a":0.333333333333333333}`, "33.3333333333333333"},
		{"beyond a float", "usage.input_tokens", SourceSpec{Path: "a", Scale: "1000"}, `{"a":12345678901234567.891}`, "12345678901234567891"},
		{"exponent", "usage.cost_usd", SourceSpec{Path: "a", Scale: "1e-6"}, `{"a":1.5e3}`, "0.0015"},
		{"negative", "usage.cost_usd", SourceSpec{Path: "a", Scale: "-0.1"}, `{"a":-12.50}`, "1.25"},
		{"to a negative", "metadata.x", SourceSpec{Path: "a", Scale: "0.01"}, `{"a":-5}`, "-0.05"},
		{"zero", "progress.percent", SourceSpec{Path: "a", Scale: "100"}, `{"a":0.0}`, "0"},
		{"too much", "progress.percent", SourceSpec{Path: "a", Scale: "100"}, `{"a":1.01}`, "null"},
		{"matched text", "progress.percent", SourceSpec{Path: "a", Match: `([\d.]+)`, Scale: "100"}, `{"a":"at 0.5"}`, "50"},
		{"text", "progress.percent", SourceSpec{Path: "a", Scale: "100"}, `{"a":"0.5"}`, "null"},
		{"absurd exponent", "usage.cost_usd", SourceSpec{Path: "a", Scale: "100"}, `{"a":1e999}`, "null"},
		{"sum", "usage.total_tokens", SourceSpec{Sum: []string{"a", "b.c"}}, `{"a":1,"b":{"c":2}}`, "3"},
		{"sum with one absent", "usage.total_tokens", SourceSpec{Sum: []string{"a", "b"}}, `{"b":2}`, "2"},
		{"sum with a null", "usage.total_tokens", SourceSpec{Sum: []string{"a", "b"}}, `{"a":null,"b":2}`, "2"},
		{"sum of nothing", "usage.total_tokens", SourceSpec{Sum: []string{"a", "b"}}, `{"a":null}`, "null"},
		{"sum of text", "usage.total_tokens", SourceSpec{Sum: []string{"a", "b"}}, `{"a":1,"b":"2"}`, "null"},
		{"tenths", "usage.cost_usd", SourceSpec{Sum: []string{"a", "b"}}, `{"a":0.1,"b":0.2}`, "0.3"},
		{"sum scaled", "usage.cost_usd", SourceSpec{Sum: []string{"a", "b"}, Scale: "0.01"}, `{"a":1,"b":2}`, "0.03"},
	}
	for _, tt := range tests {
		m := compiled(t, Spec{Status: StatusSpec{Paths: []PathSpec{{Path: "s"}}, Words: words("x=completed")}, Fields: []FieldSpec{fieldOf(tt.field, tt.source)}})
		r, err := m.Map(answer(`{"s":"x",` + tt.body[1:]))
		if err != nil {
			t.Fatal(err)
		}
		if got := cmp.Or(gjson.GetBytes(r.Task.AppendJSON(nil), tt.field).Raw, "null"); got != tt.want {
			t.Errorf("%s: %s of %s = %s, want %s", tt.name, tt.field, tt.body, got, tt.want)
		}
	}
}

// A time may be digits as text.
func TestTimesOfText(t *testing.T) {
	m := compiled(t, Spec{Status: StatusSpec{Paths: []PathSpec{{Path: "s"}}, Words: words("x=completed")}, Fields: []FieldSpec{
		fieldOf("created_at", timed("a", "unix")), fieldOf("started_at", timed("b", "unix_ms")), fieldOf("completed_at", timed("c", "layout:20060102")),
	}})
	r, err := m.Map(answer(`{"s":"x","a":"1780405477","b":"1780405477123","c":20261124}`))
	if err != nil || r.Task.CreatedAt.Unix() != 1780405477 || r.Task.StartedAt.UnixMilli() != 1780405477123 || r.Task.CompletedAt.Day() != 24 {
		t.Errorf("times are %v, %v and %v, %v", r.Task.CreatedAt, r.Task.StartedAt, r.Task.CompletedAt, err)
	}
}
