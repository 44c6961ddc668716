package sqlite

import (
	"database/sql"
	"errors"
	"runtime/debug"
	"time"

	"pollux/cache"
)

const (
	// maxBatch is how many writes share a transaction, and so an fsync.
	maxBatch = 200
	// linger is how long a batch that nobody waits for stays open for more.
	linger = 2 * time.Millisecond
	// retryEvery is how often pending partitions are tried again while writes
	// fail.
	retryEvery = time.Second
)

// writer is the state of the one goroutine that writes.
type writer struct {
	*Store
	batch                  []*write
	deltas                 []delta   // of the transaction under way
	replacedAt, reopenedAt time.Time // last attempts to mend the file; zero: none
	stuck                  bool      // connections to an old file may still be open: its path must not be used
}

// runWriter writes what is queued, replaces a damaged file and deletes rows past
// their retention, until Close.
func (s *Store) runWriter() {
	debug.SetPanicOnFault(true) // as in runReader
	defer close(s.writerDone)
	w := &writer{Store: s, batch: make([]*write, 0, maxBatch)}
	retry, expire := stoppedTimer(), stoppedTimer()
	defer retry.Stop()
	defer expire.Stop()
	if s.retention > 0 {
		expire.Reset(expirePause)
	}
	for {
		stopping := false
		select {
		case op := <-s.writes.ops:
			w.batch = append(w.batch, s.writes.took(op))
		case <-s.writes.wake:
		case <-retry.C:
		case err := <-s.broken:
			w.mend(err)
		case <-expire.C:
			expire.Reset(w.expire())
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

// gather fills the batch with what is queued. While a transaction runs, callers
// queue up behind it and share the next one, so a batch that somebody waits for
// starts at once.
func (w *writer) gather() {
	var patience <-chan time.Time
	for len(w.batch) < maxBatch {
		select {
		case op := <-w.writes.ops:
			w.batch = append(w.batch, w.writes.took(op))
			continue
		default:
		}
		if w.anyAwaited() {
			return
		}
		if patience == nil {
			patience = time.After(linger)
		}
		select {
		case op := <-w.writes.ops:
			w.batch = append(w.batch, w.writes.took(op))
		case <-patience:
			return
		case <-w.stop:
			return
		}
	}
}

func (w *writer) anyAwaited() bool {
	for _, op := range w.batch {
		if op.awaited() {
			return true
		}
	}
	return false
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
	partitions := w.writes.takePartitions()
	if len(partitions) == 0 && w.onlyBarriers() {
		w.settle(nil, nil) // an empty transaction says nothing about the disk
		return true
	}
	if w.file.Load() == nil {
		w.mend(nil)
	}
	outcomes := make([]outcome, len(w.batch))
	err := w.useFile(func(d *database) error {
		return w.commit(d, outcomes, partitions)
	})
	w.writes.settlePartitions(err == nil)
	w.report(err) // first: a caller who is told of a failure finds it in Healthy
	w.settle(outcomes, err)
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

// settle tells the callers what became of the batch, and empties it. No
// outcomes means that all went well.
func (w *writer) settle(outcomes []outcome, err error) {
	for i, op := range w.batch {
		if !op.barrier {
			w.writes.waiting.Add(-1)
		}
		if !op.awaited() {
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

// commit does the batch in one transaction; outcomes hold if it returns nil.
func (w *writer) commit(d *database, outcomes []outcome, partitions map[cache.ID]cache.PartitionState) error {
	tx, err := d.write.Begin()
	if err != nil {
		return err
	}
	if err := w.apply(tx, d, outcomes, partitions); err != nil {
		return errors.Join(err, tx.Rollback()) // not deferred: after a fault, SQLite must not be entered again
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	d.counts.apply(w.deltas)
	return nil
}

// apply does within tx what commit is for, and leaves in w.deltas how that
// changes the counts.
func (w *writer) apply(tx *sql.Tx, d *database, outcomes []outcome, partitions map[cache.ID]cache.PartitionState) error {
	w.deltas = w.deltas[:0]
	put, remove := tx.Stmt(d.put), tx.Stmt(d.delete)
	for i, op := range w.batch {
		if op.barrier {
			continue
		}
		if op.record != nil {
			if err := op.record(tx); err != nil {
				return err
			}
			continue
		}
		leaving, err := counted(tx.Stmt(d.counted), &op.key)
		switch {
		case err != nil:
		case op.entry == nil:
			_, err = remove.Exec(op.key[:])
		default:
			outcomes[i].standing, err = w.put(tx, d, put, op)
			if err == nil && outcomes[i].standing == nil {
				err = addDeliveries(tx, op.deliveries)
			}
		}
		if err != nil {
			return err
		}
		w.note(leaving, op, outcomes[i].standing)
	}
	putPartition := tx.Stmt(d.putPartition)
	for id, state := range partitions {
		value := w.secret.SealPartition(&id, state)
		if _, err := putPartition.Exec(id[:], state.Upstream, micros(state.LastSuccess), state.Suspended, value); err != nil {
			return err
		}
	}
	return nil
}

// counted returns how a row counts, nil if there is none.
func counted(stmt *sql.Stmt, key *cache.ID) (*delta, error) {
	var partition []byte
	d := &delta{n: -1}
	switch err := stmt.QueryRow(key[:]).Scan(&partition, (*text)(&d.upstream), (*text)(&d.status)); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	}
	copy(d.partition[:], partition)
	return d, nil
}

// note keeps how an operation changes the counts: leaving is what was there.
func (w *writer) note(leaving *delta, op *write, standing *cache.Entry) {
	if standing != nil {
		return
	}
	e := op.entry
	if e != nil && leaving != nil && leaving.status == e.Status && leaving.partition == e.Partition && leaving.upstream == e.Upstream {
		return
	}
	if leaving != nil {
		w.deltas = append(w.deltas, *leaving)
	}
	if e != nil {
		w.deltas = append(w.deltas, delta{e.Partition, e.Upstream, e.Status, 1})
	}
}

// put writes one entry, or returns the frozen one that stands.
func (w *writer) put(tx *sql.Tx, d *database, put *sql.Stmt, op *write) (standing *cache.Entry, err error) {
	changed, err := upsert(put, op)
	if err != nil || changed {
		return nil, err
	}
	var found row
	if err := tx.Stmt(d.getForPut).QueryRow(op.key[:]).Scan(&found.partition, &found.value); err != nil {
		return nil, err
	}
	if e, ok := w.openRow(&op.key, found); ok && e.Frozen {
		return e, nil
	}
	// The row only claims to be frozen: it is damaged, or from under another
	// secret, and would stand in the way for ever.
	if _, err := tx.Stmt(d.delete).Exec(op.key[:]); err != nil {
		return nil, err
	}
	_, err = upsert(put, op)
	return nil, err
}

// upsert runs sqlPut and reports whether a row was written.
func upsert(put *sql.Stmt, op *write) (changed bool, err error) {
	e := op.entry
	result, err := put.Exec(e.Key[:], e.Partition[:], e.Upstream, e.Provider, e.TaskID, e.Status, e.Terminal, e.Frozen,
		micros(e.CreatedAt), micros(e.CompletedAt), micros(e.UpdatedAt), micros(e.FirstSeen), micros(e.ObservedAt), op.value)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// micros renders a time for a column.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}
