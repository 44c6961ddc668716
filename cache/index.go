package cache

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// Index finds tasks by what they are. Implementations are safe for concurrent
// use; what was written before a call is found by it, except under a flood of
// writes.
type Index interface {
	// List returns the rows that q asks for, in its order, and where the next
	// page begins, nil on the last one. A row that is not changed meanwhile
	// comes exactly once in a walk over all pages.
	List(ctx context.Context, q *Query) (rows []Row, next *Position, err error)
	// Counts returns how many tasks are in sight, by upstream and status.
	Counts(sight *Sight) Counts
	// CountsSince counts those that changed at since or later.
	CountsSince(ctx context.Context, sight *Sight, since time.Time) (Counts, error)
}

// Sight is whose tasks a caller may see. The zero value sees nothing.
type Sight struct {
	All        bool
	Partitions []ID
}

// Sees reports whether the tasks of a partition are in sight.
func (s *Sight) Sees(partition *ID) bool {
	return s.All || slices.Contains(s.Partitions, *partition)
}

// Counts is how many tasks there are, by upstream and status.
type Counts map[string]map[string]int

// Add counts n tasks more.
func (c Counts) Add(upstream, status string, n int) {
	if c[upstream] == nil {
		c[upstream] = map[string]int{}
	}
	c[upstream][status] += n
}

// Order is the time by which rows are sorted. Where it is not known, the time
// when Pollux first saw the task stands in.
type Order uint8

// The orders.
const (
	ByCreated Order = iota
	ByUpdated
	ByCompleted
)

// Query says which rows are wanted. Zero members restrict nothing, but a zero
// Sight shows nothing and a zero Limit asks for nothing.
type Query struct {
	Sight     Sight
	Upstreams []string
	Statuses  []string
	Text      string    // how the id of the task begins, or its whole model or error code
	Since     time.Time // of the time that Order names, inclusive
	Until     time.Time // likewise, exclusive

	Order      Order
	Descending bool
	After      *Position // where the page before ended
	Limit      int
}

// Position is a place between two rows of an order: after the row of that time,
// in microseconds since 1970, and that number among rows of the same time.
type Position struct {
	At  int64
	Seq int64
}

// Row is a task without its output: what a list shows of it.
type Row struct {
	Key, Partition ID

	Upstream, Provider, Ref, TaskID string
	Values                          []string // as in Entry

	Status, NativeStatus string
	Terminal             bool
	Model                string
	ErrorCode            string
	ErrorMessage         string // of a task that failed or timed out, at most maxErrorMessage characters of it

	CreatedAt, CompletedAt           time.Time // zero: not known
	UpdatedAt, FirstSeen, ObservedAt time.Time
	StatusSince                      time.Time // when it came to Status as Pollux saw it
	History                          []Change
}

// maxErrorMessage is how much of an error's message a list shows, in characters.
const maxErrorMessage = 200

// clip returns the first n characters of s, a copy if that is less than s.
func clip(s string, n int) string {
	for i := range s {
		if n--; n < 0 {
			return strings.Clone(s[:i])
		}
	}
	return s
}

// RowOf is the row of an entry.
func RowOf(e *Entry) Row {
	r := Row{
		Key: e.Key, Partition: e.Partition, Upstream: e.Upstream, Provider: e.Provider, Ref: e.Ref, TaskID: e.TaskID, Values: e.Values,
		Status: e.Status, NativeStatus: e.NativeStatus, Terminal: e.Terminal, Model: e.Model, ErrorCode: e.ErrorCode,
		CreatedAt: e.CreatedAt, CompletedAt: e.CompletedAt, UpdatedAt: e.UpdatedAt, FirstSeen: e.FirstSeen, ObservedAt: e.ObservedAt,
		StatusSince: e.StatusSince(), History: e.History,
	}
	if e.Status == "failed" || e.Status == "timed_out" {
		r.ErrorMessage = clip(gjson.GetBytes(e.Document, "error.message").String(), maxErrorMessage)
	}
	return r
}

// StatusSince is when the task came to its present status as Pollux saw it. A
// change of the native word alone does not count.
func (e *Entry) StatusSince() time.Time {
	since := e.FirstSeen
	for i := len(e.History) - 1; i >= 0 && e.History[i].Status == e.Status; i-- {
		since = e.History[i].At
	}
	return since
}

// Time is the row's time in an order, as a Position has it.
func (o Order) Time(r *Row) int64 {
	at := r.CreatedAt
	switch o {
	case ByUpdated:
		at = r.UpdatedAt
	case ByCompleted:
		at = r.CompletedAt
	}
	if at.IsZero() {
		at = r.FirstSeen
	}
	if at.IsZero() {
		return 0
	}
	return at.UnixMicro()
}

// Matches reports whether r is in sight and passes every filter of q; where the
// page begins does not matter.
func (q *Query) Matches(r *Row) bool {
	at := q.Order.Time(r)
	switch {
	case !q.Sight.Sees(&r.Partition),
		q.Upstreams != nil && !slices.Contains(q.Upstreams, r.Upstream),
		q.Statuses != nil && !slices.Contains(q.Statuses, r.Status),
		!strings.HasPrefix(r.TaskID, q.Text) && r.Model != q.Text && r.ErrorCode != q.Text,
		!q.Since.IsZero() && at < q.Since.UnixMicro(),
		!q.Until.IsZero() && at >= q.Until.UnixMicro():
		return false
	}
	return true
}

// Compare is negative if p comes before other in the order of q, positive if
// after.
func (q *Query) Compare(p, other Position) int {
	c := cmp.Or(cmp.Compare(p.At, other.At), cmp.Compare(p.Seq, other.Seq))
	if q.Descending {
		return -c
	}
	return c
}

// Bounds is the range of times, both inclusive, in which rows of q's next page
// can lie.
func (q *Query) Bounds() (from, to int64) {
	from, to = math.MinInt64, math.MaxInt64
	if !q.Since.IsZero() {
		from = q.Since.UnixMicro()
	}
	if !q.Until.IsZero() {
		to = q.Until.UnixMicro() - 1
	}
	switch {
	case q.After == nil:
	case q.Descending:
		to = min(to, q.After.At)
	default:
		from = max(from, q.After.At)
	}
	return from, to
}
