// Package sqlindex finds tasks in a database that keeps what lists show of them
// in a table of its own. The statements are the same for SQLite and PostgreSQL.
//
// There are two ways to a page. A walk follows, for every upstream and status
// that the query may have rows of, an index in the order that is wanted, and
// looks at what comes by. A gathering takes all the rows that an id, a word or
// a partition pins down, and sorts them. Which is cheaper is known beforehand
// for few rows, and else found out by walking: a little, and where a text has
// many rows, as far as gathering those would cost. So a page costs at most three
// times what the better way does.
package sqlindex

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"pollux/cache"
)

const (
	// few is how many rows are gathered at once, and walked before more is asked:
	// either takes some milliseconds.
	few = 2000
	// many is how many rows with a text are counted. Counting reads an index
	// alone; taking and sorting so many rows takes a good part of a second.
	many = 100_000
)

// Schema are the indexes of the table tasks, with these columns: seq is the
// row's number, the times are microseconds since 1970 and never NULL, with the
// time when Pollux first saw the task, or 0, for one that is not known, and
// task_id, model and error_code are bytes.
const Schema = `
CREATE INDEX IF NOT EXISTS tasks_created ON tasks (upstream, status, created_at);
CREATE INDEX IF NOT EXISTS tasks_updated ON tasks (upstream, status, updated_at);
CREATE INDEX IF NOT EXISTS tasks_completed ON tasks (upstream, status, completed_at);
CREATE INDEX IF NOT EXISTS tasks_partition ON tasks (partition, status, upstream, created_at, updated_at, completed_at);
CREATE INDEX IF NOT EXISTS tasks_id ON tasks (task_id);
CREATE INDEX IF NOT EXISTS tasks_model ON tasks (model) WHERE model <> '';
CREATE INDEX IF NOT EXISTS tasks_error_code ON tasks (error_code) WHERE error_code <> '';
`

// columns are the times of the orders.
var columns = [...]string{cache.ByCreated: "created_at", cache.ByUpdated: "updated_at", cache.ByCompleted: "completed_at"}

// Source runs a statement whose parameters are $1, $2 and so on, and calls each
// for every row. All statements of one page see one state of the tasks, or
// nearly so. each stops the statement by returning ErrEnough.
type Source interface {
	Rows(text string, args []any, each func(scan func(dest ...any) error) error) error
}

// ErrEnough is what stops a statement before its end, without an error.
var ErrEnough = errors.New("enough rows")

// Cell is one upstream and status of which there are tasks.
type Cell struct{ Upstream, Status string }

// In reports whether q may have rows of c.
func (c Cell) In(q *cache.Query) bool {
	return (q.Statuses == nil || slices.Contains(q.Statuses, c.Status)) && (q.Upstreams == nil || slices.Contains(q.Upstreams, c.Upstream))
}

// Head is a row of a page, still sealed.
type Head struct {
	At             cache.Position
	Key, Partition []byte
	Sealed         []byte // a cache.Row
}

// Scope is where a query's rows can be.
type Scope struct {
	Cells []Cell
	Rows  int // of the partitions in sight, whatever their status; ignored when all are
}

// Page returns the heads of q's next page, and one more if there is another
// after it. What the columns say is not to be believed: a head's row may not
// match q.
func Page(src Source, q *cache.Query, in Scope) ([]Head, error) {
	if q.Limit <= 0 || len(in.Cells) == 0 {
		return nil, nil
	}
	s := &search{Source: src, q: q, size: q.Limit + 1, column: columns[q.Order]}
	places, err := s.places(in)
	if err != nil || len(places) == 0 {
		return nil, err
	}
	return s.heads(places)
}

// search is one page being found.
type search struct {
	Source
	q      *cache.Query
	size   int // how many rows are wanted
	column string
}

// places finds where the rows are, in the order of q.
func (s *search) places(in Scope) ([]cache.Position, error) {
	byText, byPartition := s.q.Text != "", !s.q.Sight.All
	walk := s.walk(in.Cells)
	switch {
	case !byText && !byPartition:
		_, err := walk.on(math.MaxInt)
		return walk.top.places, err
	case byPartition && in.Rows <= few:
		return s.gather(false)
	case byText:
		if n, err := s.matches(few + 1); err != nil {
			return nil, err
		} else if n <= few {
			return s.gather(true)
		}
	}
	if whole, err := walk.on(few); err != nil || whole {
		return walk.top.places, err
	}
	if !byText { // an index alone knows all rows of a partition
		return s.gather(false)
	}
	n, err := s.matches(many)
	if err != nil {
		return nil, err
	}
	// Some upstream and status has many rows without the text, such as thousands
	// of tasks that run, before the first with it.
	if whole, err := walk.on(n); err != nil || whole {
		return walk.top.places, err
	}
	return s.gather(!byPartition || n < in.Rows)
}

// statement is a text in the making, with its arguments.
type statement struct {
	strings.Builder
	args []any
}

// arg adds an argument and returns how the text names it.
func (st *statement) arg(v any) string {
	st.args = append(st.args, v)
	return fmt.Sprintf("$%d", len(st.args))
}

// list is what a column is among.
func list[T any](st *statement, values []T, as func(T) any) string {
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = st.arg(as(v))
	}
	return "(" + strings.Join(names, ", ") + ")"
}

func text(s string) any         { return s }
func partition(id cache.ID) any { return id[:] }

// inTime says that a row is between from and to and comes after another, nil for
// none.
func (s *search) inTime(st *statement, from, to int64, after *cache.Position) string {
	if after == nil {
		after = &cache.Position{At: math.MinInt64}
	}
	comes := ">"
	if s.q.Descending {
		comes = "<"
	}
	return fmt.Sprintf("%[1]s BETWEEN %[2]s AND %[3]s AND (%[1]s <> %[4]s OR seq %[5]s %[6]s)",
		s.column, st.arg(from), st.arg(to), st.arg(after.At), comes, st.arg(after.Seq))
}

