package upstream

import (
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"pollux/cache"
	"pollux/normalize"
	"pollux/providers"
	"pollux/proxy/poller/adaptive"
)

// newGroups returns what an upstream on schedule: adaptive learns, nil for one
// on schedule: fixed.
func newGroups(cfg Config, provider *providers.Provider) *adaptive.Groups {
	if cfg.Schedule != "adaptive" {
		return nil
	}
	return adaptive.NewGroups(adaptive.Config{
		TargetDelay: adaptive.Delay(cfg.TargetDelay),
		MaxDelay:    adaptive.Delay(cfg.MaxDelay),
		Floor:       max(cfg.MinInterval, provider.Poll.Min),
	}, adaptive.MaxGroups, rand.Float64)
}

// began is when the task began as far as anybody knows. known is false when
// that is only when Pollux first saw it.
func began(e *cache.Entry, now time.Time) (at time.Time, known bool) {
	if _, ok := adaptive.Age(e.CreatedAt, now); ok {
		return e.CreatedAt, true
	}
	return e.FirstSeen, e.Submitted
}

// job is what the learner knows of a running task after its answer e.
func job(e *cache.Entry, now time.Time) (j adaptive.Job, start time.Time) {
	start, sure := began(e, now)
	j = adaptive.Job{News: max(0, e.ObservedAt.Sub(start)), UnknownStart: !sure}
	if !e.Submitted {
		j.Seen = max(0, e.FirstSeen.Sub(start))
	}
	return j, start
}

// PollAgain is how long after now the task of e, which is so far on, is asked for
// again: by the configured freshness, or by what was learned about such tasks. It
// also teaches what the answer tells.
func (u *Upstream) PollAgain(known, e *cache.Entry, progress normalize.Number, retryAfter time.Duration, now time.Time) time.Duration {
	switch {
	case u.Config.Schedule == "vendor" && !e.Terminal && e.Status != string(normalize.RequiresAction):
		return u.vendorPause(e, retryAfter)
	case u.Learned.Groups == nil, e.Status == string(normalize.RequiresAction):
		return u.lifetime(normalize.Status(e.Status), retryAfter)
	}
	next, start := job(e, now)
	group := u.Group(e)
	if known != nil && !known.Terminal && known.Status != string(normalize.RequiresAction) {
		late := now.Sub(known.FreshUntil)
		answer := adaptive.Answer{
			Age: now.Sub(start), Done: e.Terminal,
			OnTime: late < max(500*time.Millisecond, known.FreshUntil.Sub(known.ObservedAt)/10),
		}
		if !e.CompletedAt.IsZero() {
			answer.Completed = max(0, e.CompletedAt.Sub(start))
		}
		u.Learned.Groups.Observe(group, adaptive.Job{News: known.ObservedAt.Sub(start), UnknownStart: next.UnknownStart}, answer)
	}
	if e.Terminal {
		return u.lifetime(normalize.Status(e.Status), retryAfter)
	}
	hint := adaptive.Hint{}
	if retryAfter > 0 {
		hint.RetryAfter = ClampRetryAfter(retryAfter)
	}
	if progress != "" {
		hint.Percent, _ = strconv.ParseFloat(string(progress), 64) // what is no number counts for nothing
	}
	if u.advised(group) {
		bound := max(u.Config.MaxDelay.Absolute, time.Duration(u.Config.MaxDelay.Relative*float64(now.Sub(start))))
		return max(u.Config.MinInterval, min(u.vendorPause(e, retryAfter), bound), hint.RetryAfter)
	}
	return u.Learned.Groups.Next(group, next, hint)
}

// advised reports whether, on schedule: adaptive, the provider file's advice is
// followed: nothing was learned yet about such tasks.
func (u *Upstream) advised(group string) bool {
	return u.Provider.Poll.Advises() && !u.Learned.Groups.Learner(group).HasLearned()
}

// vendorPause is the pause that the provider file advises after the n-th answer
// about a task: its steps and then max, or first, growing up to max.
func (u *Upstream) vendorPause(e *cache.Entry, retryAfter time.Duration) time.Duration {
	poll := &u.Provider.Poll
	longest := poll.Max
	if e.Status == string(normalize.Queued) && poll.MaxQueued > 0 {
		longest = poll.MaxQueued
	}
	pause, n := longest, max(1, e.Polls)
	switch {
	case n <= len(poll.Steps):
		pause = poll.Steps[n-1]
	case len(poll.Steps) == 0:
		pause = time.Duration(min(float64(longest), float64(poll.First)*math.Pow(max(1, poll.Growth), float64(n-1))))
	}
	pause = max(pause, poll.Min)
	if retryAfter > 0 {
		pause = max(pause, ClampRetryAfter(retryAfter))
	}
	return pause
}

// Urgency orders tasks when polls are short: by the delay that is expected to
// have gone unnoticed or, where that was not learned, by how many lifetimes old
// the answer is. A task of which nothing is known comes first.
func (u *Upstream) Urgency(e *cache.Entry, now time.Time) float64 {
	if e == nil || e.Missing {
		return math.Inf(1)
	}
	if u.Learned.Groups == nil || e.Terminal || u.advised(u.Group(e)) {
		return float64(now.Sub(e.ObservedAt)) / float64(max(time.Millisecond, e.FreshUntil.Sub(e.ObservedAt)))
	}
	j, start := job(e, now)
	return u.Learned.Groups.Expected(u.Group(e), j, now.Sub(start))
}

// Reaches is when the task comes to an urgency, the zero time for one of which
// nothing is known.
func (u *Upstream) Reaches(e *cache.Entry, urgency float64) time.Time {
	if e == nil || e.Missing {
		return time.Time{}
	}
	if u.Learned.Groups == nil || e.Terminal || u.advised(u.Group(e)) {
		lifetime := max(time.Millisecond, e.FreshUntil.Sub(e.ObservedAt))
		return e.ObservedAt.Add(time.Duration(urgency * float64(lifetime)))
	}
	j, start := job(e, e.ObservedAt)
	return start.Add(u.Learned.Groups.Reaches(u.Group(e), j, urgency))
}
