package poller

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"pollux/cache"
	"pollux/proxy/poller/schedule"
	"pollux/proxy/poller/upstream"
)

const (
	// sweptFor is how long after its last poll a task that nobody watches is
	// looked for in listings.
	sweptFor = time.Minute
	// gathering is how long the first sweep of a listing waits for more tasks:
	// they come together, in a batch for example.
	gathering = 100 * time.Millisecond
	// leastSlack is how much longer than until the next sweep is due an answer of
	// a sweep is fresh at least: that one takes its time too.
	leastSlack = time.Second
	// longestSweep bounds the pauses between sweeps that fail.
	longestSweep = 5 * time.Minute
	// maxSwept bounds the tasks that are looked for in listings; others are
	// polled.
	maxSwept = 200_000
)

// sweeps are the live tasks that listings may tell about, so that they need not
// be polled one by one: what a sweep tells of a task is fresh until the next one
// has been. What no listing tells of is polled as ever.
type sweeps struct {
	queue   *schedule.Queue[*listing]
	metrics sweepMetrics

	mu    sync.RWMutex // guards what follows; taken after watches.mu and before the queue's
	byKey map[cache.ID]*sweptTask
	byID  map[cache.ID]*listing
}

// listing is one listing of an upstream, as one partition sees it.
type listing struct {
	id        cache.ID
	upstream  string
	partition *upstream.Partition
	release   func() // of its share of the budget; belongs to the one sweep that is planned or under way

	// Guarded by sweeps.mu:
	tasks    map[cache.ID]*sweptTask
	due      time.Time // of the sweep that is planned or under way; zero: the listing is not in force
	slack    time.Duration
	failures int // sweeps in a row that told nothing
}

// sweptTask is a live task that a listing may tell about.
type sweptTask struct {
	listing *listing
	request Request
	polled  atomic.Int64 // nanoseconds since sweepEpoch of its last poll, by a client or a watch
	missed  bool         // the last sweep did not tell of it: it is polled alone; guarded by sweeps.mu
}

var sweepEpoch = time.Now()

func (p *Poller) initSweeps() {
	p.sweeps.byKey, p.sweeps.byID = map[cache.ID]*sweptTask{}, map[cache.ID]*listing{}
	p.sweeps.queue = schedule.New(schedule.Rules[*listing]{
		Slots: p.slots,
		Wait: func(l *listing, now time.Time) (wait time.Duration) {
			u := p.Upstream([]byte(l.upstream))
			if u == nil {
				l.release = func() {} // nothing is asked, and the listing goes
				return 0
			}
			l.release, wait = l.partition.Pledge(u.Config.Rate.Budget(), now)
			return wait
		},
	})
}

// sweepAlong notes that the task of r has been polled, or is watched from now
// on, and that e is known of it, nil being nothing. It puts the task's listing in
// force once there are enough of them.
func (p *Poller) sweepAlong(r *Request, e *cache.Entry, now time.Time) {
	u, s := r.Upstream, &p.sweeps
	if !u.Sweeps(e) || s.touch(&r.Key, now) {
		return
	}
	about := Request{Upstream: u, Partition: r.Partition, Key: r.Key, Reference: r.Reference, Credential: r.Credential}
	id := p.listingID(&about)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKey[r.Key] != nil || len(s.byKey) >= maxSwept {
		return
	}
	l := s.byID[id]
	if l == nil {
		l = &listing{id: id, upstream: u.Name, partition: r.Partition, tasks: map[cache.ID]*sweptTask{}, slack: leastSlack}
		s.byID[id] = l
	}
	task := &sweptTask{listing: l, request: about}
	task.polled.Store(int64(now.Sub(sweepEpoch)))
	s.byKey[r.Key], l.tasks[r.Key] = task, task
	if l.due.IsZero() && len(l.tasks) >= u.Config.SweepAtLeast {
		s.plan(l, now.Add(gathering))
	}
}

// listingID names the listing that would tell about the task of r.
func (p *Poller) listingID(r *Request) (id cache.ID) {
	h := p.secret.Hash("listing")
	h.Part(r.Partition.ID[:])
	h.PartString(r.Upstream.Provider.SweepGroup(r.Reference))
	h.Sum(&id)
	return id
}

