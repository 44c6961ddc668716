package storetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pollux/cache"
)

// Indexed is an index and how it comes to know of tasks.
type Indexed struct {
	cache.Index
	Put    func(e *cache.Entry)
	Delete func(key *cache.ID)
}

var (
	indexUpstreams = []string{"orq", "shannon", "vessl"}
	indexStatuses  = []string{"queued", "in_progress", "completed", "failed"}
	indexStart     = time.Date(2025, 10, 22, 10, 30, 0, 0, time.UTC)
)

// Listed returns the n-th task of partition p, whose upstream follows from p,
// seconds after a fixed start.
func Listed(n, p int, status string, seconds int) *cache.Entry {
	at := indexStart.Add(time.Duration(seconds) * time.Second)
	upstream := indexUpstreams[p%len(indexUpstreams)]
	e := &cache.Entry{
		Key: *Key(n), Partition: *Key(-1 - p), Upstream: upstream, Provider: upstream, Ref: fmt.Sprintf("%s/t%d", upstream, n),
		TaskID: fmt.Sprintf("t%d", n), Status: status, NativeStatus: strings.ToUpper(status), Model: "m",
		CreatedAt: at, UpdatedAt: at.Add(time.Hour), FirstSeen: at, ObservedAt: at,
		Document: []byte(`{"error":{"message":"it broke"}}`),
		History:  []cache.Change{{Status: status, At: at}},
	}
	if status == "completed" || status == "failed" {
		e.Terminal, e.CompletedAt = true, at.Add(time.Minute)
	}
	if n%5 == 0 {
		e.CreatedAt = time.Time{} // first_seen stands in
	}
	return e
}

// RunIndex runs all checks of a cache.Index, each on an empty one from open.
func RunIndex(t *testing.T, open func(t *testing.T) Indexed) {
	for name, check := range map[string]func(*testing.T, Indexed){
		"rows":                       rowDetails,
		"any query, against a model": indexModel,
		"walks under change":         steadyWalk,
		"nothing in sight":           blind,
	} {
		t.Run(name, func(t *testing.T) { check(t, open(t)) })
	}
}

func rowDetails(t *testing.T, x Indexed) {
	e := Listed(7, 1, "failed", 3)
	e.ErrorCode = "broken"
	x.Put(e)
	rows, next, err := x.List(context.Background(), &cache.Query{Sight: cache.Sight{All: true}, Limit: 10})
	if err != nil || next != nil || len(rows) != 1 {
		t.Fatalf("List = %d rows, %v, %v, want 1", len(rows), next, err)
	}
	got, want := rows[0], cache.RowOf(e)
	if got.Ref != want.Ref || got.NativeStatus != "FAILED" || got.Model != "m" || got.ErrorCode != "broken" || got.ErrorMessage != "it broke" ||
		!got.StatusSince.Equal(want.StatusSince) || !got.CompletedAt.Equal(want.CompletedAt) || got.Key != e.Key || got.Partition != e.Partition {
		t.Errorf("row = %+v, want %+v", got, want)
	}
}

// failer is a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// collect walks over all pages of q.
func collect(t failer, x cache.Index, q cache.Query) []cache.Row {
	t.Helper()
	var all []cache.Row
	for {
		rows, next, err := x.List(context.Background(), &q)
		if err != nil {
			t.Fatalf("List(%+v): %v", q, err)
		}
		if len(rows) > q.Limit || next != nil && len(rows) < q.Limit {
			t.Fatalf("List(%+v) = %d rows, next %v", q, len(rows), next)
		}
		all = append(all, rows...)
		if q.After = next; next == nil {
			return all
		}
	}
}

