package tasks

import (
	"context"
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"pollux/proxy/access"
	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

// ServeTask answers GET and HEAD of a task.
func (s *Service) ServeTask(x *access.Request) {
	var o options
	t, part, denied := x.Identify(access.ScopeRead, o.take)
	if denied != nil {
		x.Deny(denied)
		return
	}
	d := x.Directives()
	if x.WantsStream() {
		s.serveStream(x, t, part, o, d)
		return
	}
	if wait := waitWanted(x, o); wait > 0 && !d.OnlyIfCached {
		s.serveWait(x, t, part, o, d, wait)
		return
	}
	if !d.NoCache || d.OnlyIfCached {
		if a, ok := s.engine.Cached(t.Upstream, part, &x.Key, x.Now); ok {
			if o == (options{}) {
				x.Remember(t, part)
			}
			s.answer(x, t, part, o, &a)
			return
		}
	}
	s.poll(x, t, part, o, d)
}

// ServeAgain answers a request that its connection had before, byte for byte but
// for the task, if memory can answer it, and reports whether it did. Whether the
// partition may see what is stored is asked every time.
func (s *Service) ServeAgain(x *access.Request) bool {
	t, part := x.Recall()
	if t == nil {
		return false
	}
	a, ok := s.engine.Cached(t.Upstream, part, &x.Key, x.Now)
	if ok {
		x.Remember(t, part)
		s.answer(x, t, part, options{}, &a)
	}
	return ok
}

// poll is the rare half of serveTask.
func (s *Service) poll(x *access.Request, t *access.Upstream, part *upstream.Partition, o options, d wire.Directives) {
	r := x.PollRequest(t, part, d)
	a := s.engine.Poll(context.Background(), r)
	x.Now = time.Now()
	s.answer(x, t, part, o, &a)
}

// ServeForget answers DELETE: the task is forgotten in the caller's partition.
func (s *Service) ServeForget(x *access.Request) {
	t, _, denied := x.Identify(access.ScopePurge, nil)
	if denied != nil {
		x.Deny(denied)
		return
	}
	if err := s.engine.Forget(&x.Key); err != nil {
		s.log.Warn("a task could not be forgotten", "upstream", t.Name, "err", err)
		x.Problem(&problem.Problem{Type: problem.Overloaded, Status: 503, Upstream: t.Name, RetryAfter: time.Second,
			Detail: "the store did not confirm that the task was removed"})
		return
	}
	x.Ctx.SetStatusCode(fasthttp.StatusNoContent)
}

// ServeCancel answers POST {id}:cancel with 202 once the upstream has accepted:
// how the task ends is for the next poll to say.
func (s *Service) ServeCancel(x *access.Request) {
	if !x.SkipBody() {
		return
	}
	t, part, denied := x.Identify(access.ScopeSubmit, nil)
	if denied != nil {
		x.Deny(denied)
		return
	}
	switch p := s.cancel(s.life.Polls, t, x.PollRequest(t, part, wire.Directives{})); {
	case p == nil:
		x.Ctx.SetStatusCode(fasthttp.StatusAccepted)
		x.SetHeader(wire.HeaderCacheControl, wire.NoStore)
	case p == problemCannotCancel:
		x.MethodNotAllowed("GET, HEAD, DELETE, OPTIONS")
	default:
		x.Unauthorized(p, t.Challenge)
	}
}

var problemCannotCancel = &problem.Problem{Type: problem.AboutBlank, Status: fasthttp.StatusMethodNotAllowed,
	Detail: "the upstream's API has no request that cancels a task"}

// cancel asks the upstream to cancel. It returns nil once it has accepted.
func (s *Service) cancel(ctx context.Context, t *access.Upstream, r poller.Request) *problem.Problem {
	err := s.engine.Cancel(ctx, r)
	var p *problem.Problem
	switch {
	case err == nil:
		return nil
	case errors.Is(err, poller.ErrCannotCancel):
		return problemCannotCancel
	case errors.As(err, &p):
		return p
	case errors.Is(err, context.Canceled):
		return &problem.Problem{Type: problem.Overloaded, Status: 503, Upstream: t.Name, RetryAfter: time.Second, Detail: "shutting down"}
	}
	s.log.Warn("a cancel request failed", "upstream", t.Name, "err", err)
	return &problem.Problem{Type: problem.UpstreamError, Status: 502, Upstream: t.Name, Detail: "the cancel request failed"}
}
