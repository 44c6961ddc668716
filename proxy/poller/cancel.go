package poller

import (
	"context"
	"errors"
	"net/http"
	"time"

	"pollux/providers"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
)

// ErrCannotCancel is returned by Cancel for a provider that knows no cancel request.
var ErrCannotCancel = errors.New("the provider cannot cancel a task")

// Cancel asks the upstream once to cancel the task, and makes the next poll ask
// again. It returns nil when the upstream accepted, ErrCannotCancel, or a
// *Problem. It is never repeated.
func (p *Poller) Cancel(ctx context.Context, r Request) error {
	u := r.Upstream
	if u.Provider.Cancel == nil {
		return ErrCannotCancel
	}
	if u.Provider.Cancel.DeletesEnded && p.ended(r) {
		return &problem.Problem{Type: problem.UpstreamRejected, Status: http.StatusConflict, Upstream: u.Name,
			Detail: "the task has ended, and what cancels a running one would delete it"}
	}
	ctx, cancel := context.WithTimeout(ctx, u.Config.Timeout)
	defer cancel()
	credential, err := u.Authorize(ctx, r.Credential)
	if err != nil {
		return err
	}
	req, err := u.Provider.CancelRequest(ctx, u.Base, r.Reference, credential)
	if err != nil {
		return &problem.Problem{Type: problem.InvalidRequest, Status: http.StatusBadRequest, Upstream: u.Name, Detail: "the cancel request cannot be built"}
	}
	r.trace(req.Header)
	res, v, err := u.Fetch(r.Partition, req, func(res *upstream.Response) providers.Verdict {
		return u.Provider.JudgeCancel(r.Reference, res.Code, res.Header, res.Body, time.Now())
	})
	p.Freshen(r, u.Provider.Cancel.Request.Method) // the upstream may have acted even if its answer was lost
	if err != nil {
		return failureOf(u, err).problem
	}
	switch v.Kind {
	case providers.Answered:
		return nil
	case providers.Unauthorized:
		why := u.Refusal(problem.Unauthorized, v, res.Code)
		if !u.Renews(credential) {
			p.suspend(u, r.Partition, why)
		}
		return why
	case providers.Forbidden:
		return u.Refusal(problem.Forbidden, v, res.Code)
	case providers.NotFound:
		return u.NotFound
	case providers.Rejected:
		return u.Refusal(problem.UpstreamRejected, v, res.Code)
	case providers.RateLimited:
		return rateLimited(u, upstream.ClampRetryAfter(v.RetryAfter), res.Code, "the upstream's rate limit is used up").problem
	}
	return failureByVerdict(u, res, v).problem
}

// ended reports whether a task is known to have ended, as far as r may know.
func (p *Poller) ended(r Request) bool {
	rec := p.records.pin(&r.Key)
	defer p.records.unpin(rec)
	e := p.known(rec, r)
	return e != nil && e.Terminal && r.Partition.Authorized(r.Upstream, time.Now())
}
