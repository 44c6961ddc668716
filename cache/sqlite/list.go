package sqlite

import (
	"context"
	"database/sql"
	"errors"
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
	return sqlindex.List(q, func(rest *cache.Query) ([]sqlindex.Head, error) {
		return snapshot(ctx, s, "list stored tasks", func(d *database, src source) ([]sqlindex.Head, error) {
			return sqlindex.Page(src, rest, d.counts.scope(q))
		})
	}, s.secret, func(key *cache.ID) (*cache.Entry, error) {
		s.unreadable.Add(1)
		return s.Get(ctx, key)
	})
}

// CountsSince implements cache.Index.
func (s *Store) CountsSince(ctx context.Context, sight *cache.Sight, since time.Time) (cache.Counts, error) {
	s.awaitFewWrites(ctx)
	return snapshot(ctx, s, "count stored tasks", func(d *database, src source) (cache.Counts, error) {
		return sqlindex.CountsSince(src, sight, d.counts.scope(&cache.Query{Sight: *sight}).Cells, since.UnixMicro())
	})
}

// snapshot runs f on one state of the file, on a list reader. A damaged file has
// nothing, which is no error.
func snapshot[T any](ctx context.Context, s *Store, what string, f func(*database, source) (T, error)) (T, error) {
	found, err := look(ctx, s, s.lists, what, func(d *database) (found T, err error) {
		tx, err := d.read.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return found, err
		}
		if found, err = f(d, source{tx}); err != nil {
			return found, errors.Join(err, tx.Rollback())
		}
		return found, tx.Commit()
	})
	if errors.Is(err, cache.ErrNotFound) {
		err = nil
	}
	return found, err
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
	for upstream, byStatus := range c.inSight(&q.Sight) {
		for status, n := range byStatus {
			in.Rows += n
			if cell := (sqlindex.Cell{Upstream: upstream, Status: status}); n > 0 && cell.In(q) {
				in.Cells = append(in.Cells, cell)
			}
		}
	}
	return in
}
