package poller

import (
	"strconv"
	"time"

	"pollux/cache"
	"pollux/normalize"
)

var forwardNames = [...]string{FwdMiss: "uri-miss", FwdStale: "stale", FwdRequest: "request", FwdBypass: "bypass"}

var detailNames = [...]string{
	DetailTerminal: "terminal", DetailNotStored: "not-stored", DetailStaleIfError: "stale-if-error",
	DetailBreakerOpen: "breaker-open", DetailRateLimited: "rate-limited", DetailGoneUpstream: "gone-upstream",
	DetailOverloaded: "overloaded",
}

// Append appends the value of a Cache-Status header (RFC 9211).
func (c CacheStatus) Append(dst []byte) []byte {
	dst = append(dst, "pollux"...)
	switch c.Forward {
	case NotForwarded:
	case Hit:
		dst = append(dst, "; hit"...)
	default:
		dst = append(append(dst, "; fwd="...), forwardNames[c.Forward]...)
	}
	if c.FwdStatus != 0 {
		dst = strconv.AppendInt(append(dst, "; fwd-status="...), int64(c.FwdStatus), 10)
	}
	if c.HasTTL {
		dst = strconv.AppendInt(append(dst, "; ttl="...), ceilSeconds(c.TTL), 10)
	}
	if c.Stored {
		dst = append(dst, "; stored"...)
	}
	if c.Collapsed {
		dst = append(dst, "; collapsed"...)
	}
	if c.Detail != NoDetail {
		dst = append(append(dst, "; detail="...), detailNames[c.Detail]...)
	}
	return dst
}

// ceilSeconds rounds towards the future, so that Age plus ttl is the lifetime.
func ceilSeconds(d time.Duration) int64 {
	s := int64(d / time.Second)
	if d > 0 && d%time.Second != 0 {
		s++
	}
	return s
}

// hit is how an entry that is served without asking is described.
func hit(e *cache.Entry, now time.Time) CacheStatus {
	switch {
	case e.Terminal && !e.Stored:
		return CacheStatus{Forward: Hit, Detail: DetailNotStored}
	case e.Frozen:
		return CacheStatus{Forward: Hit, Detail: DetailTerminal}
	}
	return CacheStatus{Forward: Hit, HasTTL: true, TTL: e.FreshUntil.Sub(now)}
}

// settlingMaxAge is how long a client may keep an answer that settles.
const settlingMaxAge = 2 * time.Second

// MaxAge is what Cache-Control says of e: how long it may be kept, counted
// from when the upstream said so, and whether it can still change.
func (p *Poller) MaxAge(u *Upstream, part *Partition, e *cache.Entry, now time.Time) (maxAge time.Duration, immutable bool) {
	switch {
	case e.Frozen:
		left := time.Duration(ceilSeconds(part.reauthorizeLeft(u, now))) * time.Second
		return e.Age(now).Truncate(time.Second) + left, true
	case e.Settling:
		return settlingMaxAge, false
	case e.Terminal:
		return u.Config.Freshness.Reopenable, false
	}
	return max(0, e.FreshUntil.Sub(e.ObservedAt)), false
}

// RetryAfter is how long until asking again can tell anything new about a
// task that has not ended: whole seconds, at least one.
func (p *Poller) RetryAfter(u *Upstream, part *Partition, e *cache.Entry, now time.Time) time.Duration {
	wait := max(e.FreshUntil.Sub(now), part.paused(now), u.breaker.wait(now))
	return time.Duration(max(1, ceilSeconds(wait))) * time.Second
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
