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
	// maxMatches is how many tasks whose ids begin alike are sorted one by one.
	// Where there are more, the order's index is walked until a page is full,
	// which does not take long then.
	maxMatches = 4000
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

// orders are the times by which rows are sorted, as they are indexed.
var orders = [...]struct{ name, time string }{
	cache.ByCreated:   {"created", "coalesce(created_at, first_seen, 0)"},
	cache.ByUpdated:   {"updated", "coalesce(updated_at, first_seen, 0)"},
	cache.ByCompleted: {"completed", "coalesce(completed_at, first_seen, 0)"},
}

// indexSchema are the indexes of lists. Every one begins with what a caller's
// sight or filter pins down, so that a list is a few short walks in the wanted
// order, whatever there is besides.
var indexSchema = func() string {
	var b strings.Builder
	for _, o := range orders {
		fmt.Fprintf(&b, "CREATE INDEX IF NOT EXISTS tasks_partition_%s ON tasks (partition, status, %s%s);\n",
			o.name, o.time, map[bool]string{true: ", upstream"}[o.name == "created"]) // the whole of what sqlCount reads
		fmt.Fprintf(&b, "CREATE INDEX IF NOT EXISTS tasks_upstream_%s ON tasks (upstream, status, %s);\n", o.name, o.time)
	}
	b.WriteString("CREATE INDEX IF NOT EXISTS tasks_partition_id ON tasks (partition, task_id);\n")
	b.WriteString("CREATE INDEX IF NOT EXISTS tasks_id ON tasks (task_id);\n")
	return b.String()
}()

// walk is which index is walked, and how.
type walk struct {
	by         string // partition or upstream
	order      cache.Order
	descending bool
	byID       bool // with a range of ids besides
}

// text is the statement of a walk. Its parameters: the value of by, the status,
// the times between which to look, the place after which to begin, how many
// rows; then the range of ids.
func (w walk) text() string {
	o, dir, after := orders[w.order], "ASC", ">"
	if w.descending {
		dir, after = "DESC", "<"
	}
	ids := ""
	if w.byID {
		ids = " AND task_id >= ?8 AND task_id < ?9"
	}
	// created sorts by upstream between time and rowid where that is part of
	// the index, which changes nothing: a partition has one upstream.
	return fmt.Sprintf(`SELECT rowid, %[2]s FROM tasks INDEXED BY tasks_%[1]s_%[3]s
WHERE %[1]s = ?1 AND status = ?2 AND %[2]s BETWEEN ?3 AND ?4 AND (%[2]s <> ?5 OR rowid %[4]s ?6)%[6]s
ORDER BY %[2]s %[5]s, %[7]srowid %[5]s LIMIT ?7`, w.by, o.time, o.name, after, dir, ids, map[bool]string{true: "upstream " + dir + ", "}[w.by == "partition" && o.name == "created"])
}

// walks are all there are.
func walks() (all []walk) {
	for _, by := range []string{"partition", "upstream"} {
		for order := range orders {
			for _, descending := range []bool{false, true} {
				for _, byID := range []bool{false, true} {
					all = append(all, walk{by, cache.Order(order), descending, byID})
				}
			}
		}
	}
	return all
}

const (
	sqlMatches          = `SELECT rowid, %s, status, upstream FROM tasks INDEXED BY tasks_id WHERE task_id >= ?1 AND task_id < ?2 LIMIT ?3`
	sqlPartitionMatches = `SELECT rowid, %s, status, upstream FROM tasks INDEXED BY tasks_partition_id WHERE partition = ?4 AND task_id >= ?1 AND task_id < ?2 LIMIT ?3`
	sqlByRow            = `SELECT key, partition, value FROM tasks WHERE rowid = ?1`
)

// listing are the statements of lists.
type listing struct {
	walks            map[walk]*sql.Stmt
	matches          [len(orders)]*sql.Stmt
	partitionMatches [len(orders)]*sql.Stmt
	byRow            *sql.Stmt
}

