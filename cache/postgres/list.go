package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"pollux/cache"
	"pollux/cache/sqlindex"
)

// source runs the statements of sqlindex.
type source struct {
	ctx context.Context
	db  interface {
		Query(ctx context.Context, text string, args ...any) (pgx.Rows, error)
	}
}

// named gives the table its name here.
var named = strings.NewReplacer(" tasks ", " pollux_tasks ", " tasks)", " pollux_tasks)")

// Rows implements sqlindex.Source.
func (s source) Rows(text string, args []any, each func(scan func(...any) error) error) error {
	rows, err := s.db.Query(s.ctx, named.Replace(text), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		switch err := each(rows.Scan); {
		case errors.Is(err, sqlindex.ErrEnough):
			return nil
		case err != nil:
			return err
		}
	}
	return rows.Err()
}

// List implements cache.Index.
func (s *Store) List(ctx context.Context, q *cache.Query) ([]cache.Row, *cache.Position, error) {
	heard := map[cache.ID]time.Time{}
	rows, next, err := sqlindex.List(q, func(rest *cache.Query) (heads []sqlindex.Head, err error) {
		err = s.snapshot(ctx, func(src source) error {
			in, err := src.scope(q)
			if err == nil {
				heads, err = sqlindex.Page(src, rest, in)
			}
			if err == nil && len(heads) > 0 {
				err = src.heard(heads, heard)
			}
			return err
		})
		return heads, err
	}, s.secret, func(key *cache.ID) (*cache.Entry, error) {
		s.unreadable.Add(1)
		return s.Get(ctx, key)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list stored tasks: %w", err)
	}
	for i := range rows {
		if at := heard[rows[i].Key]; at.After(rows[i].ObservedAt) {
			rows[i].ObservedAt = at
		}
	}
	return rows, next, nil
}

// heard notes when the upstream last said something about the tasks of heads: what
// is unchanged is written now and then only.
func (s source) heard(heads []sqlindex.Head, at map[cache.ID]time.Time) error {
	keys := make([][]byte, len(heads))
	for i := range heads {
		keys[i] = heads[i].Key
	}
	now := time.Now()
	return s.Rows(`SELECT key, (extract(epoch FROM clock_timestamp() - fetched_at) * 1000000)::bigint FROM pollux_polls WHERE key = ANY ($1) AND fetched_at IS NOT NULL`,
		[]any{keys}, func(scan func(...any) error) error {
			var key []byte
			var age int64
			if err := scan(&key, &age); err != nil {
				return err
			}
			at[cache.ID(key)] = now.Add(-microseconds(max(0, age)))
			return nil
		})
}

// snapshot runs f on one state of the database, after what this replica wrote.
func (s *Store) snapshot(ctx context.Context, f func(source) error) error {
	s.awaitFewWrites(ctx)
	return s.call(ctx, listTimeout, func(ctx context.Context) error {
		return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			return f(source{ctx, tx})
		})
	})
}

const (
	// freshWrites is how many writes may wait for a list to wait for them, and
	// freshFor how long: what was written a moment ago shall be found, and a
	// flood of writes shall not delay anybody.
	freshWrites = 8
	freshFor    = 200 * time.Millisecond
)

// awaitFewWrites waits for the writes that are under way, if they are few.
func (s *Store) awaitFewWrites(ctx context.Context) {
	if n := s.writes.Waiting.Load(); n == 0 || n > freshWrites {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, freshFor)
	defer cancel()
	s.await(ctx, &write{kind: kindBarrier, report: &cache.Report{}, done: make(chan outcome, 1)})
}

// Counts implements cache.Index. It is empty while the database cannot be
// reached.
func (s *Store) Counts(sight *cache.Sight) cache.Counts {
	counts := cache.Counts{}
	_ = s.snapshot(context.Background(), func(src source) error {
		_, err := src.counts(sight, counts.Add)
		return err
	})
	return counts
}

// CountsSince implements cache.Index.
func (s *Store) CountsSince(ctx context.Context, sight *cache.Sight, since time.Time) (counts cache.Counts, err error) {
	err = s.snapshot(ctx, func(src source) error {
		in, err := src.scope(&cache.Query{Sight: *sight})
		if err == nil {
			counts, err = sqlindex.CountsSince(src, sight, in.Cells, since.UnixMicro())
		}
		return err
	})
	return counts, err
}

// counts calls each with how many tasks there are in sight, by upstream and
// status, and returns how many in all.
func (s source) counts(sight *cache.Sight, each func(upstream, status string, n int)) (total int, err error) {
	text, args := `SELECT upstream, status, sum(n)::bigint FROM pollux_counts GROUP BY 1, 2 HAVING sum(n) > 0`, []any(nil)
	if !sight.All {
		partitions := make([][]byte, len(sight.Partitions))
		for i := range partitions {
			partitions[i] = sight.Partitions[i][:]
		}
		text = `SELECT upstream, status, sum(n)::bigint FROM pollux_counts WHERE partition = ANY ($1) GROUP BY 1, 2 HAVING sum(n) > 0`
		args = []any{partitions}
	}
	err = s.Rows(text, args, func(scan func(...any) error) error {
		var upstream, status string
		var n int
		err := scan(&upstream, &status, &n)
		total += n
		if err == nil {
			each(upstream, status, n)
		}
		return err
	})
	return total, err
}

// scope is where rows of q can be.
func (s source) scope(q *cache.Query) (in sqlindex.Scope, err error) {
	in.Rows, err = s.counts(&q.Sight, func(upstream, status string, _ int) {
		if c := (sqlindex.Cell{Upstream: upstream, Status: status}); c.In(q) {
			in.Cells = append(in.Cells, c)
		}
	})
	return in, err
}
