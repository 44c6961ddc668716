package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"pollux/cache"
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
	// With all that a search filters and sorts by, so that it reads no rows.
	rest := "status, upstream"
	for _, o := range orders {
		rest += ", " + o.time
	}
	fmt.Fprintf(&b, "CREATE INDEX IF NOT EXISTS tasks_partition_id ON tasks (partition, task_id, %s);\n", rest)
	fmt.Fprintf(&b, "CREATE INDEX IF NOT EXISTS tasks_id ON tasks (task_id, %s);\n", rest)
	return b.String()
}()

// walk is which index is walked, and how.
type walk struct {
	by         string // partition or upstream
	order      cache.Order
	descending bool
}

// text is the statement of a walk. Its parameters: the value of by, the status,
// the times between which to look, the place after which to begin, how many
// rows.
func (w walk) text() string {
	o := orders[w.order]
	dir, after := direction(w.descending)
	upstream := "" // it is between time and rowid in one index, which changes nothing: a partition has one
	if w.by == "partition" && w.order == cache.ByCreated {
		upstream = "upstream " + dir + ", "
	}
	return fmt.Sprintf(`SELECT rowid, %[2]s FROM tasks INDEXED BY tasks_%[1]s_%[3]s
WHERE %[1]s = ?1 AND status = ?2 AND %[2]s BETWEEN ?3 AND ?4 AND (%[2]s <> ?5 OR rowid %[4]s ?6)
ORDER BY %[2]s %[5]s, %[6]srowid %[5]s LIMIT ?7`, w.by, o.time, o.name, after, dir, upstream)
}

// search is like walk, among all tasks whose id begins with a text.
type search struct {
	inPartition bool
	order       cache.Order
	descending  bool
}

// text is the statement of a search. Its parameters: the partition if there is
// one, the range of ids, then as of a walk, and the lists of statuses and
// upstreams, each with a comma around every word, NULL for any.
func (q search) text() string {
	o := orders[q.order]
	dir, after := direction(q.descending)
	return fmt.Sprintf(`SELECT rowid, %[1]s FROM tasks %[2]s AND %[1]s BETWEEN ?4 AND ?5 AND (%[1]s <> ?6 OR rowid %[3]s ?7)
AND (?9 IS NULL OR instr(?9, ',' || status || ',') > 0) AND (?10 IS NULL OR instr(?10, ',' || upstream || ',') > 0)
ORDER BY %[1]s %[4]s, rowid %[4]s LIMIT ?8`, o.time, idRange(q.inPartition), after, dir)
}

// direction is how rows are sorted, and how those that come after one compare
// with it.
func direction(descending bool) (dir, after string) {
	if descending {
		return "DESC", "<"
	}
	return "ASC", ">"
}

// idRange is the beginning of what is said about ids.
func idRange(inPartition bool) string {
	if inPartition {
		return "INDEXED BY tasks_partition_id WHERE partition = ?1 AND task_id >= ?2 AND task_id < ?3"
	}
	return "INDEXED BY tasks_id WHERE task_id >= ?2 AND task_id < ?3"
}

// sqlMatches is how many ids begin so, counted up to a limit.
func sqlMatches(inPartition bool) string {
	return "SELECT count(*) FROM (SELECT 1 FROM tasks " + idRange(inPartition) + " LIMIT ?4)"
}

// walks and searches are all there are.
func walks() (walks []walk, searches []search) {
	for order := range orders {
		for _, descending := range []bool{false, true} {
			for _, by := range []string{"partition", "upstream"} {
				walks = append(walks, walk{by, cache.Order(order), descending})
			}
			for _, inPartition := range []bool{false, true} {
				searches = append(searches, search{inPartition, cache.Order(order), descending})
			}
		}
	}
	return walks, searches
}

const (
	sqlByRow = `SELECT key, partition, value FROM tasks WHERE rowid = ?1`
	sqlID    = `SELECT task_id FROM tasks WHERE rowid = ?1`
)

// listing are the statements of lists.
type listing struct {
	walks     map[walk]*sql.Stmt
	searches  map[search]*sql.Stmt
	matches   map[bool]*sql.Stmt // by whether in a partition
	byRow, id *sql.Stmt

	fewMatches int
}

func (l *listing) prepare(ctx context.Context, db *sql.DB) error {
	if err := prepare(ctx, db, map[**sql.Stmt]string{&l.byRow: sqlByRow, &l.id: sqlID}); err != nil {
		return err
	}
	l.fewMatches = fewMatches
	ways, searches := walks()
	return errors.Join(
		prepareAll(ctx, db, &l.walks, ways, walk.text),
		prepareAll(ctx, db, &l.searches, searches, search.text),
		prepareAll(ctx, db, &l.matches, []bool{false, true}, sqlMatches))
}

func prepareAll[K comparable](ctx context.Context, db *sql.DB, into *map[K]*sql.Stmt, keys []K, text func(K) string) error {
	*into = make(map[K]*sql.Stmt, len(keys))
	for _, key := range keys {
		stmt, err := db.PrepareContext(ctx, text(key))
		if err != nil {
			return asDamage(err)
		}
		(*into)[key] = stmt
	}
	return nil
}
