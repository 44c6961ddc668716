// Package postgres is the store that several replicas share: a PostgreSQL
// database with sealed values. It is the truth for all of them; what they agree
// on besides (who asks, what a credential may spend, who lives) stands in tables
// that a crash of the database may empty. The database's clock is the only one.
//
// Every call has a deadline. The first that meets no database ends the waiting
// of all others until a heartbeat came through again: meanwhile they return
// cache.ErrUnavailable at once.
package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"pollux/cache"
	"pollux/cache/writes"
)

const (
	// pollTimeout bounds what every poll waits for, callTimeout other look-ups,
	// writeTimeout a durable write, listTimeout a list: a database that hangs, or
	// is too slow to be of use, must not hang a poll.
	pollTimeout  = 500 * time.Millisecond
	callTimeout  = time.Second
	writeTimeout = 5 * time.Second
	listTimeout  = 10 * time.Second
	// patience is how long others may be answered first before the database is
	// given up, if its calls take slow. One whose calls take less works off what is
	// asked of it, for which maxWait is the bound.
	patience = 500 * time.Millisecond
	slow     = 100 * time.Millisecond
	maxWait  = 2 * time.Second
	// connections is how many are open at most, unless the address says otherwise.
	connections = 4
	// linger is how long a transaction that nobody waits for is held open for more;
	// other replicas wait for the leases that it gives back.
	linger = 2 * time.Millisecond
	// closeTimeout bounds the writing of what is queued at the end.
	closeTimeout = 5 * time.Second
)

// errClosed is returned by calls after Close.
var errClosed = errors.New("store is closed")

// How notices of other replicas are received.
const (
	NotifyAuto   = "auto"   // Listen, where that works
	NotifyListen = "listen" // LISTEN on a connection of its own
	NotifyTable  = "table"  // reading a table, through transaction poolers
)

// Config configures the store.
type Config struct {
	// Address is the connection string, a URL or keywords as libpq has them.
	Address string
	// Notify is one of the Notify constants; "" is auto.
	Notify string
	// Retention is how long after the upstream last said something about a task
	// it is kept. Zero keeps it for ever.
	Retention time.Duration
	// Version is the program's, for the list of members.
	Version string
	// Keep runs what outlives calls, as the root of a goroutine: a panic must not
	// end the process, and f runs again until it returns or stop is closed. Nil
	// lets a panic end it.
	Keep func(stop <-chan struct{}, what string, f func())
}

// Store implements cache.Cluster, cache.Index and cache.Outbox. It is safe for
// concurrent use.
type Store struct {
	cfg     Config
	secret  *cache.Secret
	log     *slog.Logger
	pool    *pgxpool.Pool
	self    cache.Member
	trigger func(*cache.Entry) []cache.Delivery // set by OnPut; nil: nothing is triggered

	slots    chan struct{} // held by calls under way
	lists    chan struct{} // and by those among them that may take long
	latency  atomic.Int64  // of the latest short calls on average, nanoseconds
	looks    chan *look
	writes   *writes.Queue[*write]
	notices  notices
	members  atomic.Pointer[cache.Members]
	lags     atomic.Pointer[map[string]time.Duration]
	outage   atomic.Pointer[error] // why nothing is asked of the database; nil while it answers
	relapses relapses
	stranded stranded
	ctx      context.Context // of the background; over after Close
	cancel   context.CancelFunc
	stop     chan struct{} // closed by Close
	running  sync.WaitGroup
	writer   chan struct{} // closed when the writer has ended
	closing  sync.Once

	unreadable atomic.Uint64
}

var (
	_ cache.Cluster = (*Store)(nil)
	_ cache.Index   = (*Store)(nil)
	_ cache.Outbox  = (*Store)(nil)
)

// Stats is how the store is doing.
type Stats struct {
	Queued, QueueLimit int           // writes waiting, and how many may
	Dropped            uint64        // writes of PutLater and CommitLater lost under load
	Unreadable         uint64        // values found that could not be opened
	Listening          bool          // notices come by LISTEN, not from the table
	Lag                time.Duration // how long the last own notice took to be heard
	Connections        int32         // open to the database
}

// Password returns the password in an address, "" if there is none or the
// address is none.
func Password(address string) string {
	if address == "" {
		return ""
	}
	config, err := pgconn.ParseConfig(address)
	if err != nil {
		return ""
	}
	return config.Password
}

