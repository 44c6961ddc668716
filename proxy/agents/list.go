package agents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
)

const (
	defaultRows = 20
	maxRows     = 100
)

type listArguments struct {
	Upstream string `json:"upstream"`
	Status   string `json:"status"`
	Q        string `json:"q"`
	Since    string `json:"since"`
	Limit    *whole `json:"limit"`
	Cursor   string `json:"cursor"`
}

func (c *Call) listTasks(_ context.Context, _ func([]byte)) (toolResult, error) {
	var a listArguments
	if err := c.arguments(&a); err != nil {
		return toolResult{}, err
	}
	limit := defaultRows
	if a.Limit != nil {
		if limit = int(*a.Limit); limit < 1 || limit > maxRows {
			return toolResult{}, fmt.Errorf("limit wants 1 to %d", maxRows)
		}
	}
	rows, next, p := c.request.Tasks.List(Query{Upstream: a.Upstream, Status: a.Status, Q: a.Q, Since: a.Since, Cursor: a.Cursor, Limit: limit})
	if p != nil {
		return toolResult{failed: true, structured: map[string]any{"problem": c.request.Tasks.Explain(p)}, text: "problem: " + p.Detail}, nil
	}
	if rows == nil {
		rows = []json.RawMessage{}
	}
	result := map[string]any{"rows": rows, "next_cursor": nil}
	var text strings.Builder
	for _, row := range rows {
		r := gjson.ParseBytes(row)
		fmt.Fprintf(&text, "%s: %s", r.Get("ref"), r.Get("status"))
		if reason := r.Get("error.message").String(); reason != "" {
			text.WriteString(", " + reason)
		}
		text.WriteByte('\n')
	}
	if len(rows) == 0 {
		text.WriteString("No tasks.")
	}
	if next != "" {
		result["next_cursor"] = next
		fmt.Fprintf(&text, "There are more: call list_tasks with the same arguments and cursor %q.", next)
	}
	return toolResult{structured: result, text: strings.TrimSuffix(text.String(), "\n")}, nil
}

func (c *Call) cancelTask(ctx context.Context, _ func([]byte)) (toolResult, error) {
	var a struct {
		Task string `json:"task"`
	}
	if err := c.arguments(&a); err != nil {
		return toolResult{}, err
	}
	if a.Task == "" {
		return toolResult{}, errors.New("task wants a reference, as in \"openai/resp_123\"")
	}
	if p := c.request.Tasks.Cancel(ctx, a.Task); p != nil {
		return toolResult{failed: true, structured: map[string]any{"accepted": false, "problem": c.request.Tasks.Explain(p)},
			text: a.Task + ": not cancelled: " + p.Detail}, nil
	}
	return toolResult{structured: map[string]any{"accepted": true, "problem": nil},
		text: a.Task + ": the upstream accepted to cancel it. wait_for_tasks tells how it ends."}, nil
}
