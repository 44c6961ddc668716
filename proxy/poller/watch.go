package poller

import (
	"context"
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"pollux/cache"
	"pollux/proxy/problem"
)

// watches are the tasks that somebody follows: Pollux polls them by itself, on
// the schedule that also decides how long an answer is fresh.
type watches struct {
	schedule schedule
	turns    schedule   // of partitions that are short of polls, by partition
	mu       sync.Mutex // guards what follows
	byKey    map[cache.ID]*watch
	hungry   map[cache.ID]map[*watch]struct{} // due, and without a poll to spend, by partition
	limit    int
}

type watch struct {
	request  Request
	refs     int
	failures int  // polls in a row that brought nothing
	ended    bool // the task has ended; it is kept until its followers leave
}

func (w *watches) init() {
	w.schedule.init()
	w.turns.init()
	w.byKey, w.hungry = map[cache.ID]*watch{}, map[cache.ID]map[*watch]struct{}{}
}

func (w *watches) setLimit(tasks int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.limit = maxScheduled; tasks > 0 {
		w.limit = min(tasks, maxScheduled)
	}
}

// Watch makes Pollux poll the task of r by itself until release is called.
// Release is idempotent. It returns a problem when limits.watched_tasks tasks
// are watched already.
func (p *Poller) Watch(r Request) (release func(), why *problem.Problem) {
	r.NoCache, r.OnlyIfCached, r.Traceparent = false, false, ""
	w := &p.watches
	w.mu.Lock()
	defer w.mu.Unlock()
	there := w.byKey[r.Key]
	switch {
	case there != nil:
		there.refs++
		if there.ended { // a reopenable task may run again
			there.ended = false
			w.schedule.add(r, p.firstWatch(r))
		}
	case len(w.byKey) >= w.limit:
		return nil, &problem.Problem{Type: problem.Overloaded, Status: http.StatusServiceUnavailable, Upstream: r.Upstream.Name,
			RetryAfter: 10 * time.Second, Detail: "limits.watched_tasks tasks are watched already"}
	default:
		there = &watch{request: r, refs: 1}
		w.byKey[r.Key] = there
		w.schedule.add(r, p.firstWatch(r))
	}
	return sync.OnceFunc(func() { w.release(there) }), nil
}

func (w *watches) release(there *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	there.refs--
	if key := there.request.Key; there.refs == 0 && w.byKey[key] == there {
		delete(w.byKey, key)
		w.schedule.cancel(&key)
		w.fed(there)
	}
}

// fed takes a watch out of those that wait for a poll to spend. The caller
// holds the lock.
func (w *watches) fed(there *watch) {
	partition := there.request.Partition.ID
	if delete(w.hungry[partition], there); len(w.hungry[partition]) == 0 {
		delete(w.hungry, partition)
	}
}

// Watched is how many tasks Pollux polls by itself.
func (p *Poller) Watched() int {
	p.watches.mu.Lock()
	defer p.watches.mu.Unlock()
	return len(p.watches.byKey)
}

// firstWatch is when a task that is watched from now on is polled first: at
// once, unless an answer is fresh.
func (p *Poller) firstWatch(r Request) time.Time {
	now := time.Now()
	if e, ok := p.memory.Get(&r.Key); ok && !e.Frozen && e.FreshUntil.After(now) {
		return e.FreshUntil
	}
	return now
}

const (
	// overslept is how late a poll must be to be taken for one of many that
	// fell due while the machine slept.
	overslept = 5 * time.Second
	// rampUp is over how long polls spread that waited for the same event.
	rampUp = 30 * time.Second
	// longestPause bounds the pauses between polls that bring nothing.
	longestPause = time.Minute
)

func spread(d time.Duration) time.Duration { return time.Duration(rand.Float64() * float64(d)) }