// Open connects to the database, makes or migrates its tables, and joins the
// replicas that share it. A database that cannot be reached, belongs to another
// application, or was made by a newer version or under another secret, is an
// error that says so. ctx bounds the opening only; the store runs until Close.
func Open(ctx context.Context, cfg Config, secret *cache.Secret, log *slog.Logger) (*Store, error) {
	config, err := pgxpool.ParseConfig(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("store.address: %w", err) // pgx leaves the password out
	}
	// Statements that are prepared belong to a connection, which a transaction
	// pooler does not keep.
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.ConnConfig.ConnectTimeout = 2 * time.Second
	if !strings.Contains(cfg.Address, "pool_max_conns") {
		config.MaxConns = connections
	}
	config.MinIdleConns = min(config.MaxConns/2, connections/2) // opening one can take longer than a call may
	config.MaxConnLifetimeJitter = 5 * time.Minute
	config.PingTimeout = quick // connections that idled through an outage may be dead, each of them
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("store.address: %w", err)
	}
	if err := prepare(ctx, pool, secret, log); err != nil {
		pool.Close()
		return nil, err
	}
	var id [6]byte
	rand.Read(id[:]) // never fails
	if cfg.Keep == nil {
		cfg.Keep = func(_ <-chan struct{}, _ string, f func()) { f() }
	}
	s := &Store{
		cfg: cfg, secret: secret, log: log, pool: pool,
		self: cache.Member{ID: hex.EncodeToString(id[:]), Version: cfg.Version, Started: time.Now()},
		stop: make(chan struct{}), writer: make(chan struct{}), writes: writes.New[*write](linger, 0), looks: make(chan *look),
	}
	calls := max(1, int(config.MaxConns)-2) // the heart and the writer have one each
	s.slots, s.lists = make(chan struct{}, calls), make(chan struct{}, max(1, calls/2))
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.notices.forceTable = cfg.Notify == NotifyTable
	if err := s.join(ctx, config.ConnConfig); err != nil {
		s.cancel()
		s.running.Wait()
		pool.Close()
		return nil, err
	}
	s.keep("heart of the store", s.runHeart)
	for range lookers {
		s.keep("looks of the store", s.runLooker)
	}
	s.keep("sweeps of the store", s.runSweeper)
	go func() {
		defer close(s.writer)
		s.cfg.Keep(s.stop, "writes of the store", s.runWriter)
	}()
	return s, nil
}

// keep runs a loop that ends with s.ctx.
func (s *Store) keep(what string, loop func()) {
	s.running.Go(func() { s.cfg.Keep(s.ctx.Done(), what, loop) })
}

// Close writes what is queued, takes leave of the other replicas, and closes
// all connections.
func (s *Store) Close() error {
	var err error
	s.closing.Do(func() {
		close(s.stop)
		<-s.writer
		s.cancel()
		s.running.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if s.outage.Load() == nil {
			err = s.leave(ctx)
		}
		s.pool.Close()
	})
	return err
}

// Healthy returns why nothing is asked of the database, nil while it answers.
func (s *Store) Healthy() error {
	if why := s.outage.Load(); why != nil {
		return *why
	}
	return nil
}

// Stats returns the present numbers.
func (s *Store) Stats() Stats {
	return Stats{
		Queued: len(s.writes.Ops), QueueLimit: cap(s.writes.Ops), Dropped: s.writes.Dropped.Load(), Unreadable: s.unreadable.Load(),
		Listening: !s.notices.table.Load(), Lag: time.Duration(s.notices.lag.Load()), Connections: s.pool.Stat().TotalConns(),
	}
}

// call runs f within limit, once a connection is to be had, and notes when there
// is no database to be met.
func (s *Store) call(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	if limit >= listTimeout {
		select {
		case s.lists <- struct{}{}:
			defer func() { <-s.lists }()
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(listTimeout):
			return fmt.Errorf("%w: others were asking for %v", cache.ErrUnavailable, listTimeout)
		}
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer func() { <-s.slots }()
	if err := s.usable(ctx); err != nil { // as of now
		return err
	}
	if limit <= callTimeout {
		defer s.took(time.Now())
	}
	return s.try(ctx, limit, f)
}

// enter takes a place among those who ask the database, as soon as there is one.
func (s *Store) enter(ctx context.Context) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	began, impatient := time.Now(), time.NewTicker(patience)
	defer impatient.Stop()
	for {
		select {
		case s.slots <- struct{}{}:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-impatient.C:
			if err := s.useless(time.Since(began)); err != nil {
				return err
			}
		}
	}
}

// took notes how long a call took that began then.
func (s *Store) took(began time.Time) {
	average := s.latency.Load()
	s.latency.Store(average + (int64(time.Since(began))-average)/8) // of two at once, one may not count
}

