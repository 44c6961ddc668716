// Package sqlite is the durable store of one process: a SQLite file with sealed
// values. One goroutine writes, in the order of the calls and many in one
// transaction; a few read. Whatever breaks in the file is a miss, an error of a
// write, or a fresh file beside the damaged one, never a wrong document.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"pollux/cache"
	"pollux/cache/writes"
)

const (
	// readers is how many reads run at once; one takes some 20 µs from the
	// page cache, so more only help a slow disk.
	readers = 3
	// listReaders is how many lists and counts do, beside them: polls need not
	// wait for those, nor a list for the hundreds of reads of a batch.
	listReaders = 2
	// readTimeout and writeTimeout bound a call whose context has no earlier
	// end: a disk that hangs must not hang a poll.
	readTimeout  = 2 * time.Second
	writeTimeout = 5 * time.Second
	// closeTimeout bounds the wait for connections that do not come back.
	closeTimeout = 5 * time.Second
)

// errClosed is returned by calls after Close.
var errClosed = errors.New("store is closed")

// errUnavailable is returned by writes while there is no usable file.
var errUnavailable = errors.New("store file is damaged and could not be replaced yet")

// Config configures the store.
type Config struct {
	// Path is the database file. Its directory is made if missing; beside it
	// lie -wal, -shm and .lock files.
	Path string
	// Retention is how long after the upstream last said something about a task
	// it is kept. Zero keeps it for ever.
	Retention time.Duration
	// Keep runs what outlives calls, as the root of a goroutine: a panic must not
	// end the process, and f runs again until it returns or stop is closed. Nil
	// lets a panic end it.
	Keep func(stop <-chan struct{}, what string, f func())
}

// Store implements cache.Store. It is safe for concurrent use.
type Store struct {
	path      string
	retention time.Duration
	secret    *cache.Secret
	log       *slog.Logger

	file   atomic.Pointer[database] // nil while there is no usable file
	lock   *fileLock
	reads  chan *read // to the readers
	lists  chan *read // to the list readers
	writes *writes.Queue[*write]
	last   uint64 // version in the file when it was opened
	health health

	broken      chan error    // of capacity 1: why the file needs to be mended
	stop        chan struct{} // closed by Close
	readersDone sync.WaitGroup
	writerDone  chan struct{}
	closing     sync.Once
	closeErr    error

	unreadable, replaced, reopened atomic.Uint64

	trigger func(*cache.Entry) []cache.Delivery // set by OnPut; nil: nothing is triggered
}

var (
	_ cache.Store = (*Store)(nil)
	_ cache.Index = (*Store)(nil)
)

// Stats is how the store is doing.
type Stats struct {
	Queued, QueueLimit int    // writes waiting, and how many may
	Dropped            uint64 // writes of PutLater and PutPartition lost under load
	Unreadable         uint64 // values found that could not be opened
	Replaced           uint64 // times a damaged file was moved aside while running
	Reopened           uint64 // times it was opened again after a fault
}

// Open opens or makes the store at cfg.Path. A file that is damaged, not ours or
// of another version is moved aside, with a line in log, and an empty one takes
// its place. A file in use by another process, or one that may not be written,
// is an error. Values sealed under another secret are misses. ctx bounds the
// opening only; the store runs until Close.
func Open(ctx context.Context, cfg Config, secret *cache.Secret, log *slog.Logger) (*Store, error) {
	path, err := preparePath(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	file, err := openOrReplace(ctx, path, secret, log)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, errors.Join(err, lock.release()))
	}
	s := &Store{
		path: path, retention: cfg.Retention, secret: secret, log: log, lock: lock,
		reads:      make(chan *read),
		lists:      make(chan *read),
		writes:     writes.New[*write](linger, pace),
		broken:     make(chan error, 1),
		stop:       make(chan struct{}),
		writerDone: make(chan struct{}),
	}
	if file.locked {
		log.Warn("the store key opens nothing in the store: all of it counts as missing; if the key was changed, put the old one back", "path", path)
	}
	s.file.Store(file)
	var last integer
	if err := file.read.QueryRowContext(ctx, sqlLastVersion).Scan(&last); err == nil && last > 0 {
		s.last = uint64(last) // else it counts from the clock
	}
	keep := cfg.Keep
	if keep == nil {
		keep = func(_ <-chan struct{}, _ string, f func()) { f() }
	}
	for i := range readers + listReaders {
		from := s.reads
		if i >= readers {
			from = s.lists
		}
		s.readersDone.Go(func() { keep(s.stop, "reads of the store", func() { s.runReader(from) }) })
	}
	go func() {
		defer close(s.writerDone)
		keep(s.stop, "writes of the store", s.runWriter)
	}()
	return s, nil
}

// Close writes what is queued, then closes the file. Calls that come later, or
// while it runs, may return an error.
func (s *Store) Close() error {
	s.closing.Do(func() {
		close(s.stop)
		<-s.writerDone
		s.readersDone.Wait()
		if file := s.file.Swap(nil); file != nil {
			s.closeErr = file.closeWithin(closeTimeout)
		}
		s.closeErr = errors.Join(s.closeErr, s.lock.release())
	})
	return s.closeErr
}

// usable returns why a call need not even start: Close was called, so that what
// is queued gets to an end, or ctx is over.
func (s *Store) usable(ctx context.Context) error {
	select {
	case <-s.stop:
		return errClosed
	default:
		return ctx.Err()
	}
}

// LastVersion returns a version that no entry exceeds that was in the file when
// it was opened, by ten seconds at most beyond the largest.
func (s *Store) LastVersion() uint64 { return s.last }

// Healthy returns the last failure of a write, nil once one succeeded again.
func (s *Store) Healthy() error { return s.health.last() }

// Stats returns the present numbers.
func (s *Store) Stats() Stats {
	return Stats{
		Queued: len(s.writes.Ops), QueueLimit: cap(s.writes.Ops), Dropped: s.writes.Dropped.Load(),
		Unreadable: s.unreadable.Load(), Replaced: s.replaced.Load(), Reopened: s.reopened.Load(),
	}
}

// health remembers how the last write went.
type health struct {
	mu  sync.Mutex
	err error // guarded by mu
}

func (h *health) last() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// set records the outcome of a write and reports whether it differs in kind
// from the one before.
func (h *health) set(err error) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	changed = (err == nil) != (h.err == nil)
	h.err = err
	return changed
}
