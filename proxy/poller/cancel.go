package poller

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"pollux/providers"
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
	req, err := u.Provider.CancelRequest(p.base, u.Base, r.Reference, u.credential(r.Credential))
	if err != nil {
		return &Problem{Type: InvalidRequest, Status: http.StatusBadRequest, Upstream: u.Name, Detail: "the cancel request cannot be built"}
	}
	res, err := u.fetch(ctx, req)
	p.Freshen(r) // the upstream may have acted even if its answer was lost
	if err != nil {
		return failureOf(u, err).problem
	}
	now := time.Now()
	v := u.Provider.Judge(r.Reference, res.code, res.header, res.body, now)
	switch {
	case u.Provider.Cancel.Accepted(res.code, res.body):
		return nil
	case v.Kind == providers.Unauthorized:
		r.Partition.suspend(p.store)
		return u.refusal(UnauthorizedProblem, v.Status, res.code, v.Reason)
	case v.Kind == providers.Forbidden:
		return u.refusal(ForbiddenProblem, v.Status, res.code, v.Reason)
	case v.Kind == providers.NotFound:
		return u.notFound
	case v.Kind == providers.RateLimited:
		return rateLimited(u, clampRetryAfter(v.RetryAfter), res.code, "the upstream's rate limit is used up").problem
	case v.Kind == providers.Rejected:
		return u.refusal(UpstreamRejected, v.Status, res.code, v.Reason)
	case slices.Contains([]int{http.StatusOK, http.StatusAccepted}, res.code):
		return u.refusal(UpstreamRejected, http.StatusConflict, res.code, "the upstream did not accept the cancellation")
	}
	return u.refusal(UpstreamError, http.StatusBadGateway, res.code, "the upstream did not accept the cancellation")
}

func (u *Upstream) refusal(kind ProblemType, status, upstreamStatus int, detail string) *Problem {
	return &Problem{Type: kind, Status: status, Upstream: u.Name, UpstreamStatus: upstreamStatus, Detail: detail}
}

// Error says what kind of problem it is.
func (p *Problem) Error() string { return string(p.Type) + ": " + p.Detail }
