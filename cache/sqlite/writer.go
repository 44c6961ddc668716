package sqlite

import (
	"database/sql"
	"errors"
	"math"
	"runtime/debug"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"pollux/cache"
)

const (
	// maxBatch is how many writes share a transaction, and so an fsync.
	maxBatch = 200
	// linger is how long a transaction that nobody waits for is held open for more:
	// what is in it is in memory, and lists wait for it.
	linger = 20 * time.Millisecond
	// pace is the time between two transactions while a crowd waits for each: one
	// costs some 0.3 ms of CPU and an fsync, a row that shares it 0.05 ms.
	pace = 3 * time.Millisecond
	// versionsAhead is how far beyond a version, microseconds of the clock, the file
	// has the largest: it is written once in so long and not with every transaction.
	versionsAhead = 10_000_000
	// retryEvery is how often pending partitions are tried again while writes
	// fail.
	retryEvery = time.Second
)

// writer is the state of the one goroutine that writes.
type writer struct {
	*Store
	batch                  []*write
	replacedAt, reopenedAt time.Time // last attempts to mend the file; zero: none
	stuck                  bool      // connections to an old file may still be open: its path must not be used
	forgotten              cache.Floors
	round                  round
}

// runWriter writes what is queued, replaces a damaged file and deletes rows past
// their retention, until Close.
func (s *Store) runWriter() {
	debug.SetPanicOnFault(true) // as in runReader
	w := &writer{Store: s, batch: make([]*write, 0, maxBatch)}
	retry, expire := stoppedTimer(), time.NewTimer(expirePause)
	defer retry.Stop()
	defer expire.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	unread := time.NewTimer(0)
	defer unread.Stop()
	for {
		stopping := false
		select {
		case op := <-s.writes.Ops:
			w.batch = append(w.batch, s.writes.Took(op))
		case <-s.writes.Wake:
		case <-retry.C:
		case err := <-s.broken:
			w.mend(err)
		case <-expire.C:
			expire.Reset(w.expire())
			continue
		case <-look.C:
			w.look()
			continue
		case <-unread.C:
			unread.Reset(w.readKeys())
			continue
		case <-s.stop:
			stopping = true
		}
		if stopping {
			w.drain()
			return
		}
		w.gather()
		if !w.flush() {
			retry.Reset(retryEvery)
		}
	}
}

func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// gather fills the batch with what is queued.
func (w *writer) gather() {
	w.batch = w.writes.Gather(w.batch, maxBatch, math.MaxInt, w.stop)
}

// drain writes everything that was queued before Close.
func (w *writer) drain() {
	for {
		w.gather()
		if len(w.batch) == 0 {
			w.flush() // partitions
			return
		}
		w.flush()
	}
}

// flush commits the batch and the pending partitions in one transaction, tells
// the callers and reports success. A batch of nothing succeeds.
func (w *writer) flush() bool {
	partitions := w.writes.TakeStates()
	if len(partitions) == 0 && w.onlyBarriers() {
		w.tell(nil, nil) // an empty transaction says nothing about the disk
		return true
	}
	if w.file.Load() == nil {
		w.mend(nil)
	}
	outcomes := make([]outcome, len(w.batch))
	err := w.useFile(func(d *database) error {
		return w.commit(d, outcomes, partitions)
	})
	w.writes.SettleStates(err == nil)
	w.report(err) // first: a caller who is told of a failure finds it in Healthy
	w.tell(outcomes, err)
	return err == nil
}

func (w *writer) onlyBarriers() bool {
	for _, op := range w.batch {
		if !op.barrier {
			return false
		}
	}
	return true
}

// tell says to the callers what became of the batch, and empties it. No
// outcomes means that all went well.
func (w *writer) tell(outcomes []outcome, err error) {
	for i, op := range w.batch {
		if !op.barrier {
			w.writes.Waiting.Add(-1)
		}
		if !op.Awaited() {
			continue
		}
		switch {
		case err != nil:
			op.done <- outcome{err: err}
		case outcomes == nil:
			op.done <- outcome{}
		default:
			op.done <- outcomes[i]
		}
	}
	clear(w.batch)
	w.batch = w.batch[:0]
}

