package postgres

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"pollux/cache"
	"pollux/cache/internal/storetest"
)

var listTasks = flag.Int("list.tasks", 100_000, "how many tasks TestManyTasks and BenchmarkList list")

// fill writes n tasks of so many partitions by COPY.
func fill(t testing.TB, s *Store, n, partitions int) {
	t.Helper()
	ctx := context.Background()
	statuses := []string{"completed", "completed", "completed", "completed", "failed", "cancelled", "in_progress", "queued"}
	seal := testSecret(t, secret)
	entry := func(i int) *cache.Entry {
		return storetest.Listed(i, i%partitions, statuses[i*7919%len(statuses)], i)
	}
	_, err := s.pool.CopyFrom(ctx, pgx.Identifier{"pollux_tasks"},
		[]string{"seq", "key", "partition", "upstream", "status", "task_id", "model", "error_code", "frozen", "generation", "version", "created_at", "updated_at", "completed_at", "observed_at", "head"},
		pgx.CopyFromSlice(n, func(i int) ([]any, error) {
			e := entry(i)
			row := cache.RowOf(e)
			return []any{int64(i + 1), e.Key[:], e.Partition[:], e.Upstream, e.Status, []byte(e.TaskID), []byte(e.Model), []byte(e.ErrorCode), e.Frozen, int64(0), int64(0),
				cache.ByCreated.Time(&row), cache.ByUpdated.Time(&row), cache.ByCompleted.Time(&row), micros(e.ObservedAt), seal.SealRow(&row)}, nil
		}))
	must(t, err)
	body := seal.SealEntry(entry(0)) // no list opens it
	_, err = s.pool.CopyFrom(ctx, pgx.Identifier{"pollux_bodies"}, []string{"seq", "value"},
		pgx.CopyFromSlice(n, func(i int) ([]any, error) { return []any{int64(i + 1), body}, nil }))
	must(t, err)
	for _, text := range []string{
		`INSERT INTO pollux_counts (partition, status, upstream, n) SELECT partition, status, upstream, count(*) FROM pollux_tasks GROUP BY 1, 2, 3`,
		`SELECT setval('pollux_tasks_seq_seq', (SELECT max(seq) FROM pollux_tasks))`,
		`ANALYZE pollux_tasks`,
	} {
		_, err := s.pool.Exec(ctx, text)
		must(t, err)
	}
}

// manyQueries are what the fleet view and clients ask for.
func manyQueries() map[string]cache.Query {
	all := cache.Sight{All: true}
	return map[string]cache.Query{
		"latest":       {Sight: all, Descending: true},
		"own":          {Sight: cache.Sight{Partitions: []cache.ID{*storetest.Key(-8), *storetest.Key(-9)}}, Descending: true},
		"failed":       {Sight: all, Statuses: []string{"failed"}, Order: cache.ByUpdated, Descending: true},
		"oldest":       {Sight: all, Statuses: []string{"queued", "in_progress"}},
		"one upstream": {Sight: all, Upstreams: []string{"orq"}, Order: cache.ByCompleted, Descending: true},
		"rare id":      {Sight: all, Text: "t4711"},
		"any id":       {Sight: all, Text: "t"},
		"model":        {Sight: all, Text: "m", Descending: true},
		"no such word": {Sight: all, Text: "nothing"},
	}
}

// TestManyTasks: no list over many tasks reads them all.
func TestManyTasks(t *testing.T) {
	s, _ := open(t, fresh(t))
	fill(t, s, *listTasks, 100)
	for name, q := range manyQueries() {
		q.Limit = 50
		list := func() time.Duration {
			began := time.Now()
			rows, _, err := s.List(context.Background(), &q)
			if err != nil || len(rows) == 0 && q.Text != "nothing" {
				t.Errorf("%s: %d rows, %v", name, len(rows), err)
			}
			return time.Since(began)
		}
		list()
		took := []time.Duration{list(), list(), list()}
		best := slices.Min(took)
		if t.Logf("%s: %v", name, best.Round(10*time.Microsecond)); best > 2*time.Second { // it takes some milliseconds on a quiet machine
			t.Errorf("%s: %v at best over %d tasks", name, best, *listTasks)
		}
	}
	began := time.Now()
	n := s.Counts(&cache.Sight{All: true})
	if took := time.Since(began); len(n) != 3 || took > 2*time.Second {
		t.Errorf("counts %v after %v", n, took)
	} else {
		t.Logf("counts: %v", took.Round(10*time.Microsecond))
	}
}

func BenchmarkList(b *testing.B) {
	s, _ := open(b, fresh(b))
	fill(b, s, *listTasks, 100)
	for name, q := range manyQueries() {
		q.Limit = 50
		b.Run(fmt.Sprintf("%s of %d", name, *listTasks), func(b *testing.B) {
			at(b, 1, func(int) error {
				_, _, err := s.List(context.Background(), &q)
				return err
			})
		})
	}
}
