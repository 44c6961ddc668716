package providers

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"pollux/normalize"
)

// Recording is a recorded answer and what was asked, as it stands in a file
// <provider>/<situation>.json. What must be made of it stands in a golden file
// beside it, see Outcome.
type Recording struct {
	Situation string `json:"situation"`
	// Expect is the word that must come of it: a status, a kind of problem,
	// "created" or "accepted"; "" asks for nothing.
	Expect string `json:"expect"`
	// Task is the reference that was asked for. Without it, it is the task that
	// the answer names.
	Task string `json:"task"`
	// Request is the create that was answered; nil for a poll, and for a cancel,
	// whose situation starts with "cancel_".
	Request *RecordedRequest `json:"request"`
	RecordedAnswer
	Result *RecordedAnswer `json:"result"` // to the request for the task's result
}

// RecordedAnswer is one answer. A body that is a JSON string was text.
type RecordedAnswer struct {
	HTTPStatus int               `json:"http_status"` // 0: 200
	Headers    map[string]string `json:"headers"`
	Body       json.RawMessage   `json:"body"`
}

// RecordedRequest is a create, its path relative to the base URL.
type RecordedRequest struct {
	Method string          `json:"method"` // "": POST
	Path   string          `json:"path"`   // escaped
	Query  string          `json:"query"`
	Body   json.RawMessage `json:"body"`
}

// ParseRecording reads a recorded answer. What it does not know is left out:
// recordings carry notes for people.
func ParseRecording(data []byte) (*Recording, error) {
	r := &Recording{}
	err := json.Unmarshal(data, r)
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind) && kind.Field != "":
		return nil, fmt.Errorf("%s: a %s cannot stand here", kind.Field, kind.Value)
	case err != nil:
		return nil, fmt.Errorf("want a JSON object with http_status, headers and body: %w", err)
	}
	return r, nil
}

// Outcomes are the words that Outcome may sum a recording up with.
func Outcomes() []string {
	all := slices.AppendSeq([]string{"created", "accepted"}, maps.Keys(kinds))
	for _, status := range normalize.Statuses {
		all = append(all, string(status))
	}
	return all
}

// Answer is what was on the wire.
func (a *RecordedAnswer) Answer() Answer {
	answer := Answer{Code: a.HTTPStatus, Header: http.Header{}, Body: a.Body}
	if answer.Code == 0 {
		answer.Code = http.StatusOK
	}
	for name, value := range a.Headers {
		answer.Header.Set(name, value)
	}
	var text string
	if json.Unmarshal(a.Body, &text) == nil {
		answer.Body = []byte(text)
	}
	return answer
}

// reference is the task that the answer is about. samples are values of
// parameters that it does not name.
func (r *Recording) reference(p *Provider, samples map[string]string) (Reference, error) {
	if r.Task != "" {
		parser, err := NewParser(p, nil)
		if err != nil {
			return Reference{}, err
		}
		ref, err := parser.ParseString(r.Task)
		if err != nil {
			return Reference{}, fmt.Errorf("task: %w", err)
		}
		return ref, nil
	}
	ref := Reference{Values: make([]string, len(p.Params))}
	for i, param := range p.Params {
		if ref.Values[i] = samples[param.Name]; ref.Values[i] == "" && !param.Optional {
			ref.Values[i] = "sample-1"
		}
	}
	if id := firstID(p.IDs, nil, r.Answer().Body); id != "" {
		ref.Values[p.Params.Task()] = id
	}
	return ref, nil
}

// Outcome is what p makes of the recording: the value that its golden file
// holds, and the word that sums it up. Now is when it arrived, and when the
// document says that it last changed; samples are values of parameters that
// the recording does not name, by their names.
func (r *Recording) Outcome(p *Provider, samples map[string]string, now time.Time) (golden any, word string, err error) {
	if r.Request != nil {
		return r.created(p)
	}
	ref, err := r.reference(p, samples)
	if err != nil {
		return nil, "", err
	}
	answer := r.Answer()
	if p.Cancel != nil && strings.HasPrefix(r.Situation, "cancel_") {
		v := p.JudgeCancel(ref, answer.Code, answer.Header, answer.Body, now)
		if v.Kind == Answered {
			return goldenCancel{"accepted"}, "accepted", nil
		}
		return problemOf(v), v.Kind.String(), nil
	}
	var result *Answer
	if r.Result != nil {
		if !p.judge(ref, answer, nil, now, nil).WantsResult {
			return nil, "", errors.New("result: none would be asked for: the file has no result, or its when does not hold for this answer")
		}
		second := r.Result.Answer()
		result = &second
	}
	v := p.judge(ref, answer, result, now, nil)
	if v.Kind != Answered {
		return problemOf(v), v.Kind.String(), nil
	}
	p.ExpiresAt(&v, now)
	v.Task.Upstream, v.Task.Provider = p.Name, p.Name
	if v.Task.UpdatedAt.IsZero() {
		v.Task.UpdatedAt = now
	}
	return goldenDocument{v.Task.AppendJSON(nil), v.Settled, v.UnknownWord}, string(v.Task.Status), nil
}

func (r *Recording) created(p *Provider) (golden any, word string, err error) {
	parser, err := NewParser(p, nil)
	if err != nil {
		return nil, "", err
	}
	method := cmp.Or(r.Request.Method, http.MethodPost)
	path := []byte(r.Request.Path)
	c := parser.Create([]byte(method), path)
	if c == nil {
		return nil, "", fmt.Errorf("%s %s is no create of %s", method, r.Request.Path, p.Name)
	}
	answer := r.Answer()
	ref, ok := parser.Created(c, path, []byte(r.Request.Query), r.Request.Body, answer.Header, answer.Body)
	if !ok {
		return nil, "", errors.New("the answer to the create names no task that could be polled")
	}
	return goldenCreate{c.Request.String(), parser.Format(ref), c.Continues}, "created", nil
}

// Golden files hold one of these.
type (
	goldenDocument struct {
		Document    json.RawMessage `json:"document"`
		Settled     bool            `json:"settled,omitempty"`
		UnknownWord bool            `json:"unknown_word,omitempty"`
	}
	goldenProblem struct {
		Problem     string `json:"problem"`
		Status      int    `json:"status,omitempty"`
		Code        string `json:"code,omitempty"`
		Reason      string `json:"reason"`
		RetryAfter  string `json:"retry_after,omitempty"`
		ServerFault bool   `json:"server_fault"`
	}
	goldenCreate struct {
		Create    string `json:"create"`
		Task      string `json:"task"`
		Continues string `json:"continues,omitempty"`
	}
	goldenCancel struct {
		Cancel string `json:"cancel"`
	}
)

func problemOf(v Verdict) goldenProblem {
	g := goldenProblem{Problem: v.Kind.String(), Status: v.Status, Code: v.Code, Reason: v.Reason, ServerFault: v.ServerFault}
	if v.RetryAfter > 0 {
		g.RetryAfter = v.RetryAfter.String()
	}
	return g
}

// String is what problems call the kind; "answered" for a document.
func (k Kind) String() string {
	for word, kind := range kinds {
		if kind == k {
			return word
		}
	}
	return "answered"
}