// report keeps the outcome of a write for Healthy and logs when it turns.
func (s *Store) report(err error) {
	switch changed := s.health.set(err); {
	case changed && err != nil:
		s.log.Warn("store does not take writes: going on without", "path", s.path, "err", err)
	case changed:
		s.log.Info("store takes writes again", "path", s.path)
	}
}

// commit does the batch in one transaction, or if an operation fails each in one
// of its own, so that it fails alone. It returns why nothing can be written.
func (w *writer) commit(d *database, outcomes []outcome, partitions map[cache.ID]cache.PartitionState) error {
	err := w.transact(d, w.batch, outcomes, partitions)
	if err == nil || hopeless(err) || len(w.batch) < 2 {
		return err
	}
	for i := range w.batch {
		if err := w.transact(d, w.batch[i:i+1], outcomes[i:i+1], nil); hopeless(err) {
			return err
		} else if err != nil {
			outcomes[i].err = err
		}
	}
	return w.transact(d, nil, nil, partitions)
}

// hopeless reports whether err is of the file or the disk, and not of one
// operation.
func hopeless(err error) bool {
	if err == nil {
		return false
	}
	switch code(err) {
	case sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_ERROR:
		return false
	}
	return damage(err) || fault(err) || code(err) != 0 || errors.Is(err, errAbandoned)
}

