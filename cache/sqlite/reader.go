package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"pollux/cache"
)

// read is one query on its way to a reader.
type read struct {
	do   func(*database) error
	done chan error // of capacity 1: nobody may be waiting any more
}

// runReader answers reads of one kind until Close. The work is not done on the callers'
// goroutines so that a disk that hangs holds readers and not polls.
func (s *Store) runReader(from <-chan *read) {
	// A page that is mapped but gone (the -shm file was cut) becomes a panic
	// that can be recovered, not the end of the process.
	debug.SetPanicOnFault(true)
	for {
		select {
		case r := <-from:
			r.done <- s.useFile(r.do)
		case <-s.stop:
			return
		}
	}
}

// useFile runs f on the open file, and has the file mended if f shows that it is
// broken.
func (s *Store) useFile(f func(*database) error) error {
	file := s.file.Load()
	if file == nil {
		return errUnavailable
	}
	err := file.use(f)
	if damage(err) || fault(err) {
		select {
		case s.broken <- err:
		default:
		}
	}
	return err
}

// look returns what f finds on a reader of those that to leads to. A damaged file
// has nothing: cache.ErrNotFound, as it is. Of other errors what says what was done.
func look[T any](ctx context.Context, s *Store, to chan<- *read, what string, f func(*database) (T, error)) (T, error) {
	var found, none T // a reader may still write found after ctx is over
	err := s.ask(ctx, to, func(d *database) (err error) {
		found, err = f(d)
		return err
	})
	switch {
	case errors.Is(err, cache.ErrNotFound):
		return none, cache.ErrNotFound
	case err != nil:
		return none, fmt.Errorf("%s: %w", what, err)
	}
	return found, nil
}

// ask runs f on a reader of those that to leads to, within ctx and readTimeout. A damaged file has
// nothing: cache.ErrNotFound.
func (s *Store) ask(ctx context.Context, to chan<- *read, f func(*database) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	r := &read{do: f, done: make(chan error, 1)}
	var err error
	select {
	case to <- r:
		select {
		case err = <-r.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stop:
		return errClosed
	}
	if errors.Is(err, sql.ErrNoRows) || damage(err) || fault(err) ||
		errors.Is(err, errUnavailable) || errors.Is(err, errAbandoned) {
		return cache.ErrNotFound
	}
	return err
}

// Get returns the entry under key, or cache.ErrNotFound.
func (s *Store) Get(ctx context.Context, key *cache.ID) (*cache.Entry, error) {
	if file := s.file.Load(); file != nil && s.usable(ctx) == nil && !file.keys.mayHold(key) {
		return nil, cache.ErrNotFound
	}
	id := *key // a reader may still hold it after ctx is over
	found, err := look(ctx, s, s.reads, "read stored task", func(d *database) (r row, err error) {
		err = d.get.QueryRow(id[:]).Scan(&r.partition, &r.value)
		return r, err
	})
	if err != nil {
		return nil, err
	}
	if e, ok := s.openRow(&id, found); ok {
		return e, nil
	}
	return nil, cache.ErrNotFound
}

// row is what a lookup by key returns.
type row struct{ partition, value []byte }

// openRow opens a row found under key.
func (s *Store) openRow(key *cache.ID, r row) (*cache.Entry, bool) {
	var partition cache.ID
	if len(r.partition) != len(partition) {
		s.unreadable.Add(1)
		return nil, false
	}
	copy(partition[:], r.partition)
	e, err := s.secret.OpenEntry(&partition, key, r.value, time.Now())
	if err != nil {
		s.unreadable.Add(1)
		return nil, false
	}
	return e, true
}

// Partition returns what is known of a partition, or cache.ErrNotFound. It sees
// what PutPartition queued.
func (s *Store) Partition(ctx context.Context, id *cache.ID) (cache.PartitionState, error) {
	if state, ok := s.writes.State(id); ok {
		return state, nil
	}
	key := *id
	found, err := look(ctx, s, s.reads, "read stored partition", func(d *database) (value []byte, err error) {
		err = d.getPartition.QueryRow(key[:]).Scan(&value)
		return value, err
	})
	if err != nil {
		return cache.PartitionState{}, err
	}
	state, err := s.secret.OpenPartition(&key, found, time.Now())
	if err != nil {
		s.unreadable.Add(1)
		return cache.PartitionState{}, cache.ErrNotFound
	}
	return state, nil
}