// indexModel compares pages of any query over any tasks with what a look at
// each task finds. No row is ever of a partition that is not in sight.
func indexModel(t *testing.T, x Indexed) {
	some := func(from []string) *rapid.Generator[[]string] {
		return rapid.OneOf(rapid.Just([]string(nil)), rapid.SliceOfN(rapid.SampledFrom(append(from, "nope")), 1, 3))
	}
	rapid.Check(t, func(rt *rapid.T) {
		known := map[int]*cache.Entry{}
		defer func() {
			for n := range known {
				x.Delete(Key(n))
			}
		}()
		for range rapid.IntRange(1, 30).Draw(rt, "changes") {
			n := rapid.IntRange(0, 150).Draw(rt, "task")
			if rapid.IntRange(0, 5).Draw(rt, "change") == 0 {
				x.Delete(Key(n))
				delete(known, n)
				continue
			}
			e := Listed(n, n%7, rapid.SampledFrom(indexStatuses).Draw(rt, "status"), rapid.IntRange(0, 20).Draw(rt, "seconds"))
			x.Put(e)
			known[n] = e
		}
		q := cache.Query{
			Upstreams: some(indexUpstreams).Draw(rt, "upstreams"), Statuses: some(indexStatuses).Draw(rt, "statuses"),
			Text:       rapid.SampledFrom([]string{"", "", "t", "t1", "t12", "x"}).Draw(rt, "q"),
			Order:      cache.Order(rapid.IntRange(0, 2).Draw(rt, "order")),
			Descending: rapid.Bool().Draw(rt, "descending"), Limit: rapid.IntRange(1, 40).Draw(rt, "limit"),
		}
		if rapid.Bool().Draw(rt, "since") {
			q.Since = indexStart.Add(time.Duration(rapid.IntRange(0, 20).Draw(rt, "since")) * time.Second)
		}
		if rapid.Bool().Draw(rt, "until") {
			q.Until = indexStart.Add(time.Duration(rapid.IntRange(0, 20).Draw(rt, "until")) * time.Second)
		}
		if q.Sight.All = rapid.Bool().Draw(rt, "all"); !q.Sight.All {
			for _, p := range rapid.SliceOfNDistinct(rapid.IntRange(0, 8), 0, 4, rapid.ID[int]).Draw(rt, "partitions") {
				q.Sight.Partitions = append(q.Sight.Partitions, *Key(-1 - p))
			}
		}
		compare(rt, x, q, known)
	})
}

func compare(rt *rapid.T, x Indexed, q cache.Query, known map[int]*cache.Entry) {
	want, counts := map[string]int64{}, cache.Counts{}
	for _, e := range known {
		row := cache.RowOf(e)
		if q.Matches(&row) {
			want[e.TaskID] = q.Order.Time(&row)
		}
		if q.Sight.Sees(&e.Partition) {
			counts.Add(e.Upstream, e.Status, 1)
		}
	}
	var times []int64
	got := collect(rt, x, q)
	for i := range got {
		if !q.Sight.Sees(&got[i].Partition) {
			rt.Fatalf("%+v shows %s of a partition out of sight", q, got[i].Ref)
		}
		at, ok := want[got[i].TaskID]
		if !ok {
			rt.Fatalf("%+v shows %s, which is not wanted or comes twice", q, got[i].Ref)
		}
		delete(want, got[i].TaskID)
		times = append(times, at)
	}
	if len(want) > 0 {
		rt.Fatalf("%+v leaves out %v", q, want)
	}
	if q.Descending {
		slices.Reverse(times)
	}
	if !slices.IsSortedFunc(times, cmp.Compare[int64]) {
		rt.Fatalf("%+v is not in order: %v", q, times)
	}
	for upstream, byStatus := range x.Counts(&q.Sight) {
		for status, n := range byStatus {
			if counts[upstream][status] != n {
				rt.Fatalf("%d %s tasks of %s counted, want %d", n, status, upstream, counts[upstream][status])
			}
			delete(counts[upstream], status)
		}
	}
	for upstream, byStatus := range counts {
		if len(byStatus) > 0 {
			rt.Fatalf("%v of %s not counted", byStatus, upstream)
		}
	}
}

// steadyWalk: tasks that do not change come exactly once, whatever others do
// between and during the pages.
func steadyWalk(t *testing.T, x Indexed) {
	const steady, moving = 120, 40
	for n := range steady {
		x.Put(Listed(n, 0, "queued", n/10)) // ten at a time share a time
	}
	for n := range moving {
		x.Put(Listed(1000+n, 0, "queued", n))
	}
	stop := make(chan struct{})
	var changes sync.WaitGroup
	changes.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			n := 1000 + i%moving
			if i%3 == 0 {
				x.Delete(Key(n))
			} else {
				x.Put(Listed(n, 0, indexStatuses[i%len(indexStatuses)], i%40))
			}
		}
	})
	for order := range cache.ByCompleted + 1 {
		for _, descending := range []bool{false, true} {
			seen := map[string]int{}
			for _, row := range collect(t, x, cache.Query{Sight: cache.Sight{All: true}, Order: order, Descending: descending, Limit: 7}) {
				seen[row.TaskID]++
			}
			for n := range steady {
				if id := fmt.Sprintf("t%d", n); seen[id] != 1 {
					t.Errorf("order %d, descending %v: %s came %d times, want once", order, descending, id, seen[id])
				}
			}
		}
	}
	close(stop)
	changes.Wait()
}

func blind(t *testing.T, x Indexed) {
	x.Put(Listed(1, 0, "queued", 0))
	rows, next, err := x.List(context.Background(), &cache.Query{Limit: 10})
	if len(rows) > 0 || next != nil || err != nil {
		t.Errorf("List in no sight = %d rows, %v, %v, want none", len(rows), next, err)
	}
	if counts := x.Counts(&cache.Sight{}); len(counts) > 0 {
		t.Errorf("Counts in no sight = %v, want none", counts)
	}
}
