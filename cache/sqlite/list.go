package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"pollux/cache"
)

const (
	// fewMatches is how many tasks whose ids begin alike are sorted at once.
	// Where there are more, the first pages of the order are looked at before,
	// peekPages of them: most of what is there may begin so.
	fewMatches = 2000
	peekPages  = 4
	// lists is how many lists are read at once, so that polls find a reader.
	lists = 2
	// maxRounds bounds how often a list reads on because rows could not be
	// opened.
	maxRounds = 10

	// freshWrites is how many writes may wait for a list to wait for them, and
	// freshFor how long: what was written a moment ago shall be found, and a
	// flood of writes shall not delay anybody.
	freshWrites = 8
	freshFor    = 200 * time.Millisecond
)

// sealedRow is a row of a page before it is opened.
type sealedRow struct {
	at             cache.Position
	key, partition []byte
	value          []byte
}

// List implements cache.Index. A file that is being replaced has no rows.
func (s *Store) List(ctx context.Context, q *cache.Query) ([]cache.Row, *cache.Position, error) {
	s.awaitFewWrites(ctx)
	select {
	case s.listing <- struct{}{}:
		defer func() { <-s.listing }()
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	rest := *q
	rows := make([]cache.Row, 0, q.Limit)
	for range maxRounds {
		rest.Limit = q.Limit - len(rows)
		var sealed []sealedRow
		err := s.query(ctx, func(d *database) (err error) {
			sealed, err = d.page(&rest)
			return err
		})
		if errors.Is(err, cache.ErrNotFound) {
			return rows, nil, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("list stored tasks: %w", err)
		}
		more := len(sealed) > rest.Limit
		for i := range sealed[:min(len(sealed), rest.Limit)] {
			if row, ok := s.openListed(&sealed[i]); ok && rest.Matches(&row) {
				rows = append(rows, row)
			}
			rest.After = &sealed[i].at
		}
		if !more {
			return rows, nil, nil
		}
		if len(rows) == q.Limit {
			break
		}
	}
	return rows, rest.After, nil
}

// awaitFewWrites waits for the writes that are under way, if they are few.
func (s *Store) awaitFewWrites(ctx context.Context) {
	if n := s.writes.waiting.Load(); n == 0 || n > freshWrites {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, freshFor)
	defer cancel()
	s.await(ctx, &write{barrier: true, done: make(chan outcome, 1)})
}

// openListed opens a row of a page. What is in it, not the columns, is what
// the caller may be shown.
func (s *Store) openListed(r *sealedRow) (cache.Row, bool) {
	var key cache.ID
	if len(r.key) != len(key) {
		s.unreadable.Add(1)
		return cache.Row{}, false
	}
	copy(key[:], r.key)
	e, ok := s.openRow(&key, row{partition: r.partition, value: r.value})
	if !ok {
		return cache.Row{}, false
	}
	return cache.RowOf(e), true
}

// page reads the rows of q's next page, and one more if there is, all from one
// state of the file.
func (d *database) page(q *cache.Query) ([]sealedRow, error) {
	tx, err := d.read.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	places, err := d.places(tx, q)
	var page []sealedRow
	if err == nil {
		page, err = d.rowsAt(tx, places, q.Limit)
	}
	if err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return page, tx.Commit()
}

// places finds where q's next rows are, in order, and one more if there is.
func (d *database) places(tx *sql.Tx, q *cache.Query) ([]cache.Position, error) {
	if q.Limit <= 0 {
		return nil, nil
	}
	if q.TaskID == "" {
		return d.walkAll(tx, q, q.Limit+1)
	}
	few, err := d.few(tx, q)
	if err != nil || few {
		return d.searchAll(tx, q, err)
	}
	peek := peekPages * q.Limit
	first, err := d.walkAll(tx, q, peek)
	if err != nil {
		return nil, err
	}
	found, err := d.withIDs(tx, q, first)
	if err == nil && (len(first) < peek || len(found) > q.Limit) {
		return found[:min(len(found), q.Limit+1)], nil
	}
	return d.searchAll(tx, q, err)
}

// walkAll finds the first rows in the order of q, whatever their ids.
func (d *database) walkAll(tx *sql.Tx, q *cache.Query, size int) ([]cache.Position, error) {
	top := &top{q: q, size: size}
	for _, c := range d.counts.cells(q) {
		from, to := top.bounds()
		after := place(q)
		if err := top.take(tx.Stmt(d.listing.walks[walk{c.by, q.Order, q.Descending}]), c.value, c.status, from, to, after.At, after.Seq, size); err != nil {
			return nil, err
		}
	}
	return top.places, nil
}

// withIDs keeps the places of rows whose ids begin as q asks.
func (d *database) withIDs(tx *sql.Tx, q *cache.Query, places []cache.Position) (kept []cache.Position, err error) {
	stmt := tx.Stmt(d.listing.id)
	for _, p := range places {
		var id string
		if err := stmt.QueryRow(p.Seq).Scan(&id); err != nil {
			return nil, err
		}
		if strings.HasPrefix(id, q.TaskID) {
			kept = append(kept, p)
		}
	}
	return kept, nil
}

// place is after which row q begins: one that is nowhere, for the first page.
func place(q *cache.Query) cache.Position {
	if q.After == nil {
		return cache.Position{At: math.MinInt64}
	}
	return *q.After
}

// idRanges are the arguments of all ranges of ids that q is about.
func idRanges(q *cache.Query) (ranges [][]any) {
	if q.Sight.All {
		return [][]any{{nil, q.TaskID, afterPrefix(q.TaskID)}}
	}
	for _, id := range q.Sight.Partitions {
		ranges = append(ranges, []any{id[:], q.TaskID, afterPrefix(q.TaskID)})
	}
	return ranges
}

// afterPrefix is the least text that comes after every one that begins with
// prefix. Ids are UTF-8, in which no byte is 0xff.
func afterPrefix(prefix string) string { return prefix + "\xff" }

// few reports whether only few ids in sight begin as q asks.
func (d *database) few(tx *sql.Tx, q *cache.Query) (bool, error) {
	total := 0
	for _, args := range idRanges(q) {
		var n int
		if err := tx.Stmt(d.listing.matches[!q.Sight.All]).QueryRow(append(args, d.listing.fewMatches+1)...).Scan(&n); err != nil {
			return false, err
		}
		total += n
	}
	return total <= d.listing.fewMatches, nil
}

// searchAll finds the first rows in the order of q among those whose ids begin
// as q asks, by looking at all of these. It returns err if there is one.
func (d *database) searchAll(tx *sql.Tx, q *cache.Query, err error) ([]cache.Position, error) {
	top := &top{q: q, size: q.Limit + 1}
	for _, args := range idRanges(q) {
		if err != nil {
			return nil, err
		}
		from, to := top.bounds()
		after := place(q)
		args = append(args, from, to, after.At, after.Seq, top.size, wordList(q.Statuses), wordList(q.Upstreams))
		err = top.take(tx.Stmt(d.listing.searches[search{!q.Sight.All, q.Order, q.Descending}]), args...)
	}
	return top.places, err
}

// wordList is a list as searches want it.
func wordList(words []string) any {
	if words == nil {
		return nil
	}
	return "," + strings.Join(words, ",") + ","
}

// cell is one combination that an index can pin down.
type cell struct {
	by     string
	value  any
	status string
}

// cells are the combinations in which q's rows can be.
func (c *counts) cells(q *cache.Query) (cells []cell) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	add := func(by string, value any, upstream string, byStatus map[string]int) {
		if q.Upstreams != nil && !slices.Contains(q.Upstreams, upstream) {
			return
		}
		for status, n := range byStatus {
			if n > 0 && (q.Statuses == nil || slices.Contains(q.Statuses, status)) {
				cells = append(cells, cell{by, value, status})
			}
		}
	}
	if q.Sight.All {
		for upstream, byStatus := range c.byUpstream {
			add("upstream", upstream, upstream, byStatus)
		}
		return cells
	}
	for _, id := range q.Sight.Partitions {
		if p := c.byPartition[id]; p != nil {
			add("partition", id[:], p.upstream, p.byStatus)
		}
	}
	return cells
}

// rowsAt reads the rows of the first places, up to limit.
func (d *database) rowsAt(tx *sql.Tx, places []cache.Position, limit int) ([]sealedRow, error) {
	byRow := tx.Stmt(d.listing.byRow)
	page := make([]sealedRow, len(places))
	for i, p := range places {
		r := &page[i]
		if r.at = p; i == limit {
			break // only that it is there matters
		}
		if err := byRow.QueryRow(p.Seq).Scan(&r.key, &r.partition, &r.value); err != nil {
			return nil, err
		}
	}
	return page, nil
}
