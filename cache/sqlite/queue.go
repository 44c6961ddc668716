package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"pollux/cache"
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

// Size is that of the value.
func (w *write) Size() int { return len(w.value) }

// Awaited reports whether a caller waits for w.
func (w *write) Awaited() bool { return w.done != nil }

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
	s.writes.Offer(&write{key: e.Key, entry: e, value: s.secret.SealEntry(e), deliveries: s.triggered(e)})
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
	s.writes.PutState(id, state)
}

// await queues w and waits for its outcome.
func (s *Store) await(ctx context.Context, w *write) outcome {
	if err := s.usable(ctx); err != nil {
		return outcome{err: err}
	}
	timer := time.NewTimer(writeTimeout)
	defer timer.Stop()
	queue := s.writes.Ops
	if !w.barrier {
		s.writes.Waiting.Add(1)
		defer func() {
			if queue != nil { // it did not get in
				s.writes.Waiting.Add(-1)
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
