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

	"pollux/cmd/pollux/config"
	"pollux/cmd/pollux/console"
	"pollux/normalize"
	"pollux/providers"
	"pollux/providers/format"
	"pollux/providers/strictyaml"
)

func explainCommand(_ context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("explain", `Shows what Pollux makes of an upstream's answer to a status poll: the task
document, and where each of its members came from. The body is a file, or - for
the standard input. Exits 1 if an answer with a document's code is no usable one.`,
		"pollux explain shannon answer.json",
		"pollux explain --status 202 --header 'Retry-After: 5' fal answer.json",
		"pollux explain --result result.json fal answer.json  # with the answer to the second request",
		"curl -s $URL | pollux explain orq -  # what is this answer?",
		"pollux explain --json openai answer.json")
	file := configFlag(fs)
	dir := fs.String("provider-dir", "", "`directory` of your own provider files, instead of the config's")
	id := fs.String("id", "", "the task's `id`, as it was asked for; taken from the body without it")
	status := fs.Int("status", http.StatusOK, "HTTP status of the answer")
	resultFile := fs.String("result", "", "`file` with the answer to the request for the task's result")
	resultStatus := fs.Int("result-status", http.StatusOK, "HTTP status of that answer")
	asJSON := fs.Bool("json", false, "print one JSON object")
	header := http.Header{}
	fs.Func("header", "a header of the answer, as `'Name: value'`; may be repeated", func(s string) error {
		name, value, ok := strings.Cut(s, ":")
		if !ok || name == "" {
			return errors.New("want 'Name: value'")
		}
		header.Add(name, strings.TrimSpace(value))
		return nil
	})
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
	for name, code := range map[string]int{"--status": *status, "--result-status": *resultStatus} {
		if code < 100 || code > 599 {
			return t.Misused(fs, "%s is from 100 to 599", name)
		}
	}
	provider, err := explainedProvider(t, *file, *dir, rest[0])
	if err != nil {
		return t.Fail("explain", err)
	}
	body, err := t.Read(rest[1])
	if err != nil {
		return t.Fail("explain", err)
	}
	first := providers.Answer{Code: *status, Header: header, Body: body}
	result, err := explainedResult(t, provider, *resultFile, *resultStatus)
	if err != nil {
		return t.Fail("explain", err)
	}
	reference, err := explainedReference(provider, *id, params, first)
	if err != nil {
		return t.Fail("explain", err)
	}
	e := explain(provider, reference, first, result)
	if *asJSON {
		err = e.writeJSON(t.Stdout)
	} else {
		err = e.writeText(t.Stdout)
	}
	switch {
	case err != nil:
		return t.Fail("explain", err)
	case provider.IsDocument(*status) && e.verdict.Kind != providers.Answered:
		return exitFailure
	}
	return exitOK
}

// explainedProvider finds a provider among the built-in ones and the user's
// own. Of the config only provider_dir matters, whatever else is wrong with it.
func explainedProvider(t *console.Terminal, file, dir, name string) (*providers.Provider, error) {
	l, _, err := config.Providers(file, dir, t.Env)
	if err != nil {
		return nil, err
	}
	if p := l.Get(name); p != nil {
		return p, nil
	}
	known := l.Names()
	if near := strictyaml.Suggest(name, known); near != "" {
		return nil, fmt.Errorf("there is no provider %q: did you mean %q?", name, near)
	}
	return nil, fmt.Errorf("there is no provider %q, there are %s", name, strings.Join(known, ", "))
}

// explainedResult is the answer to the request for a result, nil without one.
func explainedResult(t *console.Terminal, p *providers.Provider, file string, status int) (*providers.Answer, error) {
	if file == "" {
		return nil, nil
	}
	if p.Result == nil {
		return nil, fmt.Errorf("--result: provider %s has no result: what its task came to is in the answer to its poll", p.Name)
	}
	body, err := t.Read(file)
	if err != nil {
		return nil, err
	}
	return &providers.Answer{Code: status, Header: http.Header{}, Body: body}, nil
}

// explainedReference is what was asked for. Parameters that nobody named stay
// empty; the id is then what the body says.
func explainedReference(p *providers.Provider, id string, params map[string]string, first providers.Answer) (providers.Reference, error) {
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
		if _, verdict := p.Explain(r, first, nil, time.Now()); verdict.Kind == providers.Answered {
			id = verdict.Task.ID
		}
	}
	r.Values[task] = id
	return r, nil
}

// explanation is what became of one answer.
type explanation struct {
	provider *providers.Provider
	code     int
	verdict  providers.Verdict
	document json.RawMessage // nil if it is no answer
	traces   []normalize.FieldTrace
	fetched  bool               // the result's answer is known
	result   *providers.Verdict // about the result's answer, if it is none
	unasked  bool               // there is one though the answer wants none
}

