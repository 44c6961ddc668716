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
	wait := max(e.FreshUntil.Sub(now), part.Paused(now), u.LeftAlone(part, now))
	return time.Duration(max(1, problem.WholeSeconds(wait))) * time.Second
}

// lifetime is how long an answer stays fresh.
func (u *Upstream) lifetime(status normalize.Status, retryAfter time.Duration) time.Duration {
	d := max(u.Config.Freshness.of(status), u.Provider.Poll.Min)
	if retryAfter > 0 {
		d = max(d, ClampRetryAfter(retryAfter))
	}
	return d
}

// Doubted makes e as stale as the provider's least interval allows, unless its
// task has ended for good.
func (u *Upstream) Doubted(e *cache.Entry) {
	if e.Frozen || u.Expiring(e) { // there will be no news
		return
	}
	again := e.ObservedAt.Add(u.Provider.Poll.Min)
	if now := time.Now(); again.Before(now) {
		again = now
	}
	if again.Before(e.FreshUntil) {
		e.FreshUntil = again
	}
}

// Expiring reports whether e has ended for good but holds what can be used for a
// while only: it is asked for again when that is over.
func (u *Upstream) Expiring(e *cache.Entry) bool {
	return e.Settled() && !e.Frozen && !u.Provider.Reopenable
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

// of is how long an answer with that status stays fresh.
func (f *FreshnessConfig) of(status normalize.Status) time.Duration {
	switch status {
	case normalize.Queued:
		return f.Queued
	case normalize.InProgress:
		return f.InProgress
	case normalize.RequiresAction:
		return f.RequiresAction
	case normalize.Unknown:
		return f.Unknown
	}
	return f.Reopenable
}

// AsksSooner reports whether some answers were fresh for longer by the config
// that was in force before.
func (u *Upstream) AsksSooner() bool {
	for _, status := range normalize.Statuses {
		if u.before != nil && u.before.of(status) > u.Config.Freshness.of(status) {
			return true
		}
	}
	return false
}

// Outdated reports whether e is fresh only because of the config that was in
// force when it came: by that of today it would not be. What the upstream itself
// asked for holds.
func (u *Upstream) Outdated(e *cache.Entry, now time.Time) bool {
	if u.before == nil || e.Frozen || e.Missing || e.Settling {
		return false
	}
	status := normalize.Status(e.Status)
	then, today := max(u.before.of(status), u.Provider.Poll.Min), u.lifetime(status, e.Asked)
	return then > today && e.FreshUntil.Sub(e.ObservedAt) == then && now.Sub(e.ObservedAt) > today
}
