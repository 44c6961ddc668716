package poller

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"pollux/cache"
	"pollux/proxy/problem"
)

const (
	// ratioWindow is over how long failures of an upstream are compared with
	// its polls, in steps of ratioStep.
	ratioWindow = 5 * time.Minute
	ratioStep   = 10 * time.Second
)

// upstreamStats is what one upstream's polls were like lately. It outlives a
// reload that keeps the base URL.
type upstreamStats struct {
	window window

	inFlight  atomic.Int64
	latency   samples // of status requests that were answered
	durations samples // of whole tasks
	paces     paces

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
func (s *upstreamStats) fetched(took time.Duration, answered, failed bool, now time.Time) {
	if answered {
		s.latency.add(took)
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

func (s *upstreamStats) failedWith(p *problem.Problem, now time.Time) {
	last := &LastError{At: now, Type: p.Type, Status: p.UpstreamStatus, Detail: p.Detail}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = last
}

// trouble is the share of polls that failed lately, and the last failure.
func (s *upstreamStats) trouble(now time.Time) (ratio float64, last *LastError) {
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

// Add sums up.
func (t *Tally) Add(o Tally) {
	t.Received += o.Received
	t.Upstream += o.Upstream
	t.Hit += o.Hit
	t.Collapsed += o.Collapsed
	t.Stale += o.Stale
	t.NotModified += o.NotModified
	t.RateLimitsAvoided += o.RateLimitsAvoided
}

// Tally returns the present numbers.
func (u *Upstream) Tally() Tally {
	m := &u.metrics
	t := Tally{
		Collapsed: m.collapsed.value(), Stale: m.stale.value(), NotModified: m.notModified.value(),
		RateLimitsAvoided: m.avoided.value(), Upstream: m.unreachable.value() + m.timeouts.value(),
	}
	for _, c := range m.outcomes {
		t.Upstream += c.value()
	}
	hits := m.hits.value()
	t.Hit = max(0, hits-t.NotModified)
	t.Received = hits + m.misses.value() + t.Collapsed + t.Stale + m.staleIfError.value() + m.refused.value()
	return t
}

// NotModified notes that an answer became a 304, which saves something of its
// own if it was a hit. It allocates nothing.
func (u *Upstream) NotModified(how problem.CacheStatus) {
	if how.Forward == problem.Hit && how.Detail <= problem.DetailNotStored {
		u.metrics.notModified.Inc()
	}
}

// Quantiles are of the latest durations of a kind.
type Quantiles struct {
	P50, P95, P99 time.Duration
	Samples       int // 0: nothing is known
}

func (s *samples) quantiles() (q Quantiles) {
	q.P50, q.Samples = s.quantile(0.50)
	q.P95, _ = s.quantile(0.95)
	q.P99, _ = s.quantile(0.99)
	return q
}

// Health is how an upstream is doing.
type Health struct {
	Breaker    string        // closed, half-open, open
	RetryIn    time.Duration // until the breaker lets a poll through; 0: now
	Latency    Quantiles
	ErrorRatio float64 // of the last minutes
	LastError  *LastError
	InFlight   int64
}

// Health returns the present state.
func (u *Upstream) Health(now time.Time) Health {
	h := Health{
		Breaker: u.BreakerState(), RetryIn: u.breaker.wait(now),
		Latency: u.stats.latency.quantiles(), InFlight: u.stats.inFlight.Load(),
	}
	h.ErrorRatio, h.LastError = u.stats.trouble(now)
	return h
}

// Durations are of the latest tasks that ended, from when the upstream says
// that they were made, or Pollux saw them first, until their end.
func (u *Upstream) Durations() Quantiles { return u.stats.durations.quantiles() }

// Allowance is how much of an upstream's rate budget the partitions in sight
// have left, the worst of them, and how long the longest pause lasts that the
// upstream asked one of them to make. Only partitions that were used since the
// start count. left is -1 without a budget.
func (p *Poller) Allowance(u *Upstream, sight *cache.Sight, now time.Time) (left int, paused time.Duration) {
	left = -1
	if c := u.Config.Rate; c != nil {
		if left = c.Burst; left == 0 {
			left = c.Requests
		}
	}
	look := func(part *Partition) {
		paused = max(paused, part.paused(now))
		if left >= 0 {
			left = min(left, part.tokens(left, now))
		}
	}
	if sight.All {
		p.partitions.each(u.Name, look)
		return left, paused
	}
	for i := range sight.Partitions {
		if part := p.partitions.get(&sight.Partitions[i]); part != nil && part.Upstream == u.Name {
			look(part)
		}
	}
	return left, paused
}

// tokens is how many upstream polls the partition may make at once, full while
// it has made none.
func (part *Partition) tokens(full int, now time.Time) int {
	part.mu.Lock()
	defer part.mu.Unlock()
	if part.budget == nil {
		return full
	}
	return max(0, int(part.budget.TokensAt(now)))
}

// MayShow reports whether what is stored may be shown to the partition: its
// credential was accepted lately and not refused since.
func (p *Poller) MayShow(u *Upstream, part *Partition, now time.Time) bool {
	return part.authorized(u, now)
}

// Withholds reports whether nothing of a partition may be sent to anybody at
// present: its credential was refused, or the one that Pollux holds was
// replaced, and no success since.
func (p *Poller) Withholds(id *cache.ID) bool {
	part := p.partitions.get(id)
	if part == nil {
		ctx, cancel := context.WithTimeout(p.base, storeTimeout)
		defer cancel()
		state, err := p.store.Partition(ctx, id)
		u := p.Upstream([]byte(state.Upstream))
		if err != nil || u == nil {
			return false
		}
		part = p.Partition(u, id)
	}
	u := p.Upstream([]byte(part.Upstream))
	return part.suspended.Load() || u != nil && u.Held && !part.holds(u)
}

// Known returns what memory has of a task, fresh or not, nil if nothing.
func (p *Poller) Known(key *cache.ID) *cache.Entry {
	if e, ok := p.memory.Get(key); ok && !e.Missing {
		return e
	}
	return nil
}

// Index is where tasks are listed from.
func (p *Poller) Index() cache.Index { return p.tracker.index }