// touch notes that a task has been polled, and reports whether it is one that
// listings may tell about. It allocates nothing.
func (s *sweeps) touch(key *cache.ID, now time.Time) bool {
	s.mu.RLock()
	task := s.byKey[*key]
	s.mu.RUnlock()
	if task == nil {
		return false
	}
	if at := int64(now.Sub(sweepEpoch)); at-task.polled.Load() > int64(time.Second) { // hits do not fight over it
		task.polled.Store(at)
	}
	return true
}

// plan plans the next sweep of l. The lock is held.
func (s *sweeps) plan(l *listing, due time.Time) {
	l.due = due
	s.queue.Add(schedule.Call[*listing]{Key: l.id, Lane: l.upstream, Owner: l.partition.ID, Due: due, Value: l})
}

// freshUntil is until when what a poll says of a task now is fresh because the
// next sweep tells of it; the zero time if none is to.
func (s *sweeps) freshUntil(key *cache.ID, now time.Time) time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	task := s.byKey[*key]
	if task == nil || task.missed || task.listing.due.IsZero() || task.listing.failures > 0 {
		return time.Time{}
	}
	due := task.listing.due
	if due.Before(now) {
		due = now
	}
	return due.Add(task.listing.slack)
}

// slackOf is how long after its time the next sweep of l may tell of a task.
func (s *sweeps) slackOf(l *listing) time.Duration {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return l.slack
}

// swept are the requests for the tasks of l that are to be looked for now.
// Those that have ended, or that nobody has asked for lately, are dropped; if
// too few are left, l is not in force any more. u is the upstream of today, nil
// if there is none.
func (p *Poller) swept(l *listing, u *upstream.Upstream, now time.Time) []Request {
	s := &p.sweeps
	s.mu.RLock()
	all := maps.Clone(l.tasks)
	s.mu.RUnlock()
	var gone []cache.ID
	var live []Request
	for key, task := range all {
		if !p.wanted(task, u, now) {
			gone = append(gone, key)
			continue
		}
		r := task.request
		r.Upstream = u
		live = append(live, r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range gone {
		delete(s.byKey, key)
		delete(l.tasks, key)
	}
	if u != nil && len(live) >= u.Config.SweepAtLeast {
		return live
	}
	l.due, l.failures = time.Time{}, 0
	for _, task := range l.tasks {
		task.missed = false
	}
	if len(l.tasks) == 0 {
		delete(s.byID, l.id)
	}
	return nil
}

// wanted reports whether a task lives and somebody wants to know of it. While
// the upstream says itself when there is news, that somebody watches it is no
// reason to ask.
func (p *Poller) wanted(task *sweptTask, u *upstream.Upstream, now time.Time) bool {
	r := &task.request
	e, _ := p.memory.Get(&r.Key)
	if u == nil || !u.Continues(r.Upstream) || !u.Sweeps(e) {
		return false
	}
	polled := time.Duration(int64(now.Sub(sweepEpoch)) - task.polled.Load())
	return polled < sweptFor || !u.Speaks(now) && p.watches.follows(&r.Key)
}

// follows reports whether a task is watched that has not ended.
func (w *watches) follows(key *cache.ID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	there := w.byKey[*key]
	return there != nil && !there.ended
}

// told plans the next sweep after one that took some time and told of some of
// the tasks that were looked for. It returns those that the sweep before did
// tell of, and this one does not: they are polled alone from now on.
func (s *sweeps) told(l *listing, u *upstream.Upstream, of map[cache.ID]bool, looked []Request, took time.Duration, now time.Time) (missed []cache.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.failures, l.slack = 0, min(max(leastSlack, 2*took), max(leastSlack, u.Config.Timeout))
	for i := range looked {
		key := looked[i].Key
		task := l.tasks[key]
		if task == nil {
			continue
		}
		if !of[key] && !task.missed {
			missed = append(missed, key)
		}
		task.missed = !of[key]
	}
	s.plan(l, now.Add(u.SweepEvery()))
	return missed
}

// again plans the next sweep of l.
func (s *sweeps) again(l *listing, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan(l, due)
}

// failed plans the next sweep after one that told nothing, not before wait.
func (s *sweeps) failed(l *listing, u *upstream.Upstream, wait time.Duration, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pause := min(max(longestSweep, u.SweepEvery()), u.SweepEvery()<<min(l.failures, 10))
	l.failures++
	s.plan(l, now.Add(max(pause, wait)))
}
