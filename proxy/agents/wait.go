package agents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"pollux/cache"
	"pollux/proxy/follow"
)

const (
	maxTasks    = 100
	defaultWait = 25 * time.Second // below the 30 s after which many hosts give up
	// progressEvery is how often a wait says that it goes on, so that hosts
	// which count from the last word do not give up.
	progressEvery = 5 * time.Second
)

type waitArguments struct {
	Tasks         []string `json:"tasks"`
	Until         string   `json:"until"`
	Timeout       *whole   `json:"timeout_seconds"`
	IncludeOutput bool     `json:"include_output"`
}

// check says what is wrong with the arguments, and how long to wait.
func (a *waitArguments) check(limit time.Duration) (time.Duration, error) {
	switch {
	case len(a.Tasks) == 0:
		return 0, errors.New("tasks wants 1 to 100 references, as in \"openai/resp_123\"")
	case len(a.Tasks) > maxTasks:
		return 0, fmt.Errorf("tasks has %d references, and %d are the most; wait for them in several calls", len(a.Tasks), maxTasks)
	case a.Until != "" && a.Until != "all" && a.Until != "any":
		return 0, errors.New("until wants \"all\" or \"any\"")
	case a.Timeout != nil && *a.Timeout < 0:
		return 0, errors.New("timeout_seconds wants a whole number, 0 or more")
	case a.Timeout == nil:
		return min(defaultWait, limit), nil
	case int(*a.Timeout) > int(limit/time.Second):
		return limit, nil
	}
	return time.Duration(*a.Timeout) * time.Second, nil
}