// transact does some operations of the batch in one transaction; outcomes hold
// if it returns nil.
func (w *writer) transact(d *database, batch []*write, outcomes []outcome, partitions map[cache.ID]cache.PartitionState) error {
	tx, err := d.write.Begin()
	if err != nil {
		return err
	}
	c := &change{writer: w, Tx: tx, d: d}
	for i, op := range batch {
		if err == nil {
			outcomes[i], err = c.do(op)
		}
	}
	if err == nil {
		err = c.putPartitions(partitions)
	}
	last := d.last
	if err == nil && c.version > last {
		last = c.version + versionsAhead
		_, err = tx.Exec(sqlPutVersion, int64(last))
	}
	if err != nil {
		return errors.Join(err, tx.Rollback()) // not deferred: after a fault, SQLite must not be entered again
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	d.last = last
	d.counts.apply(c.deltas)
	for key, generation := range c.forgotten {
		w.forgotten.Leave(&key, generation, time.Now())
	}
	return nil
}

// change is one transaction of the writer under way.
type change struct {
	*writer
	*sql.Tx
	d         *database
	deltas    []delta             // how it changes the counts
	version   uint64              // the largest that it writes
	forgotten map[cache.ID]uint64 // the generations that it leaves behind
}

func (c *change) do(op *write) (outcome, error) {
	switch {
	case op.barrier:
		return outcome{}, nil
	case op.record != nil:
		return outcome{}, op.record(c.Tx)
	case op.entry == nil:
		return c.remove(op)
	}
	return c.put(op)
}

func (c *change) putPartitions(partitions map[cache.ID]cache.PartitionState) error {
	put := c.Stmt(c.d.putPartition)
	now := time.Now().UnixMicro()
	for id, state := range partitions {
		if _, err := put.Exec(id[:], now, c.secret.SealPartition(&id, state)); err != nil {
			return err
		}
	}
	return nil
}

// standing is a row that is there, by its columns.
type standing struct {
	seq                         int64
	partition                   blob
	upstream, status            text
	id, model, errorCode        []byte
	frozen                      integer
	generation, version         integer
	created, updated, completed integer
}

// standing returns the row under key, nil if there is none.
func (c *change) standing(key *cache.ID) (*standing, error) {
	var r standing
	err := c.Stmt(c.d.standing).QueryRow(key[:]).Scan(&r.seq, &r.partition, &r.upstream, &r.status, (*blob)(&r.id), (*blob)(&r.model), (*blob)(&r.errorCode),
		&r.frozen, &r.generation, &r.version, &r.created, &r.updated, &r.completed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &r, err
}

// count notes how a row that is there counts.
func (c *change) count(r *standing, n int) {
	d := delta{upstream: string(r.upstream), status: string(r.status), n: n}
	copy(d.partition[:], r.partition)
	c.deltas = append(c.deltas, d)
}

// remove deletes a row and leaves a generation behind.
func (c *change) remove(op *write) (outcome, error) {
	out := outcome{generation: op.generation}
	r, err := c.standing(&op.key)
	if op.generation > 0 {
		floor := c.floor(&op.key)
		if r != nil {
			floor = max(floor, uint64(r.generation))
		}
		if out.generation = op.generation; floor >= op.generation {
			out.generation = floor + 1
		}
		if c.forgotten == nil {
			c.forgotten = map[cache.ID]uint64{}
		}
		c.forgotten[op.key] = out.generation
	}
	if err != nil || r == nil {
		return out, err
	}
	c.count(r, -1)
	return out, c.drop(r.seq)
}

// floor is the generation that was left behind under key.
func (c *change) floor(key *cache.ID) uint64 {
	if generation, ok := c.forgotten[*key]; ok {
		return generation
	}
	return c.writer.forgotten.Floor(key, time.Now())
}

func (c *change) drop(seq int64) error {
	_, err := c.Stmt(c.d.delete).Exec(seq)
	if err == nil {
		_, err = c.Stmt(c.d.deleteBody).Exec(seq)
	}
	return err
}

// put writes one entry with the deliveries that it causes, or returns what
// stands instead.
func (c *change) put(op *write) (outcome, error) {
	e := op.entry
	var r *standing
	if c.d.keys.add(&op.key) {
		var err error
		if r, err = c.standing(&op.key); err != nil {
			return outcome{}, err
		}
	}
	if r != nil && !(&cache.Entry{Generation: uint64(r.generation), Version: uint64(r.version), Frozen: r.frozen != 0}).GivesWayTo(e) {
		// A row that cannot be opened only claims to stand: it is damaged, or
		// from under another secret, and would be in the way for ever.
		if kept, err := c.kept(&op.key); err != nil || kept != nil && !kept.GivesWayTo(e) {
			return outcome{standing: kept}, err
		}
	}
	if e.Generation < c.floor(&op.key) {
		return outcome{err: cache.ErrForgotten}, nil
	}
	if err := c.write(r, op); err != nil {
		return outcome{}, err
	}
	c.version = max(c.version, e.Version)
	return outcome{}, addDeliveries(c.Tx, op.deliveries)
}

// kept returns the entry that stands under key, nil if it cannot be opened.
func (c *change) kept(key *cache.ID) (*cache.Entry, error) {
	var found row
	err := c.Stmt(c.d.getForPut).QueryRow(key[:]).Scan(&found.partition, &found.value)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil // a row without its body
	}
	if err != nil {
		return nil, err
	}
	e, _ := c.openRow(key, found)
	return e, nil
}

// write puts op in place of r, which may be nil.
func (c *change) write(r *standing, op *write) error {
	e := op.entry
	args := columns(e, c.secret)
	var err error
	var seq int64
	switch {
	case r == nil:
		var result sql.Result
		if result, err = c.Stmt(c.d.insert).Exec(args...); err == nil {
			seq, err = result.LastInsertId()
		}
	case string(r.partition) == string(e.Partition[:]) && string(r.upstream) == e.Upstream && string(r.status) == e.Status &&
		string(r.id) == e.TaskID && string(r.model) == e.Model && string(r.errorCode) == e.ErrorCode &&
		args[10] == int64(r.created) && args[11] == int64(r.updated) && args[12] == int64(r.completed):
		seq = r.seq
		_, err = c.Stmt(c.d.confirm).Exec(args[0], args[7], args[8], args[9], args[13], args[14])
	default:
		seq = r.seq
		_, err = c.Stmt(c.d.update).Exec(args...)
	}
	if err != nil {
		return err
	}
	if r != nil {
		c.count(r, -1)
	}
	c.deltas = append(c.deltas, delta{e.Partition, e.Upstream, e.Status, 1})
	_, err = c.Stmt(c.d.putBody).Exec(seq, op.value)
	return err
}

// columns are the arguments of sqlInsert and sqlUpdate for an entry.
func columns(e *cache.Entry, secret *cache.Secret) []any {
	shown := cache.RowOf(e)
	return []any{
		e.Key[:], e.Partition[:], e.Upstream, e.Status, []byte(e.TaskID), []byte(e.Model), []byte(e.ErrorCode), e.Frozen,
		int64(e.Generation), int64(e.Version),
		cache.ByCreated.Time(&shown), cache.ByUpdated.Time(&shown), cache.ByCompleted.Time(&shown), micros(e.ObservedAt), secret.SealRow(&shown),
	}
}

// micros renders a time for a column, 0 when it is not known.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
