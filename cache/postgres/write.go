package postgres

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"pollux/cache"
)

const (
	// maxBatch and maxBatchBytes bound what shares a transaction.
	maxBatch      = 64
	maxBatchBytes = 8 << 20
	// retryEvery is how often waiting states are tried again while writes fail.
	retryEvery = time.Second
)

// Kinds of writes, as pollux_write has them.
const (
	kindCommit int32 = iota
	kindDelete
	kindBarrier // changes nothing; done when what was called before it is
)

// Outcomes of writes, as pollux_write has them.
const (
	outcomeDone int32 = iota
	outcomeStands
	outcomeForgotten
	outcomeSuperseded
)

// write is one change on its way to the database.
type write struct {
	kind       int32
	report     *cache.Report
	generation uint64    // to leave behind
	row        cache.Row // of the entry of report
	head, body []byte    // row and entry, sealed
	deliveries []cache.Delivery
	done       chan outcome // of capacity 1; nil: nobody waits
}

// outcome is what became of a write.
type outcome struct {
	standing   *cache.Entry // what stands instead
	generation uint64       // that was left behind
	err        error
}

// Size is that of the values.
func (w *write) Size() int { return len(w.head) + len(w.body) }

// Awaited reports whether a caller waits for w.
func (w *write) Awaited() bool { return w.done != nil }

// entryWrite is the write of a report.
func (s *Store) entryWrite(r *cache.Report, done chan outcome) *write {
	w := &write{report: r, done: done}
	if e := r.Entry; e != nil {
		w.row = cache.RowOf(e)
		w.head, w.body = s.secret.SealRow(&w.row), s.secret.SealEntry(e)
		if s.trigger != nil {
			w.deliveries = s.trigger(e)
		}
	}
	return w
}

// ofEntry is the report of an entry that no poll was granted for.
func ofEntry(e *cache.Entry) *cache.Report {
	return &cache.Report{Key: e.Key, Generation: e.Generation, Entry: e}
}

// Put implements cache.Store.
func (s *Store) Put(ctx context.Context, e *cache.Entry) (*cache.Entry, error) {
	return s.Commit(ctx, ofEntry(e))
}

// PutLater implements cache.Store; Stats counts what is dropped.
func (s *Store) PutLater(e *cache.Entry) { s.CommitLater(ofEntry(e)) }

// Commit implements cache.Cluster.
func (s *Store) Commit(ctx context.Context, r *cache.Report) (*cache.Entry, error) {
	if r.State != nil {
		s.writes.PutState(&r.Credential, *r.State)
	}
	out := s.await(ctx, s.entryWrite(r, make(chan outcome, 1)))
	switch {
	case out.err != nil:
		return nil, fmt.Errorf("store task: %w", out.err)
	case out.standing != nil:
		return out.standing, nil
	case r.Entry == nil:
		return nil, nil
	}
	stored := *r.Entry
	stored.Stored = true
	return &stored, nil
}

// CommitLater implements cache.Cluster.
func (s *Store) CommitLater(r *cache.Report) {
	if r.State != nil {
		s.writes.PutState(&r.Credential, *r.State)
	}
	if s.usable(context.Background()) != nil || !s.writes.Offer(s.entryWrite(r, nil)) {
		s.strand(r)
		r.Drop()
	}
}

// PutPartition queues state. It is not lost when writes fail: it is written
// with the first that succeeds.
func (s *Store) PutPartition(id *cache.ID, state cache.PartitionState) { s.writes.PutState(id, state) }

// Delete implements cache.Store.
func (s *Store) Delete(ctx context.Context, key *cache.ID, generation uint64) (uint64, error) {
	out := s.await(ctx, &write{kind: kindDelete, report: &cache.Report{Key: *key}, generation: generation, done: make(chan outcome, 1)})
	if out.err != nil {
		return 0, fmt.Errorf("delete stored task: %w", out.err)
	}
	return out.generation, nil
}

// usable returns why a call need not even start.
func (s *Store) usable(ctx context.Context) error {
	select {
	case <-s.stop:
		return errClosed
	default:
	}
	if why := s.outage.Load(); why != nil {
		return fmt.Errorf("%w: %w", cache.ErrUnavailable, *why)
	}
	return ctx.Err()
}

// await queues w and waits for its outcome.
func (s *Store) await(ctx context.Context, w *write) outcome {
	queue := s.writes.Ops
	defer func() {
		if queue != nil { // it did not get in
			s.strand(w.report)
		}
	}()
	if err := s.usable(ctx); err != nil {
		return outcome{err: err}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, writeTimeout+callTimeout, cache.ErrUnavailable)
	defer cancel()
	if w.kind != kindBarrier {
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
			return outcome{err: context.Cause(ctx)}
		case <-s.writer:
			select {
			case out := <-w.done: // both were ready
				return out
			default:
				return outcome{err: errClosed}
			}
		}
	}
}

