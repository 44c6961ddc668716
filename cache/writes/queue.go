// Package writes is what a store has yet to write: by one goroutine, many in one
// transaction.
package writes

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"pollux/cache"
)

const (
	// maxQueued bounds the writes that wait, and maxQueuedBytes the values of
	// those that nobody waits for; callers who wait are bounded by themselves.
	maxQueued      = 4096
	maxQueuedBytes = 64 << 20
	// maxStates bounds the partitions whose state waits to be written, which
	// only grows while no write succeeds.
	maxStates = 1 << 16
	// crowd is how many callers have to wait for one batch for the next to be held
	// open for more of them: fewer would share less than they wait for.
	crowd = 4
)

// Write is one change on its way to the store.
type Write interface {
	Size() int     // bytes of the values that it holds
	Awaited() bool // somebody waits for it
}

// Queue holds what has yet to be written, in the order of the calls. It is safe
// for concurrent use.
type Queue[W Write] struct {
	linger, pace time.Duration
	Ops          chan W        // who takes one off calls Took
	Wake         chan struct{} // of capacity 1: there are states
	Waiting      atomic.Int64  // writes that are not in the store yet
	Dropped      atomic.Uint64

	bytes atomic.Int64 // values in Ops that nobody waits for

	// Of the last batch, Gather's own: when it was closed, and whether a crowd
	// waited for it.
	closed  time.Time
	crowded bool

	mu sync.Mutex // guards what follows
	// states are to be written with the next batch, the newest of each
	// partition, and flushing those of the batch under way.
	states, flushing map[cache.ID]cache.PartitionState
}

// New returns an empty queue. A batch that nobody waits for stays open for linger,
// for more to come. One that follows on a batch for which a crowd of callers waited
// stays open until pace after that was closed: there are more to come, who share
// what a transaction costs whatever is in it.
func New[W Write](linger, pace time.Duration) *Queue[W] {
	return &Queue[W]{linger: linger, pace: pace, Ops: make(chan W, maxQueued), Wake: make(chan struct{}, 1), states: map[cache.ID]cache.PartitionState{}}
}

// Offer queues w, for which nobody waits, unless there is too much already.
func (q *Queue[W]) Offer(w W) (queued bool) {
	size := int64(w.Size())
	q.Waiting.Add(1)
	if q.bytes.Add(size) <= maxQueuedBytes {
		select {
		case q.Ops <- w:
			return true
		default:
		}
	}
	q.Waiting.Add(-1)
	q.bytes.Add(-size)
	q.Dropped.Add(1)
	return false
}

// Took closes the account of a write taken off Ops.
func (q *Queue[W]) Took(w W) W {
	if !w.Awaited() {
		q.bytes.Add(-int64(w.Size()))
	}
	return w
}

// Gather fills a batch with what is queued, up to most writes and about mostBytes
// of values. While a transaction runs, callers queue up behind it and share the
// next one, so but for what New says a batch that somebody waits for, or that is
// empty, is not held open for more; nor is any once stop is closed.
func (q *Queue[W]) Gather(batch []W, most, mostBytes int, stop <-chan struct{}) []W {
	size, callers := 0, 0
	count := func(w W) W {
		if size += w.Size(); w.Awaited() {
			callers++
		}
		return w
	}
	for _, w := range batch {
		count(w)
	}
	defer func() { q.closed, q.crowded = time.Now(), callers >= crowd }()
	var more <-chan time.Time // until when the batch is held open
	hold := len(batch) > 0
	if callers > 0 && q.crowded {
		select {
		case <-time.After(time.Until(q.closed.Add(q.pace))):
		case <-stop:
		}
	}
	for len(batch) < most && size < mostBytes {
		select {
		case w := <-q.Ops:
			batch = append(batch, count(q.Took(w)))
			continue
		default:
		}
		if !hold || callers > 0 {
			break
		}
		if more == nil {
			more = time.After(q.linger)
		}
		select {
		case w := <-q.Ops:
			batch = append(batch, count(q.Took(w)))
		case <-more:
			hold = false
		case <-stop:
			hold = false
		}
	}
	return batch
}

// State returns the state of a partition that is not written yet.
func (q *Queue[W]) State(id *cache.ID) (cache.PartitionState, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	state, ok := q.states[*id]
	if !ok {
		state, ok = q.flushing[*id]
	}
	return state, ok
}

// PutState has state written with the next batch. Of too many some are dropped.
func (q *Queue[W]) PutState(id *cache.ID, state cache.PartitionState) {
	q.mu.Lock()
	if _, known := q.states[*id]; !known && len(q.states) >= maxStates {
		for other := range q.states {
			delete(q.states, other)
			break
		}
		q.Dropped.Add(1)
	}
	q.states[*id] = state
	q.mu.Unlock()
	select {
	case q.Wake <- struct{}{}:
	default:
	}
}

// TakeStates returns the states that wait; State still finds them until
// SettleStates is called.
func (q *Queue[W]) TakeStates() map[cache.ID]cache.PartitionState {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.flushing, q.states = q.states, map[cache.ID]cache.PartitionState{}
	return q.flushing
}

// SettleStates ends what TakeStates began. What was not written waits again,
// unless there is newer.
func (q *Queue[W]) SettleStates(written bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !written {
		maps.Copy(q.flushing, q.states)
		q.states = q.flushing
	}
	q.flushing = nil
}
