package proxy

import (
	"context"
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"pollux/proxy/poller"
	"pollux/proxy/problem"
)

// serveTask answers GET and HEAD of a task.
func (s *taskService) serveTask(x *request) {
	var o options
	t, part, denied := x.identify(ScopeRead, o.take)
	if denied != nil {
		x.deny(denied)
		return
	}
	d := readDirectives(x.ctx.Request.Header.PeekCanonical(headerCacheControl))
	if x.wantsStream() {
		s.serveStream(x, t, part, o, d)
		return
	}
	if wait := waitWanted(x, o); wait > 0 && !d.onlyIfCached {
		s.serveWait(x, t, part, o, d, wait)
		return
	}
	if !d.noCache || d.onlyIfCached {
		if a, ok := s.engine.Cached(t.Upstream, part, &x.key, x.now); ok {
			s.answer(x, t, part, o, &a)
			return
		}
	}
	s.poll(x, t, part, o, d)
}

// poll is the rare half of serveTask.
func (s *taskService) poll(x *request, t *target, part *poller.Partition, o options, d directives) {
	r := x.poll(t, part)
	r.NoCache, r.OnlyIfCached = d.noCache, d.onlyIfCached
	a := s.engine.Poll(s.life.polls, r)
	x.now = time.Now()
	s.answer(x, t, part, o, &a)
}

// serveForget answers DELETE: the task is forgotten in the caller's partition.
func (s *taskService) serveForget(x *request) {
	t, _, denied := x.identify(ScopePurge, nil)
	if denied != nil {
		x.deny(denied)
		return
	}
	if err := s.engine.Forget(&x.key); err != nil {
		s.log.Warn("a task could not be forgotten", "upstream", t.Name, "err", err)
		x.problem(&problem.Problem{Type: problem.Overloaded, Status: 503, Upstream: t.Name, RetryAfter: time.Second,
			Detail: "the store did not confirm that the task was removed"})
		return
	}
	x.ctx.SetStatusCode(fasthttp.StatusNoContent)
}

// serveCancel answers POST {id}:cancel with 202 once the upstream has accepted:
// how the task ends is for the next poll to say.
func (s *taskService) serveCancel(x *request) {
	if x.hasBody() { // of no use, but what follows it on the connection is
		if _, refused := x.readBody(); refused != nil {
			x.refuse(refused)
			return
		}
	}
	t, part, denied := x.identify(ScopeSubmit, nil)
	if denied != nil {
		x.deny(denied)
		return
	}
	err := s.engine.Cancel(s.life.polls, x.poll(t, part))
	var p *problem.Problem
	switch {
	case err == nil:
		x.ctx.SetStatusCode(fasthttp.StatusAccepted)
		x.setHeader(headerCacheControl, noStore)
	case errors.Is(err, poller.ErrCannotCancel):
		x.methodNotAllowed("GET, HEAD, DELETE, OPTIONS")
	case errors.As(err, &p):
		x.unauthorized(p, t.challenge)
	case errors.Is(err, context.Canceled):
		x.problem(&problem.Problem{Type: problem.Overloaded, Status: 503, Upstream: t.Name, RetryAfter: time.Second, Detail: "shutting down"})
	default:
		s.log.Warn("a cancel request failed", "upstream", t.Name, "err", err)
		x.problem(&problem.Problem{Type: problem.UpstreamError, Status: 502, Upstream: t.Name, Detail: "the cancel request failed"})
	}
}