// useless gives the database up if who has waited for so long had better go on
// alone.
func (s *Store) useless(waited time.Duration) error {
	if why := s.outage.Load(); why != nil {
		return fmt.Errorf("%w: %w", cache.ErrUnavailable, *why)
	}
	took := time.Duration(s.latency.Load())
	if took < slow && waited < maxWait {
		return nil
	}
	err := fmt.Errorf("calls take %v, and others wait for %v", took.Round(time.Millisecond), waited.Round(time.Millisecond))
	s.fail(err)
	return fmt.Errorf("%w: %w", cache.ErrUnavailable, err)
}

// try is call also while nothing is asked of the database.
func (s *Store) try(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := f(bounded)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case bounded.Err() != nil:
		err = fmt.Errorf("no answer in %v", limit)
	case !unreachable(err):
		return err
	}
	s.fail(err)
	return fmt.Errorf("%w: %w", cache.ErrUnavailable, err)
}

// unreachable reports whether err is of the database as a whole, and not of one
// statement.
func unreachable(err error) bool {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return !errors.Is(err, pgx.ErrNoRows) && !errors.Is(err, errClosed)
	}
	switch refused.Code[:2] {
	case "08", "53", "57", "58", "XX": // connection, resources, intervention, system, internal
		return true
	}
	return refused.Code == "25006" // read-only
}

// A database that answers some calls and fails others, as one with a full disk
// does, is asked again after ever longer pauses, up to longestPause, as long as
// it fails within relapse of having been taken up again.
const (
	relapse      = 5 * time.Second
	firstPause   = ownEvery
	longestPause = 2 * time.Second
)

// relapses is how a database is taken up again after it did not answer.
type relapses struct {
	mu    sync.Mutex // guards what follows
	until time.Time  // it is not taken up before
	pause time.Duration
	back  time.Time // when it last was taken up
	told  bool      // that it does not answer stands in the log
}

// fail notes that there is no database, until the heart beats again.
func (s *Store) fail(err error) {
	if s.outage.Swap(&err) != nil {
		return
	}
	r, now := &s.relapses, time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.back) > relapse {
		r.pause = 0
	} else {
		r.pause = min(max(2*r.pause, firstPause), longestPause)
	}
	if r.until = now.Add(r.pause); !r.told {
		r.told = true
		s.log.Warn("database does not answer: going on alone", "err", err)
	}
}

// recovered notes that the database answers.
func (s *Store) recovered() {
	r, now := &s.relapses, time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !now.Before(r.until) && s.outage.Swap(nil) != nil {
		r.back = now
		s.notices.lost()
	}
}

// calm reports whether the database has answered since before.
func (r *relapses) calm(before time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.back.Before(before)
}

// tellRecovery has the log say that the database answers again, once it is
// likely to go on with that.
func (s *Store) tellRecovery() {
	r := &s.relapses
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.told && s.outage.Load() == nil && time.Since(r.back) >= 2*r.pause {
		r.told = false
		s.log.Info("database answers again")
	}
}

// Get returns the entry under key, or cache.ErrNotFound.
func (s *Store) Get(ctx context.Context, key *cache.ID) (*cache.Entry, error) {
	var partition, value []byte
	err := s.call(ctx, callTimeout, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, sqlGet, key[:]).Scan(&partition, &value)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, cache.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read stored task: %w", err)
	}
	if e := s.openEntry(key, partition, value); e != nil {
		return e, nil
	}
	return nil, cache.ErrNotFound
}

const sqlGet = `SELECT partition, value FROM pollux_tasks JOIN pollux_bodies USING (seq) WHERE key = $1`

// openEntry opens a value found under key, nil if it cannot be.
func (s *Store) openEntry(key *cache.ID, partition, value []byte) *cache.Entry {
	var id cache.ID
	if len(partition) == len(id) {
		copy(id[:], partition)
		if e, err := s.secret.OpenEntry(&id, key, value, time.Now()); err == nil {
			return e
		}
	}
	s.unreadable.Add(1)
	return nil
}

// Partition returns what is known of a partition, or cache.ErrNotFound. It sees
// what PutPartition queued.
func (s *Store) Partition(ctx context.Context, id *cache.ID) (cache.PartitionState, error) {
	if state, ok := s.writes.State(id); ok {
		return state, nil
	}
	var value []byte
	err := s.call(ctx, pollTimeout, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `SELECT value FROM pollux_partitions WHERE id = $1`, id[:]).Scan(&value)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return cache.PartitionState{}, cache.ErrNotFound
	}
	if err != nil {
		return cache.PartitionState{}, fmt.Errorf("read stored partition: %w", err)
	}
	return s.openState(id, value)
}

func (s *Store) openState(id *cache.ID, value []byte) (cache.PartitionState, error) {
	state, err := s.secret.OpenPartition(id, value, time.Now())
	if err != nil {
		s.unreadable.Add(1)
		return cache.PartitionState{}, cache.ErrNotFound
	}
	return state, nil
}
