package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollux/cmd/pollux/console"
	"pollux/normalize"
)

// document is a task document as the client reads it.
type document struct {
	ID           string           `json:"id"`
	Upstream     string           `json:"upstream"`
	Status       normalize.Status `json:"status"`
	Terminal     bool             `json:"terminal"`
	NativeStatus *string          `json:"native_status"`
	StatusReason *string          `json:"status_reason"`
	Cancelling   bool             `json:"cancel_requested"`
	CreatedAt    *time.Time       `json:"created_at"`
	StartedAt    *time.Time       `json:"started_at"`
	CompletedAt  *time.Time       `json:"completed_at"`
	UpdatedAt    *time.Time       `json:"updated_at"`
	Progress     struct {
		Percent        *json.Number `json:"percent"`
		Stage          *string      `json:"stage"`
		StepsCompleted *json.Number `json:"steps_completed"`
		TotalSteps     *json.Number `json:"total_steps"`
	} `json:"progress"`
	Output struct {
		Text *string         `json:"text"`
		Data json.RawMessage `json:"data"`
	} `json:"output"`
	RequiredAction *struct {
		Type      string `json:"type"`
		ToolCalls []struct {
			ID        any             `json:"id"`
			Name      any             `json:"name"`
			Arguments json.RawMessage `json:"arguments"`
		} `json:"tool_calls"`
	} `json:"required_action"`
	Error *struct {
		Code    *string `json:"code"`
		Type    string  `json:"type"`
		Message string  `json:"message"`
	} `json:"error"`
	Usage struct {
		InputTokens  *json.Number `json:"input_tokens"`
		OutputTokens *json.Number `json:"output_tokens"`
		TotalTokens  *json.Number `json:"total_tokens"`
		CostUSD      *json.Number `json:"cost_usd"`
	} `json:"usage"`
	Model *string `json:"model"`
}

var errNoDocument = errors.New("the answer is no task document: is this a Pollux?")

func parseDocument(body []byte) (*document, error) {
	d := &document{}
	if json.Unmarshal(body, d) != nil || d.Status == "" {
		return nil, errNoDocument
	}
	return d, nil
}

// over reports whether there is nothing more to wait for: the task has ended,
// or wants something of the caller.
func (d *document) over() bool { return d.Terminal || d.Status == normalize.RequiresAction }

// progress is how far the task is, in a few words; "" if nobody says.
func (d *document) progress() string {
	var parts []string
	p := &d.Progress
	if p.Percent != nil {
		parts = append(parts, p.Percent.String()+" %")
	}
	switch {
	case p.StepsCompleted != nil && p.TotalSteps != nil:
		parts = append(parts, fmt.Sprintf("step %s of %s", *p.StepsCompleted, *p.TotalSteps))
	case p.StepsCompleted != nil:
		parts = append(parts, fmt.Sprintf("step %s", *p.StepsCompleted))
	}
	if p.Stage != nil {
		parts = append(parts, console.CleanLine(*p.Stage))
	}
	return strings.Join(parts, ", ")
}

// usage is what the task consumed; "" if nobody says.
func (d *document) usage() string {
	var parts []string
	add := func(n *json.Number, what string) {
		if n != nil {
			parts = append(parts, n.String()+" "+what)
		}
	}
	add(d.Usage.InputTokens, "in")
	add(d.Usage.OutputTokens, "out")
	add(d.Usage.TotalTokens, "tokens in all")
	add(d.Usage.CostUSD, "USD")
	return strings.Join(parts, ", ")
}

// failure is the error of the task in one line; "" if there is none.
func (d *document) failure() string {
	if d.Error == nil {
		return ""
	}
	kind := d.Error.Type
	if d.Error.Code != nil && *d.Error.Code != "" {
		kind = *d.Error.Code
	}
	return console.CleanLine(kind + ": " + d.Error.Message)
}

// field is a line about a task: what it is, and its value.
type field struct{ name, value string }

// fields are what a person would want to know, as far as anybody says it.
// heard says how Pollux knows.
func (d *document) fields(label, heard string) []field {
	all := []field{
		{"task", label}, {"status", d.statusText()}, {"model", textOf(d.Model)},
		{"created", timeText(d.CreatedAt)}, {"started", timeText(d.StartedAt)},
		{"completed", timeText(d.CompletedAt)}, {"updated", timeText(d.UpdatedAt)},
		{"progress", d.progress()}, {"usage", d.usage()}, {"error", d.failure()},
	}
	if action := d.RequiredAction; action != nil {
		all = append(all, field{"wants", console.CleanLine(action.Type)})
		for _, call := range action.ToolCalls {
			all = append(all, field{"call", console.CleanLine(fmt.Sprintf("%v %v %s", orDash(call.ID), orDash(call.Name), call.Arguments))})
		}
	}
	all = append(all, field{"heard", heard})
	return slices.DeleteFunc(all, func(f field) bool { return f.value == "" })
}

// writeText shows the document to a person.
func (d *document) writeText(t *console.Terminal, label, heard string) error {
	fields := d.fields(label, heard)
	indent := 0
	for _, f := range fields {
		indent = max(indent, len(f.name)+2)
	}
	var b strings.Builder
	for _, f := range fields {
		value := console.Wrap(f.value, t.Width(), indent)
		if f.name == "status" {
			value = t.Paint(statusStyle(d.Status), value)
		}
		fmt.Fprintf(&b, "%s%s\n", t.Paint(console.Faint, console.Pad(f.name, indent)), value)
	}
	if _, err := io.WriteString(t.Stdout, b.String()); err != nil {
		return err
	}
	return d.writeOutput(t.Stdout)
}

// writeOutput shows what the task produced: the text, or else the data.
func (d *document) writeOutput(w io.Writer) error {
	var text string
	switch {
	case d.Output.Text != nil && *d.Output.Text != "":
		text = *d.Output.Text
	case len(d.Output.Data) > 0 && string(d.Output.Data) != "null":
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, d.Output.Data, "", "  "); err != nil {
			return err
		}
		text = pretty.String()
	default:
		return nil
	}
	_, err := fmt.Fprintf(w, "\n%s\n", strings.TrimRight(console.CleanText(text), "\n"))
	return err
}

// statusText is the status, and what the upstream calls it.
func (d *document) statusText() string {
	text := string(d.Status)
	if d.NativeStatus != nil && *d.NativeStatus != text {
		text += " (" + *d.NativeStatus + ")"
	}
	if d.StatusReason != nil {
		text += ", " + *d.StatusReason
	}
	if d.Cancelling && !d.Terminal {
		text += ", to be cancelled"
	}
	return console.CleanLine(text)
}

// textOf is a text that may be missing, on one line.
func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return console.CleanLine(*s)
}

// timeText is a time as documents write it; "" if nobody knows.
func timeText(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func orDash(v any) any {
	if v == nil {
		return "-"
	}
	return v
}

// heardText says how old an answer is, and how Pollux came by it.
func heardText(a *answer) string {
	var parts []string
	if age, err := strconv.Atoi(a.header.Get("Age")); err == nil {
		parts = append(parts, console.Brief(time.Duration(age)*time.Second)+" ago")
	}
	if status, ok := strings.CutPrefix(a.header.Get("Cache-Status"), "pollux; "); ok {
		parts = append(parts, console.CleanLine(status))
	}
	return strings.Join(parts, ", ")
}