func explain(p *providers.Provider, r providers.Reference, first providers.Answer, result *providers.Answer) explanation {
	now := time.Now().UTC().Truncate(time.Second)
	e := explanation{provider: p, code: first.Code, fetched: result != nil}
	e.traces, e.verdict = p.Explain(r, first, nil, now)
	if e.unasked = result != nil && !e.verdict.WantsResult; result != nil && e.verdict.WantsResult {
		if traces, v := p.Explain(r, first, result, now); v.Kind == providers.Answered {
			e.traces, e.verdict = traces, v
		} else {
			e.result = &v
		}
	}
	if e.verdict.Kind != providers.Answered {
		e.traces = nil
		return e
	}
	if e.verdict.Task.Status.Terminal() {
		p.ExpiresAt(&e.verdict, now)
	}
	task := e.verdict.Task
	task.Upstream, task.Provider = p.Name, p.Name
	if task.UpdatedAt.IsZero() {
		task.UpdatedAt = now
	}
	e.document = task.AppendJSON(nil)
	return e
}

// remarks are what a reader of the table has to know beside it.
func (e *explanation) remarks() (all []string) {
	switch v := e.verdict; {
	case v.Kind != providers.Answered:
	case v.UnknownWord && v.Task.Status == normalize.Unknown:
		all = append(all, "The native status is not in the provider file, so the task counts as unknown.")
	case v.UnknownWord:
		all = append(all, "The native status is not in the provider file; what the task counts as comes from a rule.")
	}
	switch {
	case e.verdict.Kind != providers.Answered:
	case e.unasked:
		all = append(all, "The result is left out: result.when does not hold for this answer, so Pollux would not ask for one.")
	case e.result != nil:
		all = append(all, fmt.Sprintf("The answer for the result is none (%s: %s): Pollux would ask again after 2, 10 and 60 s, and then keep the document without it.", e.result.Kind.String(), e.result.Reason))
	case e.verdict.WantsResult && !e.fetched:
		all = append(all, "Its result is a request of its own: "+e.resultAt()+". Give the answer to that with --result.")
	}
	return all
}

// resultAt says where the result would be asked for.
func (e *explanation) resultAt() string {
	link := e.verdict.ResultLink
	switch request := e.provider.Result.Request; {
	case request != nil:
		return request.String()
	case link == "":
		return "nowhere, since the answer has no link to it"
	}
	base, err := format.ParseBaseURL(e.provider.BaseURL)
	if err != nil {
		return link
	}
	if _, _, err := e.provider.ResultRequest(context.Background(), base, providers.Reference{}, e.verdict, providers.Credential{}); err != nil {
		return link + ", which is not followed, since its host is neither that of " + base.String() + " nor listed in hosts"
	}
	return link
}

// codeMeaning says in words what an answer with a code is.
func codeMeaning(m providers.CodeMeaning) string {
	switch {
	case m.Document && m.Status != "":
		return "a document: " + string(m.Status) + ", whatever its word"
	case m.Document:
		return "a document"
	}
	return m.Kind.String()
}

func (e *explanation) writeText(w io.Writer) error {
	if e.document == nil {
		fmt.Fprintf(w, "no document: %s", e.verdict.Kind.String())
		if e.verdict.Code != "" {
			fmt.Fprintf(w, " (%s)", e.verdict.Code)
		}
		if e.verdict.Reason != "" {
			fmt.Fprintf(w, ": %s", e.verdict.Reason)
		}
		fmt.Fprint(w, "\n\n")
		return e.writeCodes(w)
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
	fmt.Fprintln(w)
	for _, remark := range e.remarks() {
		fmt.Fprintf(w, "%s\n\n", remark)
	}
	return e.writeCodes(w)
}

// writeCodes says what each code is, the one at hand first.
func (e *explanation) writeCodes(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CODE\tMEANS")
	for _, m := range e.provider.Codes() {
		here := ""
		if m.Code == e.code {
			here = "  (this answer)"
		}
		fmt.Fprintf(table, "%d\t%s%s\n", m.Code, codeMeaning(m), here)
	}
	return table.Flush()
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
	type codeRow struct {
		Code     int    `json:"code"`
		Document bool   `json:"document"`
		Means    string `json:"means"`
	}
	out := struct {
		Verdict     string          `json:"verdict"`
		Code        string          `json:"code,omitempty"`
		Reason      string          `json:"reason,omitempty"`
		UnknownWord bool            `json:"unknown_word"`
		Document    json.RawMessage `json:"document"`
		Fields      []field         `json:"fields"`
		Codes       []codeRow       `json:"codes"`
		Remarks     []string        `json:"remarks"`
	}{e.verdict.Kind.String(), e.verdict.Code, e.verdict.Reason, e.verdict.UnknownWord, e.document, []field{}, []codeRow{}, append([]string{}, e.remarks()...)}
	for _, trace := range e.traces {
		f := field{Member: trace.Field, Value: json.RawMessage(trace.Value), Tried: []source{}}
		for _, tried := range trace.Tried {
			f.Tried = append(f.Tried, source{tried.Source, tried.Line, tried.Outcome})
		}
		out.Fields = append(out.Fields, f)
	}
	for _, m := range e.provider.Codes() {
		out.Codes = append(out.Codes, codeRow{m.Code, m.Document, codeMeaning(m)})
	}
	return writeJSON(w, out)
}
