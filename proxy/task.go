package proxy

import (
	"context"
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"pollux/proxy/poller"
	"pollux/proxy/problem"
)

// identify finds out which task a request is about and who asks, and answers
// the request itself when that fails. It leaves the reference in x.view, the
// credential in x.caller, and both hashes in x.partition and x.key.
func (s *Server) identify(x *exchange, scope string) (*target, *poller.Partition) {
	h := &x.ctx.Request.Header
	t := x.settings.target(x.upstream)
	if p, challenge := x.settings.enter(h, scope, t); p != nil {
		x.unauthorized(p, challenge)
		return nil, nil
	}
	if t == nil {
		x.problem(problemNoUpstream)
		return nil, nil
	}
	x.caller.reset(t)
	rest, grown, p := splitQuery(x.facts.query, t, &x.caller, &x.options, x.query)
	x.query = grown
	if p == nil {
		if err := t.Parser.ParseURL(&x.view, x.rest, rest); err != nil {
			p = invalid(err.Error())
		}
	}
	if p != nil {
		x.problem(p)
		return nil, nil
	}
	if !t.Held {
		if x.caller.readHeaders(t, h); !x.caller.sufficient(t) {
			x.unauthorized(noCredential(t), t.challenge)
			return nil, nil
		}
	}
	x.caller.partition(s.secret, t, &x.partition)
	entryKey(s.secret, &x.partition, &x.view, &x.key)
	return t, s.engine.Partition(t.Upstream, &x.partition)
}

// request copies what a poll needs out of the exchange.
func (x *exchange) request(t *target, part *poller.Partition) poller.Request {
	return poller.Request{
		Upstream: t.Upstream, Partition: part, Key: x.key,
		Reference: x.view.Reference(), Credential: x.caller.credential(t), Traceparent: x.traceparent(),
	}
}

// serveTask answers GET and HEAD of a task.
func (s *Server) serveTask(x *exchange) {
	t, part := s.identify(x, ScopeRead)
	if t == nil {
		return
	}
	d := readDirectives(x.ctx.Request.Header.PeekCanonical(headerCacheControl))
	if x.wantsStream() {
		s.serveStream(x, t, part, d)
		return
	}
	if wait := x.waitWanted(); wait > 0 && !d.onlyIfCached {
		s.serveWait(x, t, part, d, wait)
		return
	}
	if !d.noCache || d.onlyIfCached {
		if a, ok := s.engine.Cached(t.Upstream, part, &x.key, x.now); ok {
			s.answer(x, t, part, &a)
			return
		}
	}
	s.poll(x, t, part, d)
}

// poll is the rare half of serveTask.
func (s *Server) poll(x *exchange, t *target, part *poller.Partition, d directives) {
	r := x.request(t, part)
	r.NoCache, r.OnlyIfCached = d.noCache, d.onlyIfCached
	a := s.engine.Poll(s.base, r)
	x.now = time.Now()
	s.answer(x, t, part, &a)
}

// serveForget answers DELETE: the task is forgotten in the caller's partition.
func (s *Server) serveForget(x *exchange) {
	t, _ := s.identify(x, ScopePurge)
	if t == nil {
		return
	}
	if err := s.engine.Forget(&x.key); err != nil {
		s.log.Warn("a task could not be forgotten", "upstream", t.Name, "err", err)
		x.problem(&problem.Problem{Type: problem.Overloaded, Status: 503, Upstream: t.Name, RetryAfter: retrySoon,
			Detail: "the store did not confirm that the task was removed"})
		return
	}
	x.ctx.SetStatusCode(fasthttp.StatusNoContent)
}

// serveCancel answers POST {id}:cancel with 202 once the upstream has accepted:
// how the task ends is for the next poll to say.
func (s *Server) serveCancel(x *exchange) {
	if x.hasBody() { // of no use, but what follows it on the connection is
		if _, refused := x.readBody(x.endpoint.bodyLimit); refused != nil {
			x.refuse(refused)
			return
		}
	}
	t, part := s.identify(x, ScopeSubmit)
	if t == nil {
		return
	}
	err := s.engine.Cancel(s.base, x.request(t, part))
	var p *problem.Problem
	switch {
	case err == nil:
		x.ctx.SetStatusCode(fasthttp.StatusAccepted)
		x.setHeader(headerCacheControl, noStore)
	case errors.Is(err, poller.ErrCannotCancel):
		x.methodNotAllowed(s.routes.task.allow)
	case errors.As(err, &p):
		x.unauthorized(p, t.challenge)
	case errors.Is(err, context.Canceled):
		x.problem(&problem.Problem{Type: problem.Overloaded, Status: 503, Upstream: t.Name, RetryAfter: retrySoon, Detail: "shutting down"})
	default:
		s.log.Warn("a cancel request failed", "upstream", t.Name, "err", err)
		x.problem(&problem.Problem{Type: problem.UpstreamError, Status: 502, Upstream: t.Name, Detail: "the cancel request failed"})
	}
}
