package agents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"pollux/cache"
	"pollux/proxy/follow"
)

// pageSize is how much of an output one answer holds, in bytes.
const pageSize = 16 << 10

// page is a part of an output.
type page struct {
	Text   string `json:"text"`
	Offset int    `json:"offset"`
	Next   *int   `json:"next_offset"`
	Total  int    `json:"total_bytes"`
}

type getArguments struct {
	Task          string  `json:"task"`
	IncludeOutput bool    `json:"include_output"`
	OutputPath    *string `json:"output_path"`
	Offset        *whole  `json:"offset"`
}

const maxPath = 500

func (a *getArguments) check() error {
	switch {
	case a.Task == "":
		return errors.New("task wants a reference, as in \"openai/resp_123\"")
	case a.Offset != nil && *a.Offset < 0:
		return errors.New("offset wants a whole number, 0 or more")
	case a.OutputPath != nil && len(*a.OutputPath) > maxPath:
		return fmt.Errorf("output_path is longer than %d bytes", maxPath)
	}
	return nil
}

// at is the path and the offset that are asked for; ok is false if no output is.
func (a *getArguments) at() (path string, offset int, ok bool) {
	if a.OutputPath != nil {
		path = *a.OutputPath
	}
	if a.Offset != nil {
		offset = int(*a.Offset)
	}
	return path, offset, a.IncludeOutput || path != "" || a.Offset != nil
}

func (c *Call) getTask(ctx context.Context, _ func([]byte)) (toolResult, error) {
	var a getArguments
	if err := c.arguments(&a); err != nil {
		return toolResult{}, err
	}
	if err := a.check(); err != nil {
		return toolResult{}, err
	}
	answer := c.request.Tasks.Wait(ctx, []string{a.Task}, func([]follow.Answer) bool { return true })[0]
	if p := answer.Problem; p != nil {
		return c.problem(a.Task, answer), nil
	}
	e := answer.Entry
	path, offset, ok := a.at()
	if !ok {
		document := filtered(string(e.Document), func(key string, _ gjson.Result) bool { return key != "output" })
		return toolResult{structured: map[string]any{"document": json.RawMessage(document)}, text: string(document)}, nil
	}
	p, more := outputPage(e, path, offset)
	text := p.Text
	if p.Next != nil {
		text += fmt.Sprintf("\n[%d of %d bytes; go on with offset %d.%s]", *p.Next, p.Total, *p.Next, more)
	} else if more != "" {
		text += "\n[" + more[1:] + "]"
	}
	return toolResult{structured: p, text: text}, nil
}

// filtered is an object with those of its members that are kept.
func filtered(object string, kept func(key string, value gjson.Result) bool) []byte {
	out := append(make([]byte, 0, len(object)+2), '{')
	gjson.Parse(object).ForEach(func(key, value gjson.Result) bool {
		if kept(key.Str, value) {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(append(append(out, key.Raw...), ':'), value.Raw...)
		}
		return true
	})
	return append(out, '}')
}

// problem is the result of a call about one task that came to a problem.
func (c *Call) problem(ref string, a follow.Answer) toolResult {
	return toolResult{failed: true, structured: map[string]any{"problem": c.request.Tasks.Explain(a.Problem)},
		text: ref + ": problem: " + a.Problem.Detail}
}

// outputPage is the page of e's output that begins at offset. Without a path it
// is the output's text, or its JSON where it has no text; more then says what
// else there is.
func outputPage(e *cache.Entry, path string, offset int) (p page, more string) {
	output := gjson.GetBytes(e.Document, "output")
	text := ""
	switch {
	case path != "":
		part := output.Get(path)
		if text = part.Raw; part.Type == gjson.String || text == "" { // a count has no Raw
			text = part.String()
		}
	case output.Get("text").Type == gjson.String:
		text = output.Get("text").String()
		for _, other := range []string{"data", "messages"} {
			if v := output.Get(other); v.Type != gjson.Null {
				more += fmt.Sprintf(" output_path %q has %d bytes more.", other, len(v.Raw))
			}
		}
	default:
		text = output.Raw
	}
	return pageOf(text, offset), more
}

// pageOf is the page of text that begins at offset, or at the character before
// it that offset would cut.
func pageOf(text string, offset int) page {
	start := boundary(text, offset)
	end := start + boundary(text[start:], pageSize)
	p := page{Text: text[start:end], Offset: start, Total: len(text)}
	if end < len(text) {
		p.Next = &end
	}
	return p
}

// boundary is n, or the length of text if that is less, moved back to where a
// character begins.
func boundary(text string, n int) int {
	if n >= len(text) {
		return len(text)
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return n
}