// order is how rows are sorted, and how many are wanted.
func (s *search) order(st *statement, limit int) string {
	direction := "ASC"
	if s.q.Descending {
		direction = "DESC"
	}
	return fmt.Sprintf(" ORDER BY %[1]s %[2]s, seq %[2]s LIMIT %[3]s", s.column, direction, st.arg(limit))
}

// matching says that a row is in sight and has q's text.
func (s *search) matching(st *statement) string {
	var all []string
	if !s.q.Sight.All {
		all = append(all, "partition IN "+list(st, s.q.Sight.Partitions, partition))
	}
	if word := []byte(s.q.Text); len(word) > 0 {
		all = append(all, fmt.Sprintf("(task_id >= %[1]s AND task_id < %[2]s OR model = %[1]s OR error_code = %[1]s)", st.arg(word), st.arg(afterPrefix(word))))
	}
	if all == nil {
		return "1"
	}
	return "CASE WHEN " + strings.Join(all, " AND ") + " THEN 1 ELSE 0 END"
}

// afterPrefix is the least text after all that begin with prefix: ids are
// UTF-8, in which no byte is 0xff.
func afterPrefix(prefix []byte) []byte { return append(slices.Clone(prefix), 0xff) }

// matches counts the rows with q's text, up to a limit of each kind.
func (s *search) matches(limit int) (n int, err error) {
	st := &statement{}
	st.WriteString("SELECT count(*) FROM (" + s.withText(st, fmt.Sprintf(" LIMIT %d", limit)) + ") AS found")
	err = s.Rows(st.String(), st.args, func(scan func(...any) error) error { return scan(&n) })
	return n, err
}

// withText are the numbers of the rows with q's text, each kind cut by limit.
func (s *search) withText(st *statement, limit string) string {
	word := []byte(s.q.Text)
	exact, after := st.arg(word), st.arg(afterPrefix(word))
	var kinds []string
	for _, condition := range []string{
		"task_id >= " + exact + " AND task_id < " + after,
		"model = " + exact + " AND model <> ''",
		"error_code = " + exact + " AND error_code <> ''",
	} {
		kinds = append(kinds, "SELECT seq FROM (SELECT seq FROM tasks WHERE "+condition+limit+") AS kind")
	}
	return strings.Join(kinds, " UNION ")
}

// gather sorts all rows with q's text, or else all of the partitions in sight.
func (s *search) gather(byText bool) (places []cache.Position, err error) {
	st := &statement{}
	st.WriteString("WITH ")
	from := "tasks WHERE partition IN "
	if byText {
		st.WriteString("found AS MATERIALIZED (" + s.withText(st, "") + "), ")
		from = "found JOIN tasks USING (seq)"
	} else {
		from += list(st, s.q.Sight.Partitions, partition)
	}
	words := ""
	if s.q.Text != "" { // else they would have every row read, and not an index alone
		words = "task_id, model, error_code, "
	}
	st.WriteString("gathered AS MATERIALIZED (SELECT seq, partition, upstream, status, " + words + s.column + " FROM " + from + ") ")
	begin, end := s.q.Bounds()
	st.WriteString("SELECT seq, " + s.column + " FROM gathered WHERE " + s.inTime(st, begin, end, s.q.After) + " AND " + s.matching(st) + " = 1")
	if s.q.Upstreams != nil {
		st.WriteString(" AND upstream IN " + list(st, s.q.Upstreams, text))
	}
	if s.q.Statuses != nil {
		st.WriteString(" AND status IN " + list(st, s.q.Statuses, text))
	}
	st.WriteString(s.order(st, s.size))
	err = s.Rows(st.String(), st.args, func(scan func(...any) error) error {
		var p cache.Position
		err := scan(&p.Seq, &p.At)
		places = append(places, p)
		return err
	})
	return places, err
}

// heads reads the rows at places; what is gone meanwhile comes without a key.
func (s *search) heads(places []cache.Position) ([]Head, error) {
	heads, at := make([]Head, len(places)), make(map[int64]int, len(places))
	seqs := make([]int64, len(places))
	for i, p := range places {
		heads[i].At, at[p.Seq], seqs[i] = p, i, p.Seq
	}
	st := &statement{}
	st.WriteString("SELECT seq, key, partition, head FROM tasks WHERE seq IN " + list(st, seqs, func(n int64) any { return n }))
	err := s.Rows(st.String(), st.args, func(scan func(...any) error) error {
		var seq int64
		var h Head
		if err := scan(&seq, &h.Key, &h.Partition, &h.Sealed); err != nil {
			return err
		}
		if i, ok := at[seq]; ok {
			h.At = heads[i].At
			heads[i] = h
		}
		return nil
	})
	return heads, err
}

// CountsSince counts the tasks of the cells in sight that changed at since or
// later.
func CountsSince(src Source, sight *cache.Sight, cells []Cell, since int64) (cache.Counts, error) {
	counts := cache.Counts{}
	for _, c := range cells {
		st := &statement{}
		st.WriteString("SELECT count(*) FROM tasks WHERE upstream = " + st.arg(c.Upstream) + " AND status = " + st.arg(c.Status) + " AND updated_at >= " + st.arg(since))
		if !sight.All {
			st.WriteString(" AND partition IN " + list(st, sight.Partitions, partition))
		}
		var n int
		if err := src.Rows(st.String(), st.args, func(scan func(...any) error) error { return scan(&n) }); err != nil {
			return nil, err
		}
		if n > 0 {
			counts.Add(c.Upstream, c.Status, n)
		}
	}
	return counts, nil
}
