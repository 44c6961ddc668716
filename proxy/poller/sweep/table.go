// Package sweep knows which live tasks an upstream's listings may tell about, so
// that they need not be polled one by one, and when each listing is read. It
// reads none: that is the engine's.
package sweep

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/poller/schedule"
	"pollux/proxy/poller/upstream"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

const (
	// gathering is how long the first sweep of a listing waits for more tasks:
	// they come together, in a batch for example.
	gathering = 100 * time.Millisecond
	// leastSlack is how much longer than until the next sweep is due an answer of
	// a sweep is fresh at least: that one takes its time too.
	leastSlack = time.Second
	// Longest bounds the pauses between sweeps that fail.
	Longest = 5 * time.Minute
	// maxSwept bounds the tasks that are looked for in listings; others are
	// polled.
	maxSwept = 200_000
)

// Host is what a Table needs of the engine.
type Host struct {
	Slots    func(upstream string) int
	Upstream func(name string) *upstream.Upstream // of today; nil if there is none
	// Wanted reports whether a task lives and somebody wants to know of it, which
	// was polled last so long ago.
	Wanted func(t *Task, u *upstream.Upstream, polled time.Duration) bool
	Secret *cache.Secret
}

// Table is the live tasks that listings may tell about: what a sweep tells of a
// task is fresh until the next one has been. What no listing tells of is polled as
// ever. It is safe for concurrent use.
type Table struct {
	Pages, Tasks *prometheus.CounterVec // by upstream, of pages also by outcome

	host  Host
	queue *schedule.Queue[*Listing]

	mu    sync.RWMutex // guards what follows; taken after the engine's watches.mu and before the queue's
	byKey map[cache.ID]*entry
	byID  map[cache.ID]*Listing
}

// Listing is one listing of an upstream, as one partition sees it.
type Listing struct {
	ID        cache.ID
	Upstream  string
	Partition *upstream.Partition
	Release   func() // of its share of the budget; belongs to the one sweep that is planned or under way

	// Guarded by Table.mu:
	tasks    map[cache.ID]*entry
	due      time.Time // of the sweep that is planned or under way; zero: the listing is not in force
	slack    time.Duration
	failures int // sweeps in a row that told nothing
}

// Task is a live task that a listing may tell about.
type Task struct {
	Upstream   *upstream.Upstream
	Partition  *upstream.Partition
	Key        cache.ID
	Reference  providers.Reference
	Credential providers.Credential
}

type entry struct {
	Task
	listing *Listing
	polled  atomic.Int64 // nanoseconds since epoch of its last poll, by a client or a watch
	missed  bool         // the last sweep did not tell of it: it is polled alone; guarded by Table.mu
}

var epoch = time.Now()

// New returns a Table without tasks.
func New(host Host, reg prometheus.Registerer) *Table {
	auto := promauto.With(reg)
	s := &Table{
		host: host, byKey: map[cache.ID]*entry{}, byID: map[cache.ID]*Listing{},
		Pages: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "pollux_sweep_pages_total", Help: "Pages of listings that were asked for, by what came of them.",
		}, []string{"upstream", "outcome"}),
		Tasks: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "pollux_sweep_tasks_total", Help: "Answers about tasks that listings gave, in place of a poll each.",
		}, []string{"upstream"}),
	}
	s.queue = schedule.New(schedule.Rules[*Listing]{
		Slots: host.Slots,
		Wait: func(l *Listing, now time.Time) (wait time.Duration) {
			u := host.Upstream(l.Upstream)
			if u == nil {
				l.Release = func() {} // nothing is asked, and the listing goes
				return 0
			}
			l.Release, wait = l.Partition.Pledge(u.Config.Rate.Budget(), now)
			return wait
		},
	})
	return s
}

// Run has read called, by spawn, for each listing whose time has come, until ctx
// ends.
func (s *Table) Run(ctx context.Context, spawn func(func()), read func(ctx context.Context, l *Listing, late time.Duration)) {
	s.queue.Run(ctx, spawn, read)
}

