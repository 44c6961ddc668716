package normalize

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestAppendJSON(t *testing.T) {
	code, model, text := "E1", "m", "line\nbreak \u2028 \"q\" <b>"
	task := Task{
		ID: "t1", Upstream: "u", Provider: "p", Status: Failed, NativeStatus: "BAD", CancelRequested: true,
		CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 500e6, time.FixedZone("", 3600)),
		Progress:  Progress{Percent: "33.30"},
		Output:    Output{Text: &text, Data: Raw("{ \"b\" : 1.50,\n\t\"a\":\" x \\\" y \" }")},
		Error:     &Error{Code: &code, Type: "task_failed", Message: "task failed"},
		Usage:     Usage{TotalTokens: "12345678901234567890"},
		Model:     &model,
		Metadata:  []Member{{"z", Raw("[1, 2]")}, {"a", Raw(`"x"`)}},
	}
	want := `{"object":"task","id":"t1","upstream":"u","provider":"p","status":"failed","terminal":true,` +
		`"native_status":"BAD","status_reason":null,"cancel_requested":true,` +
		`"created_at":"2026-01-02T02:04:05.5Z","started_at":null,"completed_at":null,"updated_at":null,` +
		`"progress":{"percent":33.30,"stage":null,"steps_completed":null,"total_steps":null},` +
		`"output":{"text":"line\nbreak \u2028 \"q\" <b>","data":{"b":1.50,"a":" x \" y "},"messages":null},` +
		`"required_action":null,"error":{"code":"E1","type":"task_failed","message":"task failed"},` +
		`"usage":{"input_tokens":null,"output_tokens":null,"total_tokens":12345678901234567890,"cost_usd":null},` +
		`"model":"m","metadata":{"z":[1,2],"a":"x"}}`
	if got := string(task.AppendJSON([]byte("#"))); got != "#"+want {
		t.Errorf("AppendJSON = %s\nwant %s", got, "#"+want)
	}
	task = Task{Status: RequiresAction, RequiredAction: &RequiredAction{Type: "tool_calls", ToolCalls: []ToolCall{{Raw(`"c1"`), Raw(`"f"`), nil}}}}
	var got struct {
		RequiredAction json.RawMessage `json:"required_action"`
	}
	if err := json.Unmarshal(task.AppendJSON(nil), &got); err != nil {
		t.Fatal(err)
	}
	if want := `{"type":"tool_calls","tool_calls":[{"id":"c1","name":"f","arguments":null}]}`; string(got.RequiredAction) != want {
		t.Errorf("required_action = %s, want %s", got.RequiredAction, want)
	}
}

// TestRawCompacts holds appendRaw against the standard library, whose Compact
// leaves the inside of strings alone too.
func TestRawCompacts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		token := rapid.SampledFrom([]string{`\\`, `\"`, `\\\"`, ` `, `x`, `é`, `{`, `]`, `,`, `:`})
		gap := rapid.SampledFrom([]string{"", " ", "\t\r\n"})
		raw := []byte("[")
		for _, inside := range rapid.SliceOf(rapid.SliceOf(token)).Draw(t, "strings") {
			raw = fmt.Appendf(raw, `%s"%s"%s,`, gap.Draw(t, "gap"), strings.Join(inside, ""), gap.Draw(t, "gap"))
		}
		raw = append(raw, " 1.50 ]"...)
		var want bytes.Buffer
		if err := json.Compact(&want, raw); err != nil {
			t.Fatalf("BUG: the test makes what is no JSON: %s: %v", raw, err)
		}
		if got := appendRaw([]byte("#"), raw); string(got) != "#"+want.String() {
			t.Fatalf("appendRaw(%s) = %s, want #%s", raw, got, want.String())
		}
	})
}

func TestAppendStringRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "s")
		raw := AppendString(nil, s)
		var got string
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatalf("AppendString(%q) = %s: %v", s, raw, err)
		}
		if utf8.ValidString(s) && got != s {
			t.Fatalf("AppendString(%q) reads back as %q", s, got)
		}
		if own := decodeString(string(raw)); own != got {
			t.Fatalf("decodeString(%s) = %q, want %q", raw, own, got)
		}
	})
}
