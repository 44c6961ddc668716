package upstream

import (
	"sync"
	"sync/atomic"
	"time"

	"pollux/cache"
	"pollux/normalize"
	"pollux/proxy/poller/adaptive"
	"pollux/proxy/problem"
)

const (
	// ratioWindow is over how long failures of an upstream are compared with
	// its polls, in steps of ratioStep.
	ratioWindow = 5 * time.Minute
	ratioStep   = 10 * time.Second
)

// stats is what one upstream's polls were like lately. It outlives a
// reload that keeps the base URL.
type stats struct {
	window window

	inFlight atomic.Int64
	latency  adaptive.Samples // of status requests that were answered

	mu    sync.Mutex // guards what follows
	steps [ratioWindow / ratioStep]ratioSteps
	last  *LastError
}

// ratioSteps counts the polls of one step.
type ratioSteps struct {
	number        int64 // 0: never used
	polls, failed int
}

// LastError is how a poll of an upstream failed.
type LastError struct {
	At     time.Time
	Type   problem.Type
	Status int // of the upstream's answer; 0 when there was none
	Detail string
}

func stepOf(t time.Time) int64 { return t.Unix() / int64(ratioStep/time.Second) }

// fetched notes one status request: how long it took, and whether the
// upstream is to blame for its failure.
func (s *stats) fetched(took time.Duration, answered, failed bool, now time.Time) {
	if answered {
		s.latency.Add(took)
	}
	number := stepOf(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	step := &s.steps[number%int64(len(s.steps))]
	if step.number != number {
		*step = ratioSteps{number: number}
	}
	step.polls++
	if failed {
		step.failed++
	}
}

func (s *stats) failedWith(p *problem.Problem, now time.Time) {
	last := &LastError{At: now, Type: p.Type, Status: p.UpstreamStatus, Detail: p.Detail}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = last
}

// trouble is the share of polls that failed lately, and the last failure.
func (s *stats) trouble(now time.Time) (ratio float64, last *LastError) {
	oldest := stepOf(now) + 1 - int64(len(s.steps))
	s.mu.Lock()
	defer s.mu.Unlock()
	polls, failed := 0, 0
	for _, step := range s.steps {
		if step.number > 0 && step.number >= oldest {
			polls, failed = polls+step.polls, failed+step.failed
		}
	}
	if polls > 0 {
		ratio = float64(failed) / float64(polls)
	}
	return ratio, s.last
}

// Tally is what became of polls since the process started.
type Tally struct {
	Received int64 // polls of clients
	Upstream int64 // status requests to upstreams, those of Pollux's own accord included

	// Polls of clients that cost the upstream nothing. They exclude each other.
	Hit         int64 // answered from memory or store with a document
	Collapsed   int64 // answered by a status request that was made for somebody else
	Stale       int64 // answered with an old document, because the upstream is left alone
	NotModified int64 // like Hit, but with 304

	// RateLimitsAvoided is how many polls were answered, with an old document
	// or a problem, without a status request that the upstream's pause (429)
	// or a budget of ours forbade.
	RateLimitsAvoided int64
}

// Saved is how many polls of clients cost the upstream nothing.
func (t *Tally) Saved() int64 { return t.Hit + t.Collapsed + t.Stale + t.NotModified }

// Tally returns the present numbers.
func (u *Upstream) Tally() Tally {
	m := &u.Metrics
	t := Tally{
		Collapsed: m.collapsed.value(), Stale: m.stale.value(), NotModified: m.notModified.value(),
		RateLimitsAvoided: m.avoided.value(), Upstream: m.unreachable.value() + m.timeouts.value(),
	}
	for _, c := range m.outcomes {
		t.Upstream += c.value()
	}
	hits := m.Hits.value()
	t.Hit = max(0, hits-t.NotModified)
	t.Received = hits + m.misses.value() + t.Collapsed + t.Stale + m.staleIfError.value() + m.refused.value()
	return t
}

// NotModified notes that an answer became a 304, which saves something of its
// own if it was a hit. It allocates nothing.
func (u *Upstream) NotModified(how problem.CacheStatus) {
	if how.Forward == problem.Hit && how.Detail <= problem.DetailNotStored {
		u.Metrics.notModified.Inc()
	}
}

// Polling is how many status requests are under way.
func (u *Upstream) Polling() int64 { return u.stats.inFlight.Load() }

// FailedWith notes the latest failure of a poll.
func (u *Upstream) FailedWith(p *problem.Problem, now time.Time) { u.stats.failedWith(p, now) }

// Health is how an upstream is doing.
type Health struct {
	Breaker    string        // closed, half-open, open
	RetryIn    time.Duration // until the breaker lets a poll through; 0: now
	Latency    adaptive.Quantiles
	ErrorRatio float64 // of the last minutes
	LastError  *LastError
	InFlight   int64
}

// Health returns the present state.
func (u *Upstream) Health(now time.Time) Health {
	h := Health{
		Breaker: u.BreakerState(), RetryIn: u.breaker.wait(now),
		Latency: u.stats.latency.Quantiles(), InFlight: u.stats.inFlight.Load(),
	}
	h.ErrorRatio, h.LastError = u.stats.trouble(now)
	return h
}

// Durations are of the latest tasks that ended, from when the upstream says
// that they were made, or Pollux saw them first, until their end.
func (u *Upstream) Durations() adaptive.Quantiles { return u.Learned.Tasks() }

// Learn takes the last change of a history as a sample: of the time in the
// status before it, and when it was the end, of the whole task.
func (u *Upstream) Learn(group string, history []cache.Change, firstSeen, created, completed time.Time) {
	last := history[len(history)-1]
	ended := normalize.Status(last.Status).Terminal()
	if i := len(history) - 2; i >= 0 {
		before := history[i]
		if before.Status == last.Status || normalize.Status(before.Status).Terminal() {
			return // the native word alone, or a task that runs again
		}
		for i > 0 && history[i-1].Status == before.Status {
			i--
		}
		u.Learned.Left(group, before.Status, last.At.Sub(history[i].At))
	} else if created.IsZero() || completed.IsZero() {
		return // first seen at its end: only the upstream could say how long it took
	}
	if !ended {
		return
	}
	if created.IsZero() {
		created = firstSeen
	}
	if completed.IsZero() {
		completed = last.At
	}
	u.Learned.Ended(completed.Sub(created))
}
