package sqlite

import (
	"context"
	"database/sql"
	"fmt"
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
	// maxPending bounds the partitions whose state waits to be written, which
	// only grows while no write succeeds.
	maxPending = 1 << 16
)

// write is one change on its way to the writer: of entry, or a deletion that
// leaves generation behind if that is nil.
type write struct {
	key        cache.ID
	entry      *cache.Entry
	value      []byte // entry, sealed
	generation uint64
	barrier    bool // changes nothing; done when what was called before it is
	done       chan outcome

	deliveries []cache.Delivery    // to be added with entry
	record     func(*sql.Tx) error // another change, of the outbox, instead of all the above
}

// outcome is what became of a write.
type outcome struct {
	standing   *cache.Entry // the entry that was not replaced, if any
	generation uint64       // that a deletion left behind
	err        error
}

// awaited reports whether a caller waits for w.
func (w *write) awaited() bool { return w.done != nil }

// writeQueue holds what the writer has yet to do, in the order of the calls.
type writeQueue struct {
	ops     chan *write
	bytes   atomic.Int64 // values in ops that nobody waits for
	waiting atomic.Int64 // writes that are not on disk yet, barriers aside
	dropped atomic.Uint64
	wake    chan struct{} // of capacity 1: there are pending partitions

	mu sync.Mutex
	// pending holds partitions to be written with the next batch, the newest
	// state of each, and flushing those of the batch under way. Guarded by mu.
	pending, flushing map[cache.ID]cache.PartitionState
}

func newWriteQueue() writeQueue {
	return writeQueue{
		ops:     make(chan *write, maxQueued),
		wake:    make(chan struct{}, 1),
		pending: make(map[cache.ID]cache.PartitionState),
	}
}

// offer queues w unless there is too much already.
func (q *writeQueue) offer(w *write) {
	size := int64(len(w.value))
	q.waiting.Add(1)
	if q.bytes.Add(size) <= maxQueuedBytes {
		select {
		case q.ops <- w:
			return
		default:
		}
	}
	q.waiting.Add(-1)
	q.bytes.Add(-size)
	q.dropped.Add(1)
}

// took settles the account of a write taken off ops.
func (q *writeQueue) took(w *write) *write {
	if !w.awaited() {
		q.bytes.Add(-int64(len(w.value)))
	}
	return w
}

// partition returns the state of a partition that is not on disk yet.
func (q *writeQueue) partition(id *cache.ID) (cache.PartitionState, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	state, ok := q.pending[*id]
	if !ok {
		state, ok = q.flushing[*id]
	}
	return state, ok
}

// putPartition makes state pending.
func (q *writeQueue) putPartition(id *cache.ID, state cache.PartitionState) {
	q.mu.Lock()
	if _, known := q.pending[*id]; !known && len(q.pending) >= maxPending {
		for other := range q.pending {
			delete(q.pending, other)
			break
		}
		q.dropped.Add(1)
	}
	q.pending[*id] = state
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// takePartitions returns what is pending; partition still finds it until
// settlePartitions is called.
func (q *writeQueue) takePartitions() map[cache.ID]cache.PartitionState {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.pending) == 0 {
		return nil
	}
	q.flushing, q.pending = q.pending, make(map[cache.ID]cache.PartitionState)
	return q.flushing
}

// settlePartitions ends what takePartitions began. What was not written becomes
// pending again, unless there is newer.
func (q *writeQueue) settlePartitions(written bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !written {
		maps.Copy(q.flushing, q.pending)
		q.pending = q.flushing
	}
	q.flushing = nil
	if q.pending == nil {
		q.pending = make(map[cache.ID]cache.PartitionState)
	}
}

// Put makes e durable, or returns the entry that stands. When ctx ends
// first, or after 5 s, it returns an error although the write may still happen.
func (s *Store) Put(ctx context.Context, e *cache.Entry) (*cache.Entry, error) {
	out := s.await(ctx, &write{key: e.Key, entry: e, value: s.secret.SealEntry(e), deliveries: s.triggered(e), done: make(chan outcome, 1)})
	switch {
	case out.err != nil:
		return nil, fmt.Errorf("store task: %w", out.err)
	case out.standing != nil:
		return out.standing, nil
	}
	stored := *e
	stored.Stored = true
	return &stored, nil
}

// PutLater queues e; Stats counts what is dropped.
func (s *Store) PutLater(e *cache.Entry) {
	if s.usable(context.Background()) != nil {
		return
	}
	s.writes.offer(&write{key: e.Key, entry: e, value: s.secret.SealEntry(e), deliveries: s.triggered(e)})
}

// Delete removes the entry under key and remembers the generation as long as the
// process runs, an hour at most. Of timeouts the same holds as of Put.
func (s *Store) Delete(ctx context.Context, key *cache.ID, generation uint64) (uint64, error) {
	out := s.await(ctx, &write{key: *key, generation: generation, done: make(chan outcome, 1)})
	if out.err != nil {
		return 0, fmt.Errorf("delete stored task: %w", out.err)
	}
	return out.generation, nil
}

// PutPartition queues state. It is not lost when writes fail: it is written
// with the first that succeeds.
func (s *Store) PutPartition(id *cache.ID, state cache.PartitionState) {
	s.writes.putPartition(id, state)
}

// await queues w and waits for its outcome.
func (s *Store) await(ctx context.Context, w *write) outcome {
	if err := s.usable(ctx); err != nil {
		return outcome{err: err}
	}
	timer := time.NewTimer(writeTimeout)
	defer timer.Stop()
	queue := s.writes.ops
	if !w.barrier {
		s.writes.waiting.Add(1)
		defer func() {
			if queue != nil { // it did not get in
				s.writes.waiting.Add(-1)
			}
		}()
	}
	for {
		select {
		case queue <- w:
			queue = nil // nil: never again
		case out := <-w.done:
			return out
		case <-ctx.Done():
			return outcome{err: ctx.Err()}
		case <-timer.C:
			err := fmt.Errorf("no answer from the disk in %v", writeTimeout)
			s.report(err)
			return outcome{err: err}
		case <-s.writerDone:
			select {
			case out := <-w.done: // both were ready
				return out
			default:
				return outcome{err: errClosed}
			}
		}
	}
}
