package poller

import (
	"time"

	"pollux/cache"
	"pollux/normalize"
	"pollux/proxy/problem"
)

// hit is how an entry that is served without asking is described.
func hit(e *cache.Entry, now time.Time) problem.CacheStatus {
	switch {
	case e.Terminal && !e.Stored:
		return problem.CacheStatus{Forward: problem.Hit, Detail: problem.DetailNotStored}
	case e.Frozen:
		return problem.CacheStatus{Forward: problem.Hit, Detail: problem.DetailTerminal}
	}
	return problem.CacheStatus{Forward: problem.Hit, HasTTL: true, TTL: e.FreshUntil.Sub(now)}
}

// settlingMaxAge is how long a client may keep an answer that settles.
const settlingMaxAge = 2 * time.Second

// MaxAge is what Cache-Control says of e: how long it may be kept, counted
// from when the upstream said so, and whether it can still change.
func (u *Upstream) MaxAge(part *Partition, e *cache.Entry, now time.Time) (maxAge time.Duration, immutable bool) {
	switch {
	case e.Frozen:
		left := time.Duration(problem.WholeSeconds(part.reauthorizeLeft(u, now))) * time.Second
		return e.Age(now).Truncate(time.Second) + left, true
	case e.Settling:
		return settlingMaxAge, false
	case u.expiring(e):
		left := time.Duration(problem.WholeSeconds(part.reauthorizeLeft(u, now))) * time.Second
		return max(0, min(e.Age(now).Truncate(time.Second)+left, e.FreshUntil.Sub(e.ObservedAt))), false
	case e.Terminal:
		return u.Config.Freshness.Reopenable, false
	}
	return max(0, e.FreshUntil.Sub(e.ObservedAt)), false
}

// RetryAfter is how long until asking again can tell anything new about a
// task that has not ended: whole seconds, at least one.
func (u *Upstream) RetryAfter(part *Partition, e *cache.Entry, now time.Time) time.Duration {
	wait := max(e.FreshUntil.Sub(now), part.paused(now), u.breaker.wait(now))
	return time.Duration(max(1, problem.WholeSeconds(wait))) * time.Second
}

// lifetime is how long an answer stays fresh.
func (u *Upstream) lifetime(status normalize.Status, retryAfter time.Duration) time.Duration {
	f := u.Config.Freshness
	var d time.Duration
	switch status {
	case normalize.Queued:
		d = f.Queued
	case normalize.InProgress:
		d = f.InProgress
	case normalize.RequiresAction:
		d = f.RequiresAction
	case normalize.Unknown:
		d = f.Unknown
	default:
		d = f.Reopenable
	}
	d = max(d, u.Provider.Poll.Min)
	if retryAfter > 0 {
		d = max(d, clampRetryAfter(retryAfter))
	}
	return d
}
