package poller

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"pollux/providers"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
)

// failure is a poll that failed: what to say if nothing can be served, and
// why an old answer was served otherwise.
type failure struct {
	problem *problem.Problem
	detail  problem.Detail
	asked   bool          // the upstream was asked, or tried
	final   bool          // no document is served in its place
	wait    time.Duration // the upstream asked not to be asked again before; 0: it did not
	raw     *upstream.Raw

	unconfirmed bool // see Answer
}

// Error makes a failure that kept a poll from its upstream an error.
func (f *failure) Error() string { return f.problem.Error() }

func rateLimited(u *upstream.Upstream, wait time.Duration, upstreamStatus int, detail string) *failure {
	return &failure{detail: problem.DetailRateLimited, problem: &problem.Problem{
		Type: problem.RateLimited, Status: http.StatusTooManyRequests, Upstream: u.Name, UpstreamStatus: upstreamStatus,
		RetryAfter: wait, Detail: detail,
	}}
}

// withoutToken is the failure of a poll for which there was no access token. It
// says nothing about the upstream.
func withoutToken(err error) error {
	why, ok := errors.AsType[*problem.Problem](err)
	if !ok {
		return err
	}
	return &failure{problem: why, detail: problem.DetailStaleIfError, asked: true, wait: why.RetryAfter}
}

// failureOf explains why a poll has no answer of the upstream.
func failureOf(u *upstream.Upstream, err error) failure {
	var open *upstream.OpenError
	var busy *busyError
	var fetch *upstream.FetchError
	if failed, ok := errors.AsType[*failure](err); ok {
		return *failed
	}
	why := &problem.Problem{Upstream: u.Name}
	switch {
	case errors.As(err, &open):
		why.Type, why.Status = problem.UpstreamUnavailable, http.StatusServiceUnavailable
		why.RetryAfter = max(time.Second, open.RetryAfter)
		why.Detail = "the upstream fails, and is left alone for a while"
		return failure{problem: why, detail: problem.DetailBreakerOpen}
	case errors.As(err, &busy):
		why.Type, why.Status, why.RetryAfter = problem.Overloaded, http.StatusServiceUnavailable, time.Second
		if why.Detail = fmt.Sprintf("%d upstream polls are under way (max_in_flight)", u.Config.MaxInFlight); busy.elsewhere {
			why.Detail = "another poll of the task is under way, and takes long"
		}
		return failure{problem: why, detail: problem.DetailOverloaded}
	case errors.As(err, &fetch) && fetch.Timeout:
		why.Type, why.Status = problem.UpstreamTimeout, http.StatusGatewayTimeout
		why.Detail = fmt.Sprintf("%s (timeout: %v)", fetch.Reason, u.Config.Timeout)
	case errors.As(err, &fetch):
		why.Type, why.Status, why.Detail = problem.UpstreamError, http.StatusBadGateway, fetch.Reason
	default:
		why.Type, why.Status, why.Detail = problem.UpstreamError, http.StatusBadGateway, "the poll failed"
	}
	return failure{problem: why, detail: problem.DetailStaleIfError, asked: true}
}

// failureByVerdict explains an answer of the upstream that makes the poll fail.
func failureByVerdict(u *upstream.Upstream, res *upstream.Response, v providers.Verdict) failure {
	why := &problem.Problem{Upstream: u.Name, UpstreamStatus: res.Code, Detail: v.Reason}
	if v.RetryAfter > 0 {
		why.RetryAfter = upstream.ClampRetryAfter(v.RetryAfter)
	}
	switch v.Kind {
	case providers.TooSlow:
		why.Type, why.Status = problem.UpstreamTimeout, http.StatusGatewayTimeout
	default:
		why.Type, why.Status = problem.UpstreamError, http.StatusBadGateway
	}
	return failure{problem: why, detail: problem.DetailStaleIfError, asked: true, wait: why.RetryAfter, raw: u.RawOf(res, v)}
}

// fallBack ends a flight whose poll failed: with what is stored, if its age
// and the partition allow, else with the problem. What is known is never
// overwritten by a failure.
func (p *Poller) fallBack(f *flight, failed failure) outcome {
	u, now := f.r.Upstream, time.Now()
	p.catchUp(f)
	out := outcome{forwarded: failed.asked, Answer: Answer{Raw: failed.raw, Problem: failed.problem}}
	if failed.asked {
		u.FailedWith(failed.problem, now)
		out.Cache.Forward, out.Cache.FwdStatus = f.forward, failed.problem.UpstreamStatus
		f.rec.hold(u, failed, now)
	} else {
		out.Cache.Detail = failed.detail
	}
	known := f.known
	// A pause or a breaker that keeps a settling poll from being sent counts as one
	// that failed, where others follow; else one answer is waited for.
	settles := len(u.Provider.Settle) > 0 || u.Provider.Result != nil
	if known != nil && known.Settling && settles && (f.r.settle || !known.Fresh(now)) {
		known = p.settleWithout(f)
	}
	if failed.asked && known != nil && u.Expiring(known) {
		known = p.standOn(f)
	}
	if !f.r.Partition.MayFallBack(u, known, now) {
		return out
	}
	out.Entry, out.Problem = known, nil
	out.Cache.Detail = failed.detail
	out.RetryAfter = max(failed.problem.RetryAfter, failed.wait)
	if !failed.asked {
		out.Cache.Forward, out.Cache.HasTTL, out.Cache.TTL = problem.Hit, !known.Frozen, known.FreshUntil.Sub(now)
	} else {
		out.RetryAfter = max(out.RetryAfter, u.Provider.Poll.Min)
	}
	return out
}

// catchUp takes what became known since f began: whoever joined it meanwhile may
// have seen that already.
func (p *Poller) catchUp(f *flight) {
	if e, ok := p.memory.Get(&f.r.Key); ok && (f.known == nil || e.NewerThan(f.known)) {
		f.known = e
	}
}

// answerHeld answers with what the last poll brought.
func (p *Poller) answerHeld(f *flight, failed *failing, now time.Time) Answer {
	a := Answer{Raw: failed.raw, Problem: failed.left(now), Age: now.Sub(failed.at),
		RetryAfter: failed.until.Sub(now), Unconfirmed: failed.unconfirmed, Cache: problem.CacheStatus{Detail: problem.DetailHeld}}
	p.catchUp(f)
	known := f.known
	if f.r.settle && known != nil && known.Settling {
		known = p.settleWithout(f)
	}
	if !failed.final && f.r.Partition.MayFallBack(f.r.Upstream, known, now) {
		a.Entry, a.Problem, a.Unconfirmed = known, nil, false
		a.Cache.Forward, a.Cache.HasTTL, a.Cache.TTL = problem.Hit, !known.Frozen, known.FreshUntil.Sub(now)
	}
	return a
}
