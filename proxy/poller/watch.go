package poller

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"pollux/cache"
	"pollux/proxy/poller/schedule"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
)

// watches are the tasks that somebody follows: Pollux polls them by itself, on
// the schedule that also decides how long an answer is fresh.
type watches struct {
	queue *schedule.Queue[*watch]
	mu    sync.Mutex // guards what follows; taken before the queue's
	byKey map[cache.ID]*watch
	tasks map[hint][]*watch // by the task's own id, which several partitions may know
	limit int
}

type watch struct {
	request Request
	refs    int
	ended   bool // the task has ended; it is kept until its followers leave
	hurried bool // what was asked before says nothing any more

	// Of the one call that is planned or under way.
	failures int       // polls in a row that brought nothing
	since    time.Time // of the first of them
	release  func()    // of its share of the budget
}

func (p *Poller) initWatches() {
	p.watches.byKey, p.watches.tasks = map[cache.ID]*watch{}, map[hint][]*watch{}
	p.watches.queue = schedule.New(schedule.Rules[*watch]{
		Slots: p.slots,
		Wait: func(w *watch, now time.Time) (wait time.Duration) {
			r, ok := p.refreshed(w.request)
			if !ok {
				w.release = func() {} // nothing is asked, and the watch ends
				return 0
			}
			w.release, wait = r.Partition.Pledge(r.Upstream.Config.Rate.Budget(), now)
			return wait
		},
		Urgency: func(w *watch, now time.Time) float64 {
			e, _ := p.memory.Get(&w.request.Key)
			r, _ := p.refreshed(w.request)
			return r.Upstream.Urgency(e, now)
		},
		Reaches: func(w *watch, urgency float64) time.Time {
			e, _ := p.memory.Get(&w.request.Key)
			r, _ := p.refreshed(w.request)
			return r.Upstream.Reaches(e, urgency)
		},
	})
}

// slots is how many of an upstream's polls Pollux may make by itself at a time.
func (p *Poller) slots(upstream string) int {
	if u := p.Upstream([]byte(upstream)); u != nil {
		return u.Config.MaxInFlight
	}
	return 1
}

// maxWatched bounds the tasks that are watched, whatever the config says.
const maxWatched = 200_000

func (w *watches) setLimit(tasks int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.limit = maxWatched; tasks > 0 {
		w.limit = min(tasks, maxWatched)
	}
}

// Watch makes Pollux poll the task of r by itself until release is called.
// Release is idempotent. It returns a problem when limits.watched_tasks tasks
// are watched already.
func (p *Poller) Watch(r Request) (release func(), why *problem.Problem) {
	r.NoCache, r.OnlyIfCached, r.Traceparent, r.Asker = false, false, "", nil
	w, due := &p.watches, p.firstWatch(r)
	w.mu.Lock()
	defer w.mu.Unlock()
	there := w.byKey[r.Key]
	switch {
	case there != nil:
		there.refs++
		if there.ended { // a reopenable task may run again
			there.ended = false
			w.add(there, due)
		}
	case len(w.byKey) >= w.limit:
		return nil, &problem.Problem{Type: problem.Overloaded, Status: http.StatusServiceUnavailable, Upstream: r.Upstream.Name,
			RetryAfter: 10 * time.Second, Detail: "limits.watched_tasks tasks are watched already"}
	default:
		there = &watch{request: r, refs: 1}
		w.byKey[r.Key] = there
		w.tasks[r.task()] = append(w.tasks[r.task()], there)
		w.add(there, due)
	}
	return sync.OnceFunc(func() { w.release(there) }), nil
}

// add plans the next poll of a watch. The caller holds the lock.
func (w *watches) add(there *watch, due time.Time) {
	r := &there.request
	w.queue.Add(schedule.Call[*watch]{Key: r.Key, Lane: r.Upstream.Name, Owner: r.Partition.Credential().ID, Due: due, Value: there})
}

// plan plans the next poll of a watch after one, unless the task has ended or
// somebody released the watch meanwhile.
func (w *watches) plan(there *watch, due time.Time, ended bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if there.hurried {
		there.hurried, due, ended = false, time.Now(), false
	}
	if there.ended = ended; !ended && there.refs > 0 {
		w.add(there, due)
	}
}

func (w *watches) release(there *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	there.refs--
	if key := there.request.Key; there.refs == 0 && w.byKey[key] == there {
		delete(w.byKey, key)
		task := there.request.task()
		if w.tasks[task] = slices.DeleteFunc(w.tasks[task], func(o *watch) bool { return o == there }); len(w.tasks[task]) == 0 {
			delete(w.tasks, task)
		}
		w.queue.Cancel(&key)
	}
}

// task is what a hint about r's task would say.
func (r *Request) task() hint { return hint{r.Upstream.Name, r.Upstream.Parser.TaskID(r.Reference)} }

// ofTask are the polls of the watches of a task.
func (w *watches) ofTask(upstream, task string) (polls []Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, there := range w.tasks[hint{upstream, task}] {
		polls = append(polls, there.request)
	}
	return polls
}