// Along notes that a task has been polled, or is watched from now on, and that e
// is known of it, nil being nothing. It puts the task's listing in force once
// there are enough of them.
func (s *Table) Along(t Task, e *cache.Entry, now time.Time) {
	u := t.Upstream
	if !u.Sweeps(e) || s.Touch(&t.Key, now) {
		return
	}
	id := s.listingID(&t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKey[t.Key] != nil || len(s.byKey) >= maxSwept {
		return
	}
	l := s.byID[id]
	if l == nil {
		l = &Listing{ID: id, Upstream: u.Name, Partition: t.Partition, tasks: map[cache.ID]*entry{}, slack: leastSlack}
		s.byID[id] = l
	}
	task := &entry{Task: t, listing: l}
	task.polled.Store(int64(now.Sub(epoch)))
	s.byKey[t.Key], l.tasks[t.Key] = task, task
	if l.due.IsZero() && len(l.tasks) >= u.Config.SweepAtLeast {
		s.plan(l, now.Add(gathering))
	}
}

// listingID names the listing that would tell about a task.
func (s *Table) listingID(t *Task) cache.ID {
	return s.host.Secret.Sum("listing", string(t.Partition.ID[:]), t.Upstream.Provider.SweepGroup(t.Reference))
}

// Touch notes that a task has been polled, and reports whether it is one that
// listings may tell about. It allocates nothing.
func (s *Table) Touch(key *cache.ID, now time.Time) bool {
	s.mu.RLock()
	task := s.byKey[*key]
	s.mu.RUnlock()
	if task == nil {
		return false
	}
	if at := int64(now.Sub(epoch)); at-task.polled.Load() > int64(time.Second) { // hits do not fight over it
		task.polled.Store(at)
	}
	return true
}

// plan plans the next sweep of l. The lock is held.
func (s *Table) plan(l *Listing, due time.Time) {
	l.due = due
	s.queue.Add(schedule.Call[*Listing]{Key: l.ID, Lane: l.Upstream, Owner: l.Partition.Credential().ID, Due: due, Value: l})
}

// FreshUntil is until when what a poll says of a task now is fresh because the
// next sweep tells of it; the zero time if none is to.
func (s *Table) FreshUntil(key *cache.ID, now time.Time) time.Time {
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

// Slack is how long after its time the next sweep of l may tell of a task.
func (s *Table) Slack(l *Listing) time.Duration {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return l.slack
}

// Swept are the tasks of l that are to be looked for now. Those that have ended,
// or that nobody has asked for lately, are dropped; if too few are left, l is not
// in force any more. u is the upstream of today, nil if there is none.
func (s *Table) Swept(l *Listing, u *upstream.Upstream, now time.Time) []Task {
	s.mu.RLock()
	all := maps.Clone(l.tasks)
	s.mu.RUnlock()
	var gone []cache.ID
	var live []Task
	for key, task := range all {
		if !s.wanted(task, u, now) {
			gone = append(gone, key)
			continue
		}
		t := task.Task
		t.Upstream = u
		live = append(live, t)
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
		delete(s.byID, l.ID)
	}
	return nil
}

func (s *Table) wanted(task *entry, u *upstream.Upstream, now time.Time) bool {
	polled := time.Duration(int64(now.Sub(epoch)) - task.polled.Load())
	return u != nil && u.Continues(task.Upstream) && s.host.Wanted(&task.Task, u, polled)
}

// Told plans the next sweep after one that took some time and told of some of
// the tasks that were looked for. It returns those that the sweep before did
// tell of, and this one does not: they are polled alone from now on.
func (s *Table) Told(l *Listing, u *upstream.Upstream, of map[cache.ID]bool, looked []Task, took time.Duration, now time.Time) (missed []cache.ID) {
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

// Again plans the next sweep of l.
func (s *Table) Again(l *Listing, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan(l, due)
}

// Failed plans the next sweep after one that told nothing, not before wait.
func (s *Table) Failed(l *Listing, u *upstream.Upstream, wait time.Duration, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pause := min(max(Longest, u.SweepEvery()), u.SweepEvery()<<min(l.failures, 10))
	l.failures++
	s.plan(l, now.Add(max(pause, wait)))
}
