package poller

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"pollux/cache"
	"pollux/providers"
)

// failure is a poll that failed: what to say if nothing can be served, and
// why an old answer was served otherwise.
type failure struct {
	problem *Problem
	detail  Detail
	asked   bool // the upstream was asked, or tried
	raw     *Raw
}

func rateLimited(u *Upstream, wait time.Duration, upstreamStatus int, detail string) *failure {
	return &failure{detail: DetailRateLimited, problem: &Problem{
		Type: RateLimited, Status: http.StatusTooManyRequests, Upstream: u.Name, UpstreamStatus: upstreamStatus,
		RetryAfter: wait, Detail: detail,
	}}
}

// failureOf explains why a poll has no answer of the upstream.
func failureOf(u *Upstream, err error) failure {
	var open *openError
	var busy *busyError
	var fetch *fetchError
	problem := &Problem{Upstream: u.Name}
	switch {
	case errors.As(err, &open):
		problem.Type, problem.Status = UpstreamUnavailable, http.StatusServiceUnavailable
		problem.RetryAfter = max(time.Second, open.retryAfter)
		problem.Detail = "the upstream fails, and is left alone for a while"
		return failure{problem: problem, detail: DetailBreakerOpen}
	case errors.As(err, &busy):
		problem.Type, problem.Status, problem.RetryAfter = Overloaded, http.StatusServiceUnavailable, time.Second
		problem.Detail = fmt.Sprintf("%d upstream polls are under way (max_in_flight)", u.Config.MaxInFlight)
		return failure{problem: problem, detail: DetailOverloaded}
	case errors.As(err, &fetch) && fetch.timeout:
		problem.Type, problem.Status = UpstreamTimeout, http.StatusGatewayTimeout
		problem.Detail = fmt.Sprintf("%s (timeout: %v)", fetch.reason, u.Config.Timeout)
	case errors.As(err, &fetch):
		problem.Type, problem.Status, problem.Detail = UpstreamError, http.StatusBadGateway, fetch.reason
	default:
		problem.Type, problem.Status, problem.Detail = UpstreamError, http.StatusBadGateway, "the poll failed"
	}
	return failure{problem: problem, detail: DetailStaleIfError, asked: true}
}

// failureByVerdict explains an answer of the upstream that makes the poll fail.
func failureByVerdict(u *Upstream, res *response, v providers.Verdict) failure {
	problem := &Problem{Upstream: u.Name, UpstreamStatus: res.code, Detail: v.Reason}
	if v.RetryAfter > 0 {
		problem.RetryAfter = clampRetryAfter(v.RetryAfter)
	}
	switch v.Kind {
	case providers.TooSlow:
		problem.Type, problem.Status = UpstreamTimeout, http.StatusGatewayTimeout
	default:
		problem.Type, problem.Status = UpstreamError, http.StatusBadGateway
	}
	return failure{problem: problem, detail: DetailStaleIfError, asked: true, raw: rawOf(res)}
}

// fallBack ends a flight whose poll failed: with what is stored, if its age
// and the partition allow, else with the problem. What is known is never
// overwritten by a failure.
func (p *Poller) fallBack(f *flight, r Request, known *cache.Entry, failed failure) outcome {
	u, now := r.Upstream, time.Now()
	out := outcome{forwarded: failed.asked, Answer: Answer{Raw: failed.raw, Problem: failed.problem}}
	if failed.asked {
		u.stats.failedWith(failed.problem, now)
		out.Cache.Forward, out.Cache.FwdStatus = forward(known, r, now), failed.problem.UpstreamStatus
	} else {
		out.Cache.Detail = failed.detail
	}
	if known == nil || known.Missing || !r.Partition.excused(u, now) {
		return out
	}
	if known.Settling && (r.settle || !known.Fresh(now)) { // also when a pause or a breaker kept it from being asked
		known = p.settleWithout(f, r, known)
	}
	stale := now.Sub(known.FreshUntil)
	if !known.Terminal && stale > u.Config.StaleIfError {
		return out
	}
	out.Entry, out.Problem = known, nil
	out.Cache.Detail = failed.detail
	if !failed.asked {
		out.Cache.Forward, out.Cache.HasTTL, out.Cache.TTL = Hit, !known.Frozen, -stale
	}
	return out
}
