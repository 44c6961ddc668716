package cache

import (
	"context"
	"slices"
	"sync"
	"time"
)

// maxIndexed bounds the rows of a MemoryIndex, a kilobyte each at most in
// practice.
const maxIndexed = 100_000

// MemoryIndex is the Index of a process whose store keeps none. It holds the
// tasks that were published last.
type MemoryIndex struct {
	mu    sync.RWMutex // guards what follows
	rows  map[ID]*indexed
	seq   int64
	limit int
}

// indexed is a row with its number among all rows, by age.
type indexed struct {
	Row
	seq int64
}

var _ Index = (*MemoryIndex)(nil)

// NewMemoryIndex returns an empty index.
func NewMemoryIndex() *MemoryIndex {
	return &MemoryIndex{rows: map[ID]*indexed{}, limit: maxIndexed}
}

// Put makes e the row of its task.
func (x *MemoryIndex) Put(e *Entry) {
	row := RowOf(e)
	x.mu.Lock()
	defer x.mu.Unlock()
	if known := x.rows[e.Key]; known != nil {
		x.rows[e.Key] = &indexed{Row: row, seq: known.seq} // readers may still hold the old one
		return
	}
	if len(x.rows) >= x.limit {
		x.evict()
	}
	x.seq++
	x.rows[e.Key] = &indexed{Row: row, seq: x.seq}
}

// evict drops one row: of a few at random the one that was observed longest
// ago, a terminal one if there is any.
func (x *MemoryIndex) evict() {
	var victim *indexed
	seen := 0
	for _, r := range x.rows { // map order is random enough here
		switch {
		case victim == nil,
			r.Terminal && !victim.Terminal,
			r.Terminal == victim.Terminal && r.ObservedAt.Before(victim.ObservedAt):
			victim = r
		}
		if seen++; seen == 16 {
			break
		}
	}
	delete(x.rows, victim.Key)
}

// Delete removes the row of a task.
func (x *MemoryIndex) Delete(key *ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.rows, *key)
}

// List implements Index. It looks at every row.
func (x *MemoryIndex) List(ctx context.Context, q *Query) ([]Row, *Position, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	type found struct {
		at  Position
		row *indexed
	}
	var all []found
	x.mu.RLock()
	for _, r := range x.rows {
		at := Position{At: q.Order.Time(&r.Row), Seq: r.seq}
		if q.Matches(&r.Row) && (q.After == nil || q.Compare(*q.After, at) < 0) {
			all = append(all, found{at, r})
		}
	}
	x.mu.RUnlock()
	slices.SortFunc(all, func(a, b found) int { return q.Compare(a.at, b.at) })
	var next *Position
	if len(all) > q.Limit {
		if all = all[:q.Limit]; len(all) > 0 {
			next = &all[len(all)-1].at
		}
	}
	rows := make([]Row, len(all))
	for i, f := range all {
		rows[i] = f.row.Row
	}
	return rows, next, nil
}

// Counts implements Index.
func (x *MemoryIndex) Counts(sight *Sight) Counts {
	counts, _ := x.CountsSince(context.Background(), sight, time.Time{})
	return counts
}

// CountsSince implements Index.
func (x *MemoryIndex) CountsSince(_ context.Context, sight *Sight, since time.Time) (Counts, error) {
	counts := Counts{}
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, r := range x.rows {
		if sight.Sees(&r.Partition) && (since.IsZero() || ByUpdated.Time(&r.Row) >= since.UnixMicro()) {
			counts.Add(r.Upstream, r.Status, 1)
		}
	}
	return counts, nil
}