// runWriter writes what is queued, many in one transaction, until Close. While
// a transaction runs, callers queue up behind it and share the next one.
func (s *Store) runWriter() {
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	for {
		var batch []*write
		select {
		case w := <-s.writes.Ops:
			batch = append(batch, s.writes.Took(w))
		case <-s.writes.Wake:
		case <-retry.C:
		case <-s.stop:
			for {
				if batch = s.gather(nil); len(batch) == 0 {
					s.flush(nil)
					return
				}
				s.flush(batch)
			}
		}
		s.flush(s.gather(batch))
	}
}

// gather fills a batch with what is queued.
func (s *Store) gather(batch []*write) []*write {
	return s.writes.Gather(batch, maxBatch, maxBatchBytes, s.stop)
}

// flush writes a batch and the waiting states, and tells the callers. If the
// batch fails for what is in it, each is tried alone.
func (s *Store) flush(batch []*write) {
	barriers := slices.Clone(batch)
	barriers = slices.DeleteFunc(barriers, func(w *write) bool { return w.kind != kindBarrier })
	batch = slices.DeleteFunc(batch, func(w *write) bool { return w.kind == kindBarrier })
	defer func() {
		s.writes.Waiting.Add(-int64(len(batch)))
		for _, w := range barriers {
			w.done <- outcome{}
		}
	}()
	states := s.writes.TakeStates()
	if len(batch) == 0 && len(states) == 0 {
		s.writes.SettleStates(true)
		return
	}
	err := s.write(batch, states)
	switch {
	case err == nil || len(batch) < 2 || s.outage.Load() != nil:
		s.writes.SettleStates(err == nil)
	default:
		for _, w := range batch {
			s.tell([]*write{w}, s.write([]*write{w}, nil))
		}
		s.writes.SettleStates(s.write(nil, states) == nil)
		return
	}
	s.tell(batch, err)
}

// tell tells those whose write failed; the others know.
func (s *Store) tell(batch []*write, err error) {
	for _, w := range batch {
		if err == nil {
			continue
		}
		s.strand(w.report)
		if w.done != nil {
			w.done <- outcome{err: err}
		} else {
			w.report.Drop()
		}
	}
}

// sqlWrite is committed with or without waiting for the disk ($36).
const sqlWrite = `SELECT n, outcome, left_behind, stands_partition, stands FROM (SELECT set_config('synchronous_commit', $36, true) AS commits) AS c,
LATERAL pollux_write_1(
$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
$22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35) WHERE commits <> ''`

// write does a batch in one transaction and, if that succeeds, tells the callers.
func (s *Store) write(batch []*write, states map[cache.ID]cache.PartitionState) error {
	// Batches of all replicas touch keys in one order, so that no two wait for
	// each other; writes of one key keep theirs.
	batch = slices.Clone(batch)
	slices.SortStableFunc(batch, func(a, b *write) int { return bytes.Compare(a.report.Key[:], b.report.Key[:]) })
	args := append(s.arguments(batch, states), durability(batch))
	outcomes := make([]outcome, len(batch))
	if why := s.outage.Load(); why != nil { // also at the end, when nobody else may ask any more
		return fmt.Errorf("%w: %w", cache.ErrUnavailable, *why)
	}
	err := s.try(s.ctx, writeTimeout, func(ctx context.Context) error {
		rows, err := s.pool.Query(ctx, sqlWrite, args...)
		if err != nil {
			return err
		}
		var n, kind int32
		var generation int64
		var partition, value []byte
		_, err = pgx.ForEachRow(rows, []any{&n, &kind, &generation, &partition, &value}, func() error {
			outcomes[n-1] = s.outcome(batch[n-1], kind, generation, partition, value)
			return nil
		})
		return err
	})
	if err != nil {
		return err
	}
	for i, w := range batch {
		if w.done != nil {
			w.done <- outcomes[i]
		}
	}
	return nil
}

// durability is how a batch is committed: where nobody waits for it, nor anything is
// to be sent for it, others hear of it before the disk has it.
func durability(batch []*write) string {
	if slices.ContainsFunc(batch, func(w *write) bool { return w.Awaited() || len(w.deliveries) > 0 }) {
		return "on"
	}
	return "off"
}

// outcome reads a row of pollux_write.
func (s *Store) outcome(w *write, kind int32, generation int64, partition, value []byte) outcome {
	out := outcome{generation: uint64(generation)}
	switch kind {
	case outcomeStands:
		if out.standing = s.openEntry(&w.report.Key, slices.Clone(partition), slices.Clone(value)); out.standing == nil {
			out.err = cache.ErrDamaged
		}
	case outcomeForgotten:
		out.err = cache.ErrForgotten
	case outcomeSuperseded:
		out.err = cache.ErrSuperseded
	}
	return out
}

