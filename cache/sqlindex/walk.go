package sqlindex

import "pollux/cache"

// walk finds the first rows of all cells, each of which it follows in the order
// of q. It goes on where it stopped.
type walk struct {
	*search
	top  top
	left []*path // those that may still have one of the first rows
}

// path is how far a walk is with one cell.
type path struct {
	Cell
	last    *cache.Position // the row that was looked at last; nil: the page before ended there or none
	matched int
}

func (s *search) walk(cells []Cell) *walk {
	w := &walk{search: s, top: top{q: s.q, size: s.size}}
	for _, c := range cells {
		w.left = append(w.left, &path{Cell: c, last: s.q.After})
	}
	return w
}

// on looks at so many more rows, at first at few of every cell: a cell that has
// what is wanted says where in the others to stop. It is whole if that sufficed.
func (w *walk) on(rows int) (whole bool, err error) {
	for each := w.size; len(w.left) > 0; each *= 4 {
		var left []*path
		for i, p := range w.left {
			look := min(each, rows)
			if look == 0 {
				w.left = append(left, w.left[i:]...)
				return false, nil
			}
			seen, done, err := w.follow(p, look)
			if err != nil {
				return false, err
			}
			rows -= seen
			if !done {
				left = append(left, p)
			}
		}
		w.left = left
	}
	return true, nil
}

// follow looks at up to so many rows of p. It is done if none that comes after
// them can be among the first.
func (w *walk) follow(p *path, look int) (seen int, done bool, err error) {
	st := &statement{}
	from, to := w.top.bounds(p.last)
	st.WriteString("SELECT seq, " + w.column + ", " + w.matching(st) + " FROM tasks WHERE upstream = " + st.arg(p.Upstream) + " AND status = " + st.arg(p.Status))
	st.WriteString(" AND " + w.inTime(st, from, to, p.last) + w.order(st, look))
	err = w.Rows(st.String(), st.args, func(scan func(...any) error) error {
		var at cache.Position
		var matches int
		if err := scan(&at.Seq, &at.At, &matches); err != nil {
			return err
		}
		if seen++; !w.top.room(at) {
			done = true
			return ErrEnough // the rest comes later still
		}
		if matches == 1 {
			p.matched++
			w.top.add(at)
		}
		p.last = &at
		return nil
	})
	return seen, done || seen < look || p.matched >= w.size, err
}
