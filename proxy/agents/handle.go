package agents

import (
	"context"
	"strings"
	"time"

	"pollux/cache"
	"pollux/normalize"
	"pollux/proxy/follow"
)

// A handle of the Tasks extension is the reference itself, with withOutput
// behind it where the output was asked for: it needs no storage, every replica
// knows it, and it lives as long as the task does. The sign cannot be part of
// a reference, where it would be percent-encoded.
const withOutput = "#output"

// handOut answers a wait for one task with a handle, or with its problem.
func (c *Call) handOut(ctx context.Context, ref string, output bool) toolResult {
	a := c.look(ctx, ref)
	if a.Problem != nil && !passing(a) {
		return c.waited(waitArguments{Tasks: []string{ref}}, []follow.Answer{a})
	}
	id := ref
	if output {
		id += withOutput
	}
	handle := c.handle(id, ref, a)
	delete(handle, "result") // asked for by tasks/get
	handle["resultType"] = "task"
	return toolResult{handle: handle}
}

// look polls one task without waiting for it.
func (c *Call) look(ctx context.Context, ref string) follow.Answer {
	return c.request.Tasks.Wait(ctx, []string{ref}, func([]follow.Answer) bool { return true })[0]
}

// passing reports whether a problem is one that asking later may not meet.
func passing(a follow.Answer) bool {
	return a.Unconfirmed || a.Problem.Status == 429 || a.Problem.Status >= 500
}

// taskMethod answers tasks/get, tasks/update and tasks/cancel.
func (c *Call) taskMethod(ctx context.Context) (any, *rpcError) {
	if !c.handles() {
		return nil, &rpcError{Code: codeMissingCapability, Message: "missing required client capability",
			Data: map[string]any{"requiredCapabilities": map[string]any{"extensions": map[string]any{tasksExtension: struct{}{}}}}}
	}
	ref := strings.TrimSuffix(c.params.TaskID, withOutput)
	a := c.look(ctx, ref)
	if a.Problem != nil && !passing(a) && (a.Problem.Status == 400 || a.Problem.Status == 404) { // one that was known is 410 once it is lost
		return nil, &rpcError{Code: codeInvalidParams, Message: "there is no such task"}
	}
	if c.method != "tasks/get" {
		// Nothing is asked of the client, and what ends with a cancel is the
		// handle, which nobody keeps; the job at the upstream goes on.
		return c.complete(map[string]any{}), nil
	}
	return c.complete(c.handle(c.params.TaskID, ref, a)), nil
}

// handle is the state of a task as the extension has it.
func (c *Call) handle(id, ref string, a follow.Answer) map[string]any {
	h := map[string]any{"taskId": id, "ttlMs": nil}
	if a.Problem != nil {
		return c.troubled(h, a)
	}
	e := a.Entry
	h["createdAt"], h["lastUpdatedAt"] = timestamp(created(e)), timestamp(e.UpdatedAt)
	switch h["status"] = taskStatus(e); h["status"] {
	case "working":
		h["pollIntervalMs"] = max(a.PollAfter, time.Second).Milliseconds()
		h["statusMessage"] = summary([]follow.Answer{a})
		if e.Status == string(normalize.RequiresAction) {
			h["statusMessage"] = ref + " requires an action of its caller; get_task shows which"
		}
	case "completed":
		r := c.waited(waitArguments{Tasks: []string{ref}, IncludeOutput: strings.HasSuffix(id, withOutput)}, []follow.Answer{a})
		r.failed = e.Status != string(normalize.Completed)
		h["result"] = c.content(r)
	}
	return h
}

// troubled is a handle of a task of which nothing can be told now, or any more.
func (c *Call) troubled(h map[string]any, a follow.Answer) map[string]any {
	now := timestamp(time.Now())
	h["createdAt"], h["lastUpdatedAt"], h["statusMessage"] = now, now, a.Problem.Detail
	if passing(a) {
		h["status"], h["pollIntervalMs"] = "working", max(a.Problem.RetryAfter, time.Second).Milliseconds()
		return h
	}
	h["status"] = "failed"
	h["error"] = &rpcError{Code: codeInvalidParams, Message: a.Problem.Detail, Data: c.request.Tasks.Explain(a.Problem)}
	return h
}

// taskStatus is the status of a handle. A job that failed has completed: failed
// is for errors of the protocol only.
func taskStatus(e *cache.Entry) string {
	switch {
	case !e.Terminal:
		return "working"
	case e.Status == string(normalize.Cancelled):
		return "cancelled"
	}
	return "completed"
}

func created(e *cache.Entry) time.Time {
	if e.CreatedAt.IsZero() {
		return e.FirstSeen
	}
	return e.CreatedAt
}

// timestamp is a time to the microsecond, as documents have those that Pollux noted.
func timestamp(t time.Time) string {
	return t.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano)
}
