package upstream

import (
	"time"

	"pollux/cache"
	"pollux/normalize"
	"pollux/proxy/problem"
)

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
	case u.Expiring(e):
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
	wait := max(e.FreshUntil.Sub(now), part.Paused(now), u.breaker.wait(now))
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
		d = max(d, ClampRetryAfter(retryAfter))
	}
	return d
}

// Doubted makes e as stale as the provider's least interval allows.
func (u *Upstream) Doubted(e *cache.Entry) {
	again := e.ObservedAt.Add(u.Provider.Poll.Min)
	if now := time.Now(); again.Before(now) {
		again = now
	}
	if !e.Frozen && again.Before(e.FreshUntil) {
		e.FreshUntil = again
	}
}

// Expiring reports whether e has ended for good but holds what can be used for a
// while only: it is asked for again when that is over.
func (u *Upstream) Expiring(e *cache.Entry) bool {
	return e.Terminal && !e.Frozen && !e.Settling && !u.Provider.Reopenable
}

// Expire makes an entry that has ended for good one that expires at a time.
func (u *Upstream) Expire(e *cache.Entry, at, now time.Time) {
	if !e.Frozen || at.IsZero() {
		return
	}
	if e.Frozen, e.FreshUntil = false, at; !at.After(now) {
		e.FreshUntil = now.Add(u.Config.Freshness.Reopenable)
	}
}
