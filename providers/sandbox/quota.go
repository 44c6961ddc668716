package sandbox

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// maxQuotas bounds the credentials whose rate is remembered per provider.
const maxQuotas = 10_000

// unlimited is the limit that headers tell of when there is none.
const unlimited = 1000

// Rate is how many requests a credential may make: a token bucket that holds
// Requests and is filled anew within Per.
type Rate struct {
	Requests int
	Per      time.Duration
}

// quota is what the headers of an answer tell about the caller's rate.
type quota struct {
	limit, remaining int
	reset            time.Time     // when the bucket is full again
	wait             time.Duration // until the next request may be made
}

// seconds is wait in whole seconds, at least 1.
func (q quota) seconds() int { return max(1, int(math.Ceil(q.wait.Seconds()))) }

// spend takes one request from who's bucket; ok is false when it is empty.
func (u *upstream) spend(who owner, now time.Time) (q quota, ok bool) {
	limit, limited := u.opts.Rates[u.provider.Name]
	if !limited {
		limit, limited = u.opts.Rates[""]
	}
	if !limited || limit.Requests <= 0 || limit.Per <= 0 {
		return quota{limit: unlimited, remaining: unlimited - 1, reset: now.Add(time.Minute)}, true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	b := u.quotas[who]
	if b == nil {
		if len(u.quotas) >= maxQuotas {
			clear(u.quotas)
		}
		b = rate.NewLimiter(rate.Limit(float64(limit.Requests)/limit.Per.Seconds()), limit.Requests)
		u.quotas[who] = b
	}
	ok = b.AllowN(now, 1)
	left := max(0, b.TokensAt(now))
	per := limit.Per.Seconds() / float64(limit.Requests)
	q = quota{limit: limit.Requests, remaining: int(left)}
	q.reset = now.Add(time.Duration((float64(limit.Requests) - left) * per * float64(time.Second)))
	if !ok {
		q.wait = time.Duration((1 - left) * per * float64(time.Second))
		u.counts.limited++
	}
	return q, ok
}
