// Package stuck learns from everything that becomes known how long tasks take,
// and tells which of those that have not ended take longer.
package stuck

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"pollux/cache"
	"pollux/normalize"
	"pollux/proxy/poller/upstream"
)

const (
	// maxTracked bounds the tasks whose time in their status is watched, a
	// hundred bytes each. Beyond, the fleet's count of stuck ones is too low.
	maxTracked = 200_000
	// loadStep is how many tasks are read at once from the index at the start.
	loadStep = 500
	// ElsewhereEvery is how often it is looked for tasks that ended elsewhere, late
	// how far clocks may differ, and how late rows may be written.
	ElsewhereEvery = 30 * time.Second
	late           = 30 * time.Second
	// stuckFor is how long a count of the stuck tasks is good for.
	stuckFor = time.Second
)

// Tracker knows the tasks that have not ended. It is safe for concurrent use.
type Tracker struct {
	upstream func(name string) *upstream.Upstream // nil if there is none
	index    cache.Index
	own      *cache.MemoryIndex // index, when the store has none
	shared   bool               // other processes see tasks end too

	mu      sync.Mutex             // guards what follows
	ended   map[cache.ID]time.Time // when shared: which tasks have taught lately how long they took, and when they ended
	running map[cache.ID]tracked
	stuck   map[cache.ID]stuckCount // by partition; immutable
	stuckAt time.Time
}

// tracked is a task that has not ended.
type tracked struct {
	partition               cache.ID
	upstream, group, status string
	since                   time.Time
}

// stuckCount is how many tasks of a partition are stuck.
type stuckCount struct {
	upstream string
	n        int
}

// New returns a Tracker over the index of store, or one in memory if store has
// none. upstream is asked for the upstream of that name, nil if there is none.
func New(store cache.Store, upstream func(string) *upstream.Upstream) *Tracker {
	t := &Tracker{upstream: upstream, running: map[cache.ID]tracked{}, ended: map[cache.ID]time.Time{}}
	_, t.shared = store.(cache.Cluster)
	if index, ok := store.(cache.Index); ok {
		t.index = index
	} else {
		t.own = cache.NewMemoryIndex()
		t.index = t.own
	}
	return t
}

// Learn takes in what was learnt of a task of which known was known, nil being
// nothing. A change of its status is a sample only the first time that an entry
// has it: what follows, as a settling step does, has it too.
func (t *Tracker) Learn(known, e *cache.Entry) {
	if t.own != nil {
		t.own.Put(e)
	}
	u := t.upstream(e.Upstream)
	if u == nil {
		return
	}
	group := u.Group(e)
	if changed(known, e) {
		if e.Terminal {
			t.taught(&e.Key, e.UpdatedAt)
		}
		u.Learn(group, e.History, e.FirstSeen, e.CreatedAt, e.CompletedAt)
	}
	t.follow(group, e)
}

// Heard takes in what another process has learnt of a task: it is no sample here.
func (t *Tracker) Heard(e *cache.Entry) {
	if u := t.upstream(e.Upstream); u != nil {
		t.follow(u.Group(e), e)
	}
}

func (t *Tracker) follow(group string, e *cache.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.Terminal {
		delete(t.running, e.Key)
		return
	}
	t.track(e.Key, tracked{e.Partition, e.Upstream, group, e.Status, e.StatusSince()})
}

// Leave leaves a task to another process, which has news of it that are of no use
// here.
func (t *Tracker) Leave(key *cache.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.running, *key)
}

// changed reports whether the very answer that made e changed the status.
func changed(known, e *cache.Entry) bool {
	n := len(e.History)
	if n == 0 || !e.History[n-1].At.Equal(e.ObservedAt) {
		return false
	}
	return known == nil || len(known.History) == 0 || !known.History[len(known.History)-1].At.Equal(e.ObservedAt)
}

// track needs mu.
func (t *Tracker) track(key cache.ID, task tracked) {
	if _, known := t.running[key]; known || len(t.running) < maxTracked {
		t.running[key] = task
	}
}

// Forget drops a task of which nothing is known any more.
func (t *Tracker) Forget(key *cache.ID) {
	if t.own != nil {
		t.own.Delete(key)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.running, *key)
}

// Load makes up for what became known before the process started.
func (t *Tracker) Load(ctx context.Context) error {
	if t.own != nil {
		return nil
	}
	if err := t.learnEnded(ctx, time.Time{}); err != nil {
		return err
	}
	q := cache.Query{Sight: cache.Sight{All: true}, Order: cache.ByUpdated, Descending: true, Limit: loadStep}
	for _, status := range normalize.Statuses {
		if !status.Terminal() {
			q.Statuses = append(q.Statuses, string(status))
		}
	}
	for n := 0; n < maxTracked; {
		rows, next, err := t.index.List(ctx, &q)
		if err != nil {
			return err
		}
		t.found(rows)
		if n += len(rows); next == nil {
			break
		}
		q.After = next
	}
	return nil
}

