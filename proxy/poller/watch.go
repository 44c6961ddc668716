package poller

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"pollux/cache"
)

// watches are the tasks that somebody follows: Pollux polls them by itself, on
// the schedule that also decides how long an answer is fresh.
type watches struct {
	schedule schedule
	mu       sync.Mutex // guards what follows
	byKey    map[cache.ID]*watch
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
	w.byKey, w.limit = map[cache.ID]*watch{}, maxScheduled
}

// Watch makes Pollux poll the task of r by itself until release is called.
// Release is idempotent. It returns a problem when limits.watched_tasks tasks
// are watched already.
func (p *Poller) Watch(r Request) (release func(), problem *Problem) {
	r.NoCache, r.OnlyIfCached = false, false
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
		return nil, &Problem{Type: Overloaded, Status: http.StatusServiceUnavailable, Upstream: r.Upstream.Name,
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
	out, _ := p.join(ctx, p.refreshed(r))
	if ctx.Err() != nil {
		return
	}
	due, ended := there.next(out, time.Now())
	if ended {
		w.mu.Lock()
		there.ended = true
		w.mu.Unlock()
		return
	}
	w.plan(there, due)
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
	good := out.Entry != nil && out.Cache.Detail < DetailStaleIfError
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
	if out.Cache.Detail == DetailBreakerOpen || out.Problem != nil && out.Problem.Type == UpstreamUnavailable {
		return now.Add(pause + spread(rampUp)), false
	}
	return now.Add(pause + spread(pause/5)), false
}
