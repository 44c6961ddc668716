package sqlindex

import (
	"slices"

	"pollux/cache"
)

// top keeps the first of the rows that it is given, in the order of q.
type top struct {
	q      *cache.Query
	size   int
	places []cache.Position // sorted
}

// room reports whether a row would be kept.
func (t *top) room(p cache.Position) bool {
	return len(t.places) < t.size || t.q.Compare(p, t.places[t.size-1]) < 0
}

// add keeps a row for which there is room.
func (t *top) add(p cache.Position) {
	i, _ := slices.BinarySearchFunc(t.places, p, t.q.Compare)
	if len(t.places) == t.size {
		t.places = t.places[:t.size-1]
	}
	t.places = slices.Insert(t.places, i, p)
}

// bounds are the times between which a row that comes after another may still
// get in.
func (t *top) bounds(after *cache.Position) (from, to int64) {
	rest := *t.q
	rest.After = after
	from, to = rest.Bounds()
	if len(t.places) < t.size {
		return from, to
	}
	last := t.places[t.size-1].At
	if t.q.Descending {
		return max(from, last), to
	}
	return from, min(to, last)
}