// hurry polls a task at once, if it is watched.
func (w *watches) hurry(key *cache.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if there := w.byKey[*key]; there != nil {
		there.ended, there.hurried = false, true
		w.add(there, time.Now())
	}
}

// follows reports whether a task is watched that has not ended.
func (w *watches) follows(key *cache.ID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	there := w.byKey[*key]
	return there != nil && !there.ended
}

// has reports whether a task is watched.
func (w *watches) has(key *cache.ID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.byKey[*key] != nil
}

// keys are the tasks that are watched.
func (w *watches) keys() []cache.ID {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(w.byKey))
}

// request is the poll of a watched task.
func (w *watches) request(key *cache.ID) (r Request, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	there := w.byKey[*key]
	if there == nil {
		return r, false
	}
	return there.request, true
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
	e, _ := p.memory.Get(&r.Key)
	p.sweepAlong(&r, e, now)
	if e != nil && !e.Frozen && e.FreshUntil.After(now) && !r.Upstream.Outdated(e, now) {
		if e.Missing || e.Terminal || p.doubts(e) {
			return e.FreshUntil
		}
		return r.Upstream.Unhurried(e.FreshUntil, e.ObservedAt)
	}
	if until := p.sweeps.FreshUntil(&r.Key, now); until.After(now) { // what is to be known, a listing is about to tell
		return until
	}
	return now
}

// askSooner polls the watched tasks of upstreams whose answers are not to stay
// fresh for as long any more as when they came.
func (p *Poller) askSooner(of []*upstream.Upstream) {
	w := &p.watches
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for _, u := range of {
		if !u.AsksSooner() {
			continue
		}
		for _, there := range w.byKey {
			if there.request.Upstream.Name == u.Name && !there.ended {
				w.add(there, now.Add(spread(gentle)))
			}
		}
	}
}

const (
	// overslept is how late a poll must be to be taken for one of many that
	// fell due while the machine slept.
	overslept = 5 * time.Second
	// rampUp is over how long polls spread that waited for the same event.
	rampUp = 30 * time.Second
	// gentle is over how long a reload spreads polls.
	gentle = 2 * time.Second
	// longestPause bounds the pauses between polls that bring nothing, for some
	// time; then they grow with that time, as after stillFor do those between
	// polls that find nothing changed: what never ends, or is never answered
	// again, comes to cost a poll each slowest.
	longestPause = time.Minute
	stillFor     = time.Hour
	slowest      = 15 * time.Minute
)

func spread(d time.Duration) time.Duration { return time.Duration(rand.Float64() * float64(d)) }

// watchOnce polls a watched task and plans its next poll.
func (p *Poller) watchOnce(ctx context.Context, there *watch, late time.Duration) {
	w := &p.watches
	defer there.release()
	w.mu.Lock()
	there.hurried = false
	w.mu.Unlock()
	if late > overslept {
		w.plan(there, time.Now().Add(spread(rampUp)), false)
		return
	}
	r, ok := p.refreshed(there.request)
	if !ok {
		w.plan(there, time.Time{}, true)
		return
	}
	r.spent = there.release
	out, _ := p.join(ctx, r)
	if ctx.Err() != nil {
		return
	}
	now := time.Now()
	due, ended := there.next(out, now)
	if !ended && there.failures == 0 && !out.Entry.Terminal && !p.doubts(out.Entry) {
		due = r.Upstream.Unhurried(due, now)
	}
	w.plan(there, due, ended)
}

// next is when the task is polled again after out. Errors carry no
// information about the task, so they only make the pauses longer.
func (there *watch) next(out outcome, now time.Time) (due time.Time, ended bool) {
	good := out.Entry != nil && out.Cache.Detail < problem.DetailStaleIfError
	if good {
		there.failures = 0
		if out.Entry.Settled() {
			return time.Time{}, true
		}
		due = out.Entry.FreshUntil
		if still := now.Sub(out.Entry.StatusSince()); still > stillFor {
			if slow := now.Add(min(slowest, still/60)); slow.After(due) {
				due = slow
			}
		}
		return due, false
	}
	if there.failures++; there.failures == 1 {
		there.since = now
	}
	longest := max(longestPause, min(slowest, now.Sub(there.since)/60))
	pause := min(longest, time.Second<<min(there.failures-1, 10))
	if e := out.Entry; e != nil && !e.FirstSeen.IsZero() {
		pause = min(longest, max(pause, now.Sub(e.FirstSeen)/20))
	}
	pause = max(pause, out.RetryAfter)
	if out.Problem != nil {
		pause = max(pause, out.Problem.RetryAfter)
	}
	if out.Cache.Detail == problem.DetailBreakerOpen || out.Problem != nil && out.Problem.Type == problem.UpstreamUnavailable {
		return now.Add(pause + spread(rampUp)), false
	}
	return now.Add(pause + spread(pause/5)), false
}
