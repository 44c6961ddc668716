package poller

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/problem"
)

// failure is a poll that failed: what to say if nothing can be served, and
// why an old answer was served otherwise.
type failure struct {
	problem *problem.Problem
	detail  problem.Detail
	asked   bool // the upstream was asked, or tried
	raw     *Raw
}

func rateLimited(u *Upstream, wait time.Duration, upstreamStatus int, detail string) *failure {
	return &failure{detail: problem.DetailRateLimited, problem: &problem.Problem{
		Type: problem.RateLimited, Status: http.StatusTooManyRequests, Upstream: u.Name, UpstreamStatus: upstreamStatus,
		RetryAfter: wait, Detail: detail,
	}}
}

// failureOf explains why a poll has no answer of the upstream.
func failureOf(u *Upstream, err error) failure {
	var open *openError
	var busy *busyError
	var fetch *fetchError
	why := &problem.Problem{Upstream: u.Name}
	switch {
	case errors.As(err, &open):
		why.Type, why.Status = problem.UpstreamUnavailable, http.StatusServiceUnavailable
		why.RetryAfter = max(time.Second, open.retryAfter)
		why.Detail = "the upstream fails, and is left alone for a while"
		return failure{problem: why, detail: problem.DetailBreakerOpen}
	case errors.As(err, &busy):
		why.Type, why.Status, why.RetryAfter = problem.Overloaded, http.StatusServiceUnavailable, time.Second
		why.Detail = fmt.Sprintf("%d upstream polls are under way (max_in_flight)", u.Config.MaxInFlight)
		return failure{problem: why, detail: problem.DetailOverloaded}
	case errors.As(err, &fetch) && fetch.timeout:
		why.Type, why.Status = problem.UpstreamTimeout, http.StatusGatewayTimeout
		why.Detail = fmt.Sprintf("%s (timeout: %v)", fetch.reason, u.Config.Timeout)
	case errors.As(err, &fetch):
		why.Type, why.Status, why.Detail = problem.UpstreamError, http.StatusBadGateway, fetch.reason
	default:
		why.Type, why.Status, why.Detail = problem.UpstreamError, http.StatusBadGateway, "the poll failed"
	}
	return failure{problem: why, detail: problem.DetailStaleIfError, asked: true}
}

// failureByVerdict explains an answer of the upstream that makes the poll fail.
func failureByVerdict(u *Upstream, res *response, v providers.Verdict) failure {
	why := &problem.Problem{Upstream: u.Name, UpstreamStatus: res.code, Detail: v.Reason}
	if v.RetryAfter > 0 {
		why.RetryAfter = clampRetryAfter(v.RetryAfter)
	}
	switch v.Kind {
	case providers.TooSlow:
		why.Type, why.Status = problem.UpstreamTimeout, http.StatusGatewayTimeout
	default:
		why.Type, why.Status = problem.UpstreamError, http.StatusBadGateway
	}
	return failure{problem: why, detail: problem.DetailStaleIfError, asked: true, raw: rawOf(res, v)}
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
		out.Cache.Forward, out.Cache.HasTTL, out.Cache.TTL = problem.Hit, !known.Frozen, -stale
	}
	return out
}