// Elsewhere learns how long the tasks took that other processes saw end lately, if
// there are others. What is called every ElsewhereEvery misses none, unless more
// than loadStep end in that time.
func (t *Tracker) Elsewhere(ctx context.Context, now time.Time) error {
	if !t.shared {
		return nil
	}
	since := now.Add(-ElsewhereEvery - late)
	t.mu.Lock()
	maps.DeleteFunc(t.ended, func(_ cache.ID, at time.Time) bool { return at.Before(since) })
	t.mu.Unlock()
	return t.learnEnded(ctx, since)
}

// learnEnded learns how long the latest tasks took that ended since, the latest
// last, but for those that have taught it.
func (t *Tracker) learnEnded(ctx context.Context, since time.Time) error {
	q := cache.Query{Sight: cache.Sight{All: true}, Order: cache.ByUpdated, Descending: true, Limit: loadStep, Since: since}
	for _, status := range normalize.Statuses {
		if status.Terminal() {
			q.Statuses = append(q.Statuses, string(status))
		}
	}
	rows, _, err := t.index.List(ctx, &q)
	for _, r := range slices.Backward(rows) {
		if u := t.upstream(r.Upstream); u != nil && !t.taught(&r.Key, r.UpdatedAt) {
			for n := range r.History {
				u.Learn(u.RowGroup(&r), r.History[:n+1], r.FirstSeen, r.CreatedAt, r.CompletedAt)
			}
		}
	}
	return err
}

// taught reports whether the end of a task has been learned from, and notes that
// it is now.
func (t *Tracker) taught(key *cache.ID, at time.Time) bool {
	if !t.shared {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, known := t.ended[*key]
	if known || len(t.ended) < maxTracked {
		t.ended[*key] = at
	}
	return known
}

func (t *Tracker) found(rows []cache.Row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range rows {
		r := &rows[i]
		u := t.upstream(r.Upstream)
		if _, newer := t.running[r.Key]; !newer && u != nil {
			t.track(r.Key, tracked{r.Partition, r.Upstream, u.RowGroup(r), r.Status, r.StatusSince})
		}
	}
}

// isStuck reports whether a task is longer in its status than it should be.
func (t *tracked) isStuck(u *upstream.Upstream, now time.Time) bool {
	d, ok := u.Patience(t.group, t.status)
	return ok && now.Sub(t.since) > d
}

// count is how many tasks of each partition are stuck, as of at most stuckFor
// ago.
func (t *Tracker) count(now time.Time) map[cache.ID]stuckCount {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stuck != nil && now.Sub(t.stuckAt).Abs() < stuckFor {
		return t.stuck
	}
	type like struct{ upstream, group, status string }
	patience := map[like]time.Duration{} // 0: nothing is known
	counts := map[cache.ID]stuckCount{}
	for _, task := range t.running {
		key := like{task.upstream, task.group, task.status}
		d, seen := patience[key]
		if !seen {
			if u := t.upstream(task.upstream); u != nil {
				d, _ = u.Patience(task.group, task.status)
			}
			patience[key] = d
		}
		if d > 0 && now.Sub(task.since) > d {
			c := counts[task.partition]
			c.upstream = task.upstream
			c.n++
			counts[task.partition] = c
		}
	}
	t.stuck, t.stuckAt = counts, now
	return counts
}

// Index is where tasks are listed from.
func (t *Tracker) Index() cache.Index { return t.index }

// Stuck reports whether the task of a row is longer in its status than nearly
// all tasks of its upstream and group need, or unknown for very long.
func (t *Tracker) Stuck(r *cache.Row, now time.Time) bool {
	u := t.upstream(r.Upstream)
	if u == nil || r.Terminal {
		return false
	}
	t.mu.Lock()
	task, ok := t.running[r.Key]
	t.mu.Unlock()
	if !ok || task.status != r.Status {
		task = tracked{r.Partition, r.Upstream, u.RowGroup(r), r.Status, r.StatusSince}
	}
	return task.isStuck(u, now)
}

// Counts is how many tasks in sight are stuck, by upstream.
func (t *Tracker) Counts(sight *cache.Sight, now time.Time) map[string]int {
	out := map[string]int{}
	for partition, c := range t.count(now) {
		if sight.Sees(&partition) {
			out[c.upstream] += c.n
		}
	}
	return out
}
