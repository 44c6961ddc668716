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

// query runs f on a reader.
func (s *Store) query(ctx context.Context, f func(*database) error) error {
	return s.ask(ctx, s.reads, f)
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
	id := *key // a reader may still hold it after ctx is over
	var found row
	err := s.query(ctx, func(d *database) error {
		var r row
		if err := d.get.QueryRow(id[:]).Scan(&r.partition, &r.value); err != nil {
			return err
		}
		found = r
		return nil
	})
	if errors.Is(err, cache.ErrNotFound) {
		return nil, cache.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read stored task: %w", err)
	}
	e, ok := s.openRow(&id, found)
	if !ok {
		return nil, cache.ErrNotFound
	}
	return e, nil
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
	var found []byte
	err := s.query(ctx, func(d *database) error {
		var value []byte
		if err := d.getPartition.QueryRow(key[:]).Scan(&value); err != nil {
			return err
		}
		found = value
		return nil
	})
	if errors.Is(err, cache.ErrNotFound) {
		return cache.PartitionState{}, cache.ErrNotFound
	}
	if err != nil {
		return cache.PartitionState{}, fmt.Errorf("read stored partition: %w", err)
	}
	state, err := s.secret.OpenPartition(&key, found, time.Now())
	if err != nil {
		s.unreadable.Add(1)
		return cache.PartitionState{}, cache.ErrNotFound
	}
	return state, nil
}
