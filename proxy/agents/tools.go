package agents

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"pollux/proxy/wire"
)

// listTTL is how long a client may keep the list of tools: they change with
// the program only.
const listTTL = time.Hour

// definitions are the tools as tools/list shows them.
//
//go:embed tools.json
var definitions []byte

// tool carries out one call. It returns what is shown to the model, or an error
// that says what is wrong with the arguments.
type tool func(c *Call, ctx context.Context, notify func([]byte)) (toolResult, error)

var tools = map[string]tool{
	"wait_for_tasks": (*Call).waitForTasks,
	"get_task":       (*Call).getTask,
	"list_tasks":     (*Call).listTasks,
	"cancel_task":    (*Call).cancelTask,
}

// toolResult is the answer of a tool: the same for programs and for models.
type toolResult struct {
	structured any
	text       string
	failed     bool // every task of the call ended in a problem
	handle     map[string]any
}

func (c *Call) listTools() any {
	result := c.complete(map[string]any{"tools": json.RawMessage(definitions)})
	if c.modern {
		result["ttlMs"], result["cacheScope"] = listTTL.Milliseconds(), "public"
	}
	return result
}

func (c *Call) callTool(ctx context.Context, notify func([]byte)) (any, *rpcError) {
	run := tools[c.params.Name]
	if run == nil {
		return nil, &rpcError{Code: codeInvalidParams, Message: "there is no such tool; tools/list names them"}
	}
	if raw := c.params.Arguments; raw != nil && !isObject(raw) {
		return nil, &rpcError{Code: codeInvalidParams, Message: "arguments wants an object"}
	}
	r, err := run(c, ctx, notify)
	if err != nil { // the model sees it and can mend it, unlike an error of the protocol
		r = toolResult{text: "wrong arguments: " + err.Error(), failed: true}
	}
	if r.handle != nil {
		return r.handle, nil
	}
	return c.content(r), nil
}

// content is a result as a CallToolResult.
func (c *Call) content(r toolResult) map[string]any {
	result := c.complete(map[string]any{"content": []any{map[string]string{"type": "text", "text": r.text}}})
	if r.structured != nil {
		result["structuredContent"] = r.structured
	}
	if r.failed {
		result["isError"] = true
	}
	return result
}

// arguments reads the arguments of a call into out. The error names the
// argument and says what it wants.
func (c *Call) arguments(out any) error {
	if c.params.Arguments == nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(c.params.Arguments))
	d.DisallowUnknownFields()
	err := d.Decode(out)
	switch e := err.(type) {
	case nil:
		return nil
	case *json.UnmarshalTypeError:
		return fmt.Errorf("%s wants %s", e.Field, wanted(e.Type.String()))
	}
	return fmt.Errorf("an argument that is not known; the tool's inputSchema lists them")
}

// whole is a whole number as the schemas of the tools have it: 25.0 is one.
type whole int

func (w *whole) UnmarshalJSON(raw []byte) error {
	n, ok := wire.WholeNumber(raw)
	if !ok {
		return &json.UnmarshalTypeError{Type: reflect.TypeFor[whole]()}
	}
	*w = whole(n)
	return nil
}

// wanted is a type of Go in words of JSON.
func wanted(goType string) string {
	switch goType {
	case "[]string":
		return "a list of strings"
	case "string":
		return "a string"
	case "bool":
		return "true or false"
	}
	return "a whole number"
}