// watchOnce polls a watched task and plans its next poll.
func (p *Poller) watchOnce(ctx context.Context, r Request, late time.Duration) {
	w := &p.watches
	w.mu.Lock()
	there := w.byKey[r.Key]
	w.mu.Unlock()
	if there == nil {
		return
	}
	if late > overslept {
		w.plan(there, time.Now().Add(spread(rampUp)))
		return
	}
	r, ok := p.refreshed(r)
	if !ok {
		w.end(there)
		return
	}
	now := time.Now()
	if wait := r.Partition.short(r.Upstream, now); wait > 0 || w.waiting(r.Partition) {
		w.queue(there, now.Add(wait))
		return
	}
	p.watchNow(ctx, there, r)
}

// watchNow polls a watched task and plans its next poll.
func (p *Poller) watchNow(ctx context.Context, there *watch, r Request) {
	out, _ := p.join(ctx, r)
	if ctx.Err() != nil {
		return
	}
	w := &p.watches
	due, ended := there.next(out, time.Now())
	if ended {
		w.end(there)
		return
	}
	w.plan(there, due)
}

func (w *watches) end(there *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	there.ended = true
}

// queue makes a due watch wait for its partition's turn: when there is a poll
// to spend, it goes to the most urgent task.
func (w *watches) queue(there *watch, turn time.Time) {
	partition := there.request.Partition.ID
	w.mu.Lock()
	defer w.mu.Unlock()
	if there.refs == 0 {
		return
	}
	waiting := w.hungry[partition]
	if waiting == nil {
		waiting = map[*watch]struct{}{}
		w.hungry[partition] = waiting
		w.turn(there.request, turn)
	}
	waiting[there] = struct{}{}
}

// waiting reports whether others of the partition wait for their turn.
func (w *watches) waiting(part *Partition) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.hungry[part.ID]) > 0
}

// turn plans a turn of r's partition.
func (w *watches) turn(r Request, at time.Time) {
	r.Key = r.Partition.ID
	w.turns.add(r, at)
}

// takeTurn spends a partition's next poll on its most urgent task.
func (p *Poller) takeTurn(ctx context.Context, r Request, _ time.Duration) {
	w := &p.watches
	r, ok := p.refreshed(r)
	if !ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		for there := range w.hungry[r.Partition.ID] {
			there.ended = true
		}
		delete(w.hungry, r.Partition.ID)
		return
	}
	for {
		now := time.Now()
		wait := r.Partition.short(r.Upstream, now)
		w.mu.Lock()
		waiting := w.hungry[r.Partition.ID]
		if len(waiting) == 0 || wait > 0 {
			if len(waiting) > 0 {
				w.turn(r, now.Add(wait))
			}
			w.mu.Unlock()
			return
		}
		var first *watch
		most := math.Inf(-1)
		for there := range waiting {
			e, _ := p.memory.Get(&there.request.Key)
			if u := r.Upstream.urgency(e, now); first == nil || u > most {
				first, most = there, u
			}
		}
		w.fed(first)
		w.mu.Unlock()
		next := first.request
		next.Upstream = r.Upstream // of one partition, so of one upstream
		p.watchNow(ctx, first, next)
		if ctx.Err() != nil {
			return
		}
	}
}

func (w *watches) plan(there *watch, due time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if there.refs > 0 {
		w.schedule.add(there.request, due)
	}
}

// next is when the task is polled again after out. Errors carry no
// information about the task, so they only make the pauses longer.
func (there *watch) next(out outcome, now time.Time) (due time.Time, ended bool) {
	good := out.Entry != nil && out.Cache.Detail < problem.DetailStaleIfError
	if good {
		there.failures = 0
		if out.Entry.Frozen || out.Entry.Terminal && !out.Entry.Settling {
			return time.Time{}, true
		}
		return out.Entry.FreshUntil, false
	}
	there.failures++
	pause := min(longestPause, time.Second<<min(there.failures-1, 10))
	if e := out.Entry; e != nil && !e.FirstSeen.IsZero() {
		pause = min(longestPause, max(pause, now.Sub(e.FirstSeen)/20))
	}
	if out.Problem != nil && out.Problem.RetryAfter > pause {
		pause = out.Problem.RetryAfter
	}
	if out.Cache.Detail == problem.DetailBreakerOpen || out.Problem != nil && out.Problem.Type == problem.UpstreamUnavailable {
		return now.Add(pause + spread(rampUp)), false
	}
	return now.Add(pause + spread(pause/5)), false
}