func (l *listing) prepare(ctx context.Context, db *sql.DB) error {
	l.walks = map[walk]*sql.Stmt{}
	texts := map[**sql.Stmt]string{&l.byRow: sqlByRow}
	for i, o := range orders {
		texts[&l.matches[i]] = fmt.Sprintf(sqlMatches, o.time)
		texts[&l.partitionMatches[i]] = fmt.Sprintf(sqlPartitionMatches, o.time)
	}
	if err := prepare(ctx, db, texts); err != nil {
		return err
	}
	for _, w := range walks() {
		stmt, err := db.PrepareContext(ctx, w.text())
		if err != nil {
			return asDamage(err)
		}
		l.walks[w] = stmt
	}
	return nil
}

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
	top := &top{q: q, size: q.Limit + 1}
	if q.TaskID != "" {
		done, err := d.matching(tx, q, top)
		if err != nil || done {
			return top.places, err
		}
		top.places = nil
	}
	for _, c := range d.counts.cells(q) {
		if err := d.walk(tx, q, c, top); err != nil {
			return nil, err
		}
	}
	return top.places, nil
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

// walk adds the rows of one cell that can be on the page.
func (d *database) walk(tx *sql.Tx, q *cache.Query, c cell, top *top) (err error) {
	from, to := top.bounds()
	after := cache.Position{At: math.MinInt64} // no row's
	if q.After != nil {
		after = *q.After
	}
	args := []any{c.value, c.status, from, to, after.At, after.Seq, top.size}
	if q.TaskID != "" {
		args = append(args, q.TaskID, afterPrefix(q.TaskID))
	}
	rows, err := tx.Stmt(d.listing.walks[walk{c.by, q.Order, q.Descending, q.TaskID != ""}]).Query(args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var p cache.Position
		if err := rows.Scan(&p.Seq, &p.At); err != nil {
			return err
		}
		if !top.add(p) {
			break // the rest of this cell comes later still
		}
	}
	return rows.Err()
}

// matching adds the rows whose ids begin as q asks, unless they are too many.
func (d *database) matching(tx *sql.Tx, q *cache.Query, top *top) (done bool, err error) {
	stmt, args := d.listing.matches[q.Order], []any{q.TaskID, afterPrefix(q.TaskID), maxMatches + 1}
	if q.Sight.All {
		return top.matching(tx.Stmt(stmt), args)
	}
	for _, id := range q.Sight.Partitions {
		done, err := top.matching(tx.Stmt(d.listing.partitionMatches[q.Order]), append(args[:3:3], id[:]))
		if err != nil || !done {
			return false, err
		}
	}
	return true, nil
}

// afterPrefix is the least text that comes after every one that begins with
// prefix. Ids are UTF-8, in which no byte is 0xff.
func afterPrefix(prefix string) string { return prefix + "\xff" }

// top keeps the first of the rows that it is given, in the order of q.
type top struct {
	q      *cache.Query
	size   int
	places []cache.Position // sorted
}

// add reports false for a row that comes after the last one when there is no
// room left.
func (t *top) add(p cache.Position) bool {
	i, _ := slices.BinarySearchFunc(t.places, p, t.q.Compare)
	if i == t.size {
		return false
	}
	if len(t.places) == t.size {
		t.places = t.places[:t.size-1]
	}
	t.places = slices.Insert(t.places, i, p)
	return true
}

// bounds are the times between which a row may still get in.
func (t *top) bounds() (from, to int64) {
	from, to = t.q.Bounds()
	if len(t.places) < t.size {
		return from, to
	}
	last := t.places[t.size-1].At
	if t.q.Descending {
		return max(from, last), to
	}
	return from, min(to, last)
}

func (t *top) matching(stmt *sql.Stmt, args []any) (done bool, err error) {
	rows, err := stmt.Query(args...)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	from, to := t.q.Bounds()
	n := 0
	for ; rows.Next(); n++ {
		var p cache.Position
		var status, upstream string
		if err := rows.Scan(&p.Seq, &p.At, &status, &upstream); err != nil {
			return false, err
		}
		switch {
		case p.At < from, p.At > to,
			t.q.After != nil && t.q.Compare(p, *t.q.After) <= 0,
			t.q.Statuses != nil && !slices.Contains(t.q.Statuses, status),
			t.q.Upstreams != nil && !slices.Contains(t.q.Upstreams, upstream):
			continue
		}
		t.add(p)
	}
	return n <= maxMatches, rows.Err()
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
