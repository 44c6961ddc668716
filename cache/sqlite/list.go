package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"pollux/cache"
	"pollux/cache/sqlindex"
)

const (
	// freshWrites is how many writes may wait for a list to wait for them, and
	// freshFor how long: what was written a moment ago shall be found, and a
	// flood of writes shall not delay anybody.
	freshWrites = 8
	freshFor    = 200 * time.Millisecond
)

// List implements cache.Index. A file that is being replaced has no rows.
func (s *Store) List(ctx context.Context, q *cache.Query) ([]cache.Row, *cache.Position, error) {
	s.awaitFewWrites(ctx)
	rows, next, err := sqlindex.List(q, func(rest *cache.Query) (heads []sqlindex.Head, err error) {
		err = s.snapshot(ctx, func(d *database, src source) (err error) {
			heads, err = sqlindex.Page(src, rest, d.counts.scope(q))
			return err
		})
		if errors.Is(err, cache.ErrNotFound) {
			return nil, nil
		}
		return heads, err
	}, func(head *sqlindex.Head) (cache.Row, bool) { return s.openHead(ctx, head) })
	if err != nil {
		return nil, nil, fmt.Errorf("list stored tasks: %w", err)
	}
	return rows, next, nil
}

// CountsSince implements cache.Index.
func (s *Store) CountsSince(ctx context.Context, sight *cache.Sight, since time.Time) (counts cache.Counts, err error) {
	s.awaitFewWrites(ctx)
	err = s.snapshot(ctx, func(d *database, src source) (err error) {
		counts, err = sqlindex.CountsSince(src, sight, d.counts.scope(&cache.Query{Sight: *sight}).Cells, since.UnixMicro())
		return err
	})
	if errors.Is(err, cache.ErrNotFound) {
		return cache.Counts{}, nil
	}
	return counts, err
}

// snapshot runs f on one state of the file, on a list reader.
func (s *Store) snapshot(ctx context.Context, f func(*database, source) error) error {
	return s.ask(ctx, s.lists, func(d *database) error {
		tx, err := d.read.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return err
		}
		if err := f(d, source{tx}); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		return tx.Commit()
	})
}

// awaitFewWrites waits for the writes that are under way, if they are few.
func (s *Store) awaitFewWrites(ctx context.Context) {
	if n := s.writes.Waiting.Load(); n == 0 || n > freshWrites {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, freshFor)
	defer cancel()
	s.await(ctx, &write{barrier: true, done: make(chan outcome, 1)})
}

// openHead opens a row of a page. What is in it, not the columns, is what the
// caller may be shown. The body stands in for a head that is damaged.
func (s *Store) openHead(ctx context.Context, h *sqlindex.Head) (cache.Row, bool) {
	var key, partition cache.ID
	if copy(key[:], h.Key) == len(key) && copy(partition[:], h.Partition) == len(partition) {
		if row, err := s.secret.OpenRow(&partition, &key, h.Sealed, time.Now()); err == nil {
			return row, true
		}
		s.unreadable.Add(1)
		if e, err := s.Get(ctx, &key); err == nil {
			return cache.RowOf(e), true
		}
	}
	return cache.Row{}, false
}

// source runs the statements of sqlindex.
type source struct{ tx *sql.Tx }

// Rows implements sqlindex.Source.
func (s source) Rows(text string, args []any, each func(scan func(...any) error) error) (err error) {
	rows, err := s.tx.Query(strings.ReplaceAll(text, "$", "?"), args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		switch err := each(func(dest ...any) error { return rows.Scan(lenient(dest)...) }); {
		case errors.Is(err, sqlindex.ErrEnough):
			return nil
		case err != nil:
			return err
		}
	}
	return rows.Err()
}

// scope is where rows of q can be.
func (c *counts) scope(q *cache.Query) (in sqlindex.Scope) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	seen := map[sqlindex.Cell]bool{}
	add := func(upstream string, byStatus map[string]int) {
		for status, n := range byStatus {
			cell := sqlindex.Cell{Upstream: upstream, Status: status}
			in.Rows += n
			if n > 0 && !seen[cell] && cell.In(q) {
				seen[cell] = true
				in.Cells = append(in.Cells, cell)
			}
		}
	}
	if q.Sight.All {
		for upstream, byStatus := range c.byUpstream {
			add(upstream, byStatus)
		}
		return in
	}
	for _, id := range q.Sight.Partitions {
		if p := c.byPartition[id]; p != nil {
			add(p.upstream, p.byStatus)
		}
	}
	return in
}
