package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"pollux/cmd/pollux/console"
	"pollux/normalize"
	"pollux/providers"
)

func explainCommand(_ context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("explain", `Shows what Pollux makes of an upstream's answer to a status poll: the task
document, and where each of its members came from. The body is a file, or - for
the standard input. Exits 1 if a 200 is no usable answer.`,
		"pollux explain shannon answer.json",
		"curl -s $URL | pollux explain orq -  # what is this answer?",
		"pollux explain --json openai answer.json")
	file := configFlag(fs)
	dir := fs.String("provider-dir", "", "`directory` of your own provider files, instead of the config's")
	id := fs.String("id", "", "the task's `id`, as it was asked for; taken from the body without it")
	status := fs.Int("status", http.StatusOK, "HTTP status of the answer")
	asJSON := fs.Bool("json", false, "print one JSON object")
	params := map[string]string{}
	fs.Func("param", "another parameter of the reference, as `name=value`; may be repeated", func(s string) error {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("want name=value")
		}
		params[name] = value
		return nil
	})
	rest, code, done := t.Parse(fs, args, 2)
	if done {
		return code
	}
	if *status < 100 || *status > 599 {
		return t.Misused(fs, "--status is from 100 to 599")
	}
	provider, err := explainedProvider(t, *file, *dir, rest[0])
	if err != nil {
		return t.Fail("explain", err)
	}
	body, err := t.Read(rest[1])
	if err != nil {
		return t.Fail("explain", err)
	}
	reference, err := explainedReference(provider, *id, params, body)
	if err != nil {
		return t.Fail("explain", err)
	}
	e := explain(provider, reference, *status, body)
	if *asJSON {
		err = e.writeJSON(t.Stdout)
	} else {
		err = e.writeText(t.Stdout)
	}
	switch {
	case err != nil:
		return t.Fail("explain", err)
	case *status == http.StatusOK && e.verdict.Kind != providers.Answered:
		return exitFailure
	}
	return exitOK
}

// explainedProvider finds a provider among the built-in ones and the user's
// own. Of the config only provider_dir matters, whatever else is wrong with it.
func explainedProvider(t *console.Terminal, file, dir, name string) (*providers.Provider, error) {
	l, err := loadProviderSet(file, dir, t.Env)
	if err != nil {
		return nil, err
	}
	if p := l.Get(name); p != nil {
		return p, nil
	}
	var known []string
	for _, p := range l.All() {
		known = append(known, p.Name)
	}
	return nil, fmt.Errorf("there is no provider %q, there are %s", name, strings.Join(known, ", "))
}

// explainedReference is what was asked for. Parameters that nobody named stay
// empty; the id is then what the body says.
func explainedReference(p *providers.Provider, id string, params map[string]string, body []byte) (providers.Reference, error) {
	r := providers.Reference{Values: make([]string, len(p.Params))}
	task := -1
	for i, param := range p.Params {
		if value, named := params[param.Name]; named {
			r.Values[i] = value
			delete(params, param.Name)
		} else if param.Task {
			task = i
		}
	}
	for name := range params {
		var known []string
		for _, param := range p.Params {
			known = append(known, param.Name)
		}
		return r, fmt.Errorf("--param %s: provider %s has %s", name, p.Name, strings.Join(known, ", "))
	}
	if task < 0 {
		return r, nil
	}
	if id == "" {
		if _, verdict := p.Explain(r, providers.Answer{Code: http.StatusOK, Body: body}, nil, time.Now()); verdict.Kind == providers.Answered {
			id = verdict.Task.ID
		}
	}
	r.Values[task] = id
	return r, nil
}

// explanation is what became of one answer.
type explanation struct {
	verdict  providers.Verdict
	document json.RawMessage // nil if it is no answer
	traces   []normalize.FieldTrace
}

func explain(p *providers.Provider, r providers.Reference, status int, body []byte) explanation {
	now := time.Now().UTC().Truncate(time.Second)
	e := explanation{verdict: p.Judge(r, status, http.Header{}, body, now)}
	if e.verdict.Kind != providers.Answered {
		return e
	}
	e.traces, _ = p.Explain(r, providers.Answer{Code: status, Body: body}, nil, now)
	task := e.verdict.Task
	task.Upstream, task.Provider, task.UpdatedAt = p.Name, p.Name, now
	e.document = task.AppendJSON(nil)
	return e
}

// kindNames say what an answer means, in the words of the problem types.
var kindNames = map[providers.Kind]string{
	providers.Answered: "answered", providers.Rejected: "upstream-rejected", providers.Unauthorized: "unauthorized",
	providers.Forbidden: "forbidden", providers.NotFound: "task-not-found", providers.RateLimited: "rate-limited",
	providers.BadAnswer: "upstream-error", providers.TooSlow: "upstream-timeout",
}

func (e *explanation) writeText(w io.Writer) error {
	if e.document == nil {
		fmt.Fprintf(w, "no document: %s", kindNames[e.verdict.Kind])
		if e.verdict.Code != "" {
			fmt.Fprintf(w, " (%s)", e.verdict.Code)
		}
		if e.verdict.Reason != "" {
			fmt.Fprintf(w, ": %s", e.verdict.Reason)
		}
		_, err := fmt.Fprintln(w)
		return err
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, e.document, "", "  "); err != nil {
		return err
	}
	pretty.WriteString("\n\n")
	if _, err := pretty.WriteTo(w); err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "MEMBER\tVALUE\tSOURCE\tLINE\tWHAT BECAME OF IT")
	for _, trace := range e.traces {
		member, value := trace.Field, shorten(string(trace.Value), 44)
		if trace.Value == nil {
			value = "null"
		}
		for _, tried := range slices.Concat(trace.Tried, make([]normalize.SourceTrace, max(0, 1-len(trace.Tried)))) {
			line := ""
			if tried.Line > 0 {
				line = fmt.Sprint(tried.Line)
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", member, value, shorten(tried.Source, 60), line, tried.Outcome)
			member, value = "", ""
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if e.verdict.UnknownWord {
		_, err := fmt.Fprintln(w, "\nThe native status is not in the provider file, so the task counts as unknown.")
		return err
	}
	return nil
}

// shorten keeps a table readable; control characters would break it.
func shorten(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	return console.Clip(s, limit)
}

func (e *explanation) writeJSON(w io.Writer) error {
	type source struct {
		Source  string `json:"source"`
		Line    int    `json:"line,omitempty"`
		Outcome string `json:"outcome"`
	}
	type field struct {
		Member string          `json:"member"`
		Value  json.RawMessage `json:"value"` // null if nothing filled it
		Tried  []source        `json:"tried"`
	}
	out := struct {
		Verdict     string          `json:"verdict"`
		Code        string          `json:"code,omitempty"`
		Reason      string          `json:"reason,omitempty"`
		UnknownWord bool            `json:"unknown_word"`
		Document    json.RawMessage `json:"document"`
		Fields      []field         `json:"fields"`
	}{kindNames[e.verdict.Kind], e.verdict.Code, e.verdict.Reason, e.verdict.UnknownWord, e.document, []field{}}
	for _, trace := range e.traces {
		f := field{Member: trace.Field, Value: json.RawMessage(trace.Value), Tried: []source{}}
		for _, tried := range trace.Tried {
			f.Tried = append(f.Tried, source{tried.Source, tried.Line, tried.Outcome})
		}
		out.Fields = append(out.Fields, f)
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(out)
}