func (c *Call) waitForTasks(ctx context.Context, notify func([]byte)) (toolResult, error) {
	var a waitArguments
	if err := c.arguments(&a); err != nil {
		return toolResult{}, err
	}
	wait, err := a.check(c.request.MaxWait)
	if err != nil {
		return toolResult{}, err
	}
	if len(a.Tasks) == 1 && c.handles() {
		return c.handOut(ctx, a.Tasks[0], a.IncludeOutput), nil
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	told := c.teller(wait, notify)
	defer told.stop()
	answers := c.request.Tasks.Wait(ctx, a.Tasks, func(answers []follow.Answer) bool {
		told.update(answers)
		return done(answers, a.Until == "any") || c.request.left()
	})
	return c.waited(a, answers), nil
}

// waited is the result of a wait.
func (c *Call) waited(a waitArguments, answers []follow.Answer) toolResult {
	r := toolResult{failed: true}
	results := make([]any, len(answers))
	var text strings.Builder
	for i := range answers {
		ref, answer := a.Tasks[i], &answers[i]
		if p := answer.Problem; p != nil {
			results[i] = taskProblem{Task: ref, Problem: c.request.Tasks.Explain(p)}
			fmt.Fprintf(&text, "%s: problem: %s\n", ref, p.Detail)
			continue
		}
		r.failed = false
		results[i] = c.state(ref, answer, a.IncludeOutput, &text)
	}
	finished := done(answers, a.Until == "any")
	if !finished {
		text.WriteString("Call wait_for_tasks again.")
	}
	r.structured = map[string]any{"results": results, "done": finished}
	r.text = strings.TrimSuffix(text.String(), "\n")
	return r
}

// done reports whether a wait has what it was for.
func done(answers []follow.Answer, any bool) bool {
	return follow.Enough(len(answers), any, func(i int) (open, problem bool) {
		a := &answers[i]
		problem = a.Problem != nil
		return problem && a.Unconfirmed || !problem && !follow.Over(a.Entry), problem
	})
}

// taskState is the state of one task: small, since a model pays for each byte.
type taskState struct {
	Task      string          `json:"task"`
	Status    string          `json:"status"`
	Terminal  bool            `json:"terminal"`
	Progress  json.RawMessage `json:"progress"`
	Error     json.RawMessage `json:"error"`
	PollAfter *int64          `json:"poll_after_seconds"`
	Required  json.RawMessage `json:"required_action,omitempty"`
	Output    *page           `json:"output,omitempty"`
}

type taskProblem struct {
	Task    string          `json:"task"`
	Problem json.RawMessage `json:"problem"`
}

// state is the state of a task, and a line of text about it.
func (c *Call) state(ref string, a *follow.Answer, output bool, text *strings.Builder) *taskState {
	e := a.Entry
	s := &taskState{Task: ref, Status: e.Status, Terminal: e.Terminal, Progress: known(e, "progress"), Error: failure(e)}
	fmt.Fprintf(text, "%s: %s%s\n", ref, e.Status, inWords(s))
	if !e.Terminal {
		seconds := max(1, int64((a.PollAfter+time.Second-1)/time.Second))
		s.PollAfter = &seconds
	}
	if action := gjson.GetBytes(e.Document, "required_action"); action.IsObject() {
		s.Required = json.RawMessage(action.Raw)
	}
	if output && e.Terminal {
		p, more := outputPage(e, "", 0)
		s.Output = &p
		fmt.Fprintf(text, "%s\n", p.Text)
		if p.Next != nil {
			fmt.Fprintf(text, "The output goes on: get_task with task %q, include_output and offset %d.%s\n", ref, *p.Next, more)
		}
	}
	return s
}

// known is the object at path without its null members, null if none is left.
func known(e *cache.Entry, path string) json.RawMessage {
	out := filtered(gjson.GetBytes(e.Document, path).Raw, func(_ string, value gjson.Result) bool { return value.Type != gjson.Null })
	if len(out) == len("{}") {
		return json.RawMessage("null")
	}
	return out
}

// maxMessage bounds the message of a task's error, in bytes.
const maxMessage = 1000

// failure is the task's error, its message cut where it is long.
func failure(e *cache.Entry) json.RawMessage {
	var out struct {
		Code    *string `json:"code"`
		Type    string  `json:"type"`
		Message string  `json:"message"`
	}
	raw := gjson.GetBytes(e.Document, "error").Raw
	if len(raw) <= maxMessage || json.Unmarshal([]byte(raw), &out) != nil {
		return json.RawMessage(raw)
	}
	out.Message = out.Message[:boundary(out.Message, maxMessage)]
	return mustJSON(out)
}

// inWords says what a line has room for beside the status.
func inWords(s *taskState) string {
	var words []string
	add := func(format, path string) {
		if v := gjson.GetBytes(s.Progress, path); v.Exists() {
			words = append(words, fmt.Sprintf(format, v.String()))
		}
	}
	add("%s %%", "percent")
	add("%s", "stage")
	add("%s steps done", "steps_completed")
	if m := gjson.GetBytes(s.Error, "message"); m.Exists() {
		text := m.String()
		words = append(words, text[:boundary(text, 200)])
	}
	if len(words) == 0 {
		return ""
	}
	return ", " + strings.Join(words, ", ")
}

// teller sends progress notifications while a wait goes on.
type teller struct {
	token  json.RawMessage
	start  time.Time
	wait   time.Duration
	notify func([]byte)
	last   time.Time
	words  string
}

// teller is what tells of a wait; with nobody to tell it does nothing.
func (c *Call) teller(wait time.Duration, notify func([]byte)) *teller {
	return &teller{token: c.progress, start: time.Now(), wait: wait, notify: notify}
}

func (t *teller) stop() { t.token = nil }

// update tells of a change, and otherwise, every few seconds, that the wait
// goes on. progress counts seconds: it must grow with every notification.
func (t *teller) update(answers []follow.Answer) {
	now := time.Now()
	words := summary(answers)
	if t.token == nil || words == t.words && now.Sub(t.last) < progressEvery {
		return
	}
	t.last, t.words = now, words
	t.notify(notification("notifications/progress", map[string]any{
		"progressToken": t.token, "progress": now.Sub(t.start).Seconds(), "total": t.wait.Seconds(), "message": words,
	}))
}

// summary is how far a wait has come, in a few words.
func summary(answers []follow.Answer) string {
	over, open := 0, ""
	for i := range answers {
		if a := &answers[i]; a.Problem != nil || follow.Over(a.Entry) {
			over++
		} else if open == "" {
			open = a.Entry.Ref + ": " + a.Entry.Status + inWords(&taskState{Progress: known(a.Entry, "progress")})
		}
	}
	text := fmt.Sprintf("%d of %d ended", over, len(answers))
	if open != "" {
		text += "; " + open
	}
	return text
}