// column is an array of one member of all writes.
func column[T any](batch []*write, of func(*write, *cache.Entry) T) []T {
	var none cache.Entry
	all := make([]T, len(batch))
	for i, w := range batch {
		e := w.report.Entry
		if e == nil {
			e = &none
		}
		all[i] = of(w, e)
	}
	return all
}

// orEmpty is b, or no bytes where it is nil, which would be NULL.
func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// timeIn is the time of a task in an order, as lists have it.
func timeIn(o cache.Order) func(*write, *cache.Entry) int64 {
	return func(w *write, _ *cache.Entry) int64 { return o.Time(&w.row) }
}

// arguments are those of pollux_write.
func (s *Store) arguments(batch []*write, states map[cache.ID]cache.PartitionState) []any {
	now := time.Now()
	args := []any{
		column(batch, func(w *write, _ *cache.Entry) int32 { return w.kind }),
		column(batch, func(w *write, _ *cache.Entry) []byte { return w.report.Key[:] }),
		column(batch, func(_ *write, e *cache.Entry) []byte { return e.Partition[:] }),
		column(batch, func(w *write, _ *cache.Entry) int64 { return int64(w.report.Token) }),
		column(batch, func(w *write, _ *cache.Entry) int64 { return int64(cmp.Or(w.generation, w.report.Generation)) }),
		column(batch, func(_ *write, e *cache.Entry) int64 { return int64(e.Version) }),
		column(batch, func(w *write, _ *cache.Entry) bool { return w.report.Entry != nil }),
		column(batch, func(_ *write, e *cache.Entry) string { return e.Upstream }),
		column(batch, func(_ *write, e *cache.Entry) string { return e.Status }),
		column(batch, func(_ *write, e *cache.Entry) []byte { return []byte(e.TaskID) }),
		column(batch, func(_ *write, e *cache.Entry) []byte { return []byte(e.Model) }),
		column(batch, func(_ *write, e *cache.Entry) []byte { return []byte(e.ErrorCode) }),
		column(batch, func(_ *write, e *cache.Entry) bool { return e.Frozen }),
		column(batch, timeIn(cache.ByCreated)), column(batch, timeIn(cache.ByUpdated)), column(batch, timeIn(cache.ByCompleted)),
		column(batch, func(_ *write, e *cache.Entry) int64 { return micros(e.ObservedAt) }),
		column(batch, func(w *write, _ *cache.Entry) []byte { return orEmpty(w.head) }),
		column(batch, func(w *write, _ *cache.Entry) []byte { return orEmpty(w.body) }),
		column(batch, func(w *write, _ *cache.Entry) int64 { return age(w.report, now) }),
		column(batch, func(w *write, _ *cache.Entry) int64 { return max(0, w.report.FreshUntil.Sub(now).Microseconds()) }),
	}
	args = append(args, deliveries(batch)...)
	args = append(args, s.states(states)...)
	args = append(args, credentials(batch)...)
	return append(args, s.self.ID, s.notices.toListeners.Load(), s.notices.toReaders.Load())
}

// age is how long ago the upstream said what a report has, in microseconds, -1
// if it said nothing.
func age(r *cache.Report, now time.Time) int64 {
	if r.ObservedAt.IsZero() {
		return -1
	}
	return max(0, now.Sub(r.ObservedAt).Microseconds())
}

// deliveries are the arrays of what a batch causes.
func deliveries(batch []*write) []any {
	ops, payloads, states := []int32{}, [][]byte{}, [][]byte{}
	ids, webhooks, events := []string{}, []string{}, []string{}
	for i, w := range batch {
		for _, d := range w.deliveries {
			ops, ids, webhooks = append(ops, int32(i+1)), append(ids, d.ID), append(webhooks, d.Webhook)
			events, payloads, states = append(events, cmp.Or(d.Event, d.ID)), append(payloads, orEmpty(d.Payload)), append(states, orEmpty(d.State))
		}
	}
	return []any{ops, ids, webhooks, events, payloads, states}
}

func (s *Store) states(states map[cache.ID]cache.PartitionState) []any {
	ids, values := [][]byte{}, [][]byte{}
	for id, state := range states {
		ids, values = append(ids, id[:]), append(values, s.secret.SealPartition(&id, state))
	}
	return []any{ids, values}
}

// credentials are the arrays of pauses, and of what was not spent.
func credentials(batch []*write) []any {
	ids, pauses, backs := [][]byte{}, []int64{}, []int64{}
	for _, w := range batch {
		r := w.report
		back := int64(0)
		if r.Unsent && r.Budget != nil {
			back = r.Budget.Interval().Microseconds()
		}
		if r.Pause > 0 || back > 0 {
			ids, pauses, backs = append(ids, r.Credential[:]), append(pauses, r.Pause.Microseconds()), append(backs, back)
		}
	}
	return []any{ids, pauses, backs}
}
