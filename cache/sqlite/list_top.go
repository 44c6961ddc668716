package sqlite

import (
	"database/sql"
	"errors"
	"slices"

	"pollux/cache"
)

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

// take adds the rows of a statement, which come in the order of q.
func (t *top) take(stmt *sql.Stmt, args ...any) (err error) {
	rows, err := stmt.Query(args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var p cache.Position
		if err := rows.Scan(&p.Seq, (*integer)(&p.At)); err != nil {
			return err
		}
		if !t.add(p) {
			break // the rest comes later still
		}
	}
	return rows.Err()
}
