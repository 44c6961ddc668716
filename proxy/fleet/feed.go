package fleet

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"pollux/cache"
	"pollux/proxy/problem"
)

// maxPendingRows is how many changed rows may wait for a reader of a list. One
// that is slower than that is cut off, and finds the present page when it comes
// back.
const maxPendingRows = 10_000

// feed hands changed rows to the streams of lists. It implements
// [poller.Observer]; the zero value has no subscribers.
type feed struct {
	listening atomic.Int64 // how many subscribers, so that without any nothing is locked
	mu        sync.RWMutex // guards subscribers
	all       map[*subscriber]struct{}
}

// subscriber is one stream. Rows that change again before they were taken come
// once.
type subscriber struct {
	wake chan struct{} // of capacity 1

	mu      sync.Mutex // guards what follows
	query   cache.Query
	order   []cache.ID // of pending
	pending map[cache.ID]*cache.Row
	cut     bool
	problem *problem.Problem
}

// subscribe returns a subscriber to the rows that q matches from now on,
// whatever page it asks for.
func (f *feed) subscribe(q cache.Query) *subscriber {
	sub := &subscriber{wake: make(chan struct{}, 1), query: q, pending: map[cache.ID]*cache.Row{}}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = map[*subscriber]struct{}{}
	}
	f.all[sub] = struct{}{}
	f.listening.Add(1)
	return sub
}

func (f *feed) leave(sub *subscriber) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, sub)
	f.listening.Add(-1)
}

// each calls tell for every subscriber.
func (f *feed) each(tell func(*subscriber)) {
	if f.listening.Load() == 0 {
		return
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	for sub := range f.all {
		tell(sub)
	}
}

// Published implements [poller.Observer]. A document that did not change in
// this answer is no news.
func (f *feed) Published(e *cache.Entry) {
	if f.listening.Load() == 0 || e.UpdatedAt.Before(e.ObservedAt.Truncate(time.Microsecond)) {
		return
	}
	row := cache.RowOf(e)
	f.each(func(sub *subscriber) { sub.add(&row) })
}

// Lost implements [poller.Observer].
func (f *feed) Lost(key *cache.ID, _ *problem.Problem) {
	f.each(func(sub *subscriber) {
		sub.mu.Lock()
		defer sub.mu.Unlock()
		delete(sub.pending, *key)
	})
}

// Suspended implements [poller.Observer]: nothing that waits of the partition is
// shown to its own credential any more. What is published later comes from a
// poll that the upstream let in again.
func (f *feed) Suspended(partition *cache.ID, why *problem.Problem) {
	f.each(func(sub *subscriber) { sub.blind(partition, why) })
}

// Resumed implements [poller.Observer].
func (f *feed) Resumed(*cache.ID) {}

func (sub *subscriber) add(row *cache.Row) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	if sub.cut || !sub.query.Matches(row) {
		return
	}
	if _, there := sub.pending[row.Key]; !there {
		if sub.cut = len(sub.order) >= maxPendingRows; sub.cut {
			sub.order, sub.pending = nil, nil
			sub.rouse()
			return
		}
		sub.order = append(sub.order, row.Key)
	}
	sub.pending[row.Key] = row
	sub.rouse()
}

func (sub *subscriber) blind(partition *cache.ID, why *problem.Problem) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	sight := &sub.query.Sight
	if sight.All || !sight.Sees(partition) {
		return
	}
	maps.DeleteFunc(sub.pending, func(_ cache.ID, row *cache.Row) bool { return row.Partition == *partition })
	if len(sight.Partitions) == 1 { // there is nothing else to wait for
		sub.problem = why
		sub.rouse()
	}
}

// rouse needs mu.
func (sub *subscriber) rouse() {
	select {
	case sub.wake <- struct{}{}:
	default:
	}
}

// take returns the rows that changed, in the order in which they did first.
// over says that there will be no more: because of problem, or without one,
// because they were too many.
func (sub *subscriber) take() (rows []*cache.Row, why *problem.Problem, over bool) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	for _, key := range sub.order {
		if row := sub.pending[key]; row != nil {
			rows = append(rows, row)
			delete(sub.pending, key) // it may be in order twice: lost in between
		}
	}
	sub.order = sub.order[:0]
	clear(sub.pending)
	return rows, sub.problem, sub.cut || sub.problem != nil
}
