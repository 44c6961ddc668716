package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pollux/cache"
	"pollux/cache/internal/storetest"
)

func indexed(t testing.TB, s *Store) storetest.Indexed {
	return storetest.Indexed{
		Index: s,
		Put:   func(e *cache.Entry) { mustPut(t, s, e) },
		Delete: func(key *cache.ID) {
			if _, err := s.Delete(context.Background(), key, 0); err != nil {
				t.Errorf("Delete: %v", err)
			}
		},
	}
}

func TestIndex(t *testing.T) {
	storetest.RunIndex(t, func(t *testing.T) storetest.Indexed {
		s, _ := open(t, filepath.Join(t.TempDir(), "pollux.db"))
		return indexed(t, s)
	})
}

// TestIndexManyMatches: the same when hardly any number of matching ids is few.
func TestIndexManyMatches(t *testing.T) {
	storetest.RunIndex(t, func(t *testing.T) storetest.Indexed {
		s, _ := open(t, filepath.Join(t.TempDir(), "pollux.db"))
		s.file.Load().listing.fewMatches = 3
		return indexed(t, s)
	})
}

// TestListAtOnce: what PutLater was given a moment ago is listed.
func TestListAtOnce(t *testing.T) {
	s, _ := open(t, filepath.Join(t.TempDir(), "pollux.db"))
	for n := range 50 {
		s.PutLater(storetest.Listed(n, 0, "queued", 0))
		rows, _, err := s.List(context.Background(), &cache.Query{Sight: cache.Sight{All: true}, Limit: 1000})
		if err != nil || len(rows) != n+1 {
			t.Fatalf("%d rows after %d writes, %v", len(rows), n+1, err)
		}
	}
}

// TestCountsSurvive: a file that is opened again is counted anew, and one under
// another secret counts and lists as empty.
func TestCountsSurvive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pollux.db")
	s, _ := open(t, path)
	for n := range 30 {
		mustPut(t, s, storetest.Listed(n, n%3, "completed", n))
	}
	mustPut(t, s, storetest.Listed(30, 0, "queued", 0))
	mustClose(t, s)
	all := &cache.Sight{All: true}

	s, _ = open(t, path)
	if got := fmt.Sprint(s.Counts(all)); got != "map[orq:map[completed:10 queued:1] shannon:map[completed:10] vessl:map[completed:10]]" {
		t.Errorf("counts after reopening: %v", got)
	}
	if got := fmt.Sprint(s.Counts(&cache.Sight{Partitions: []cache.ID{*storetest.Key(-2)}})); got != "map[shannon:map[completed:10]]" {
		t.Errorf("counts of one partition: %v", got)
	}
	mustClose(t, s)

	other, err := Open(context.Background(), Config{Path: path}, testSecret(t, "some other secret than before"), s.log)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if got := other.Counts(all); len(got) > 0 {
		t.Errorf("counts under another secret: %v, want none", got)
	}
	mustPut(t, other, storetest.Listed(40, 9, "queued", 0))
	rows, next, err := other.List(context.Background(), &cache.Query{Sight: *all, Limit: 5})
	if err != nil || next != nil || len(rows) != 1 || rows[0].TaskID != "t40" {
		t.Errorf("list under another secret: %v, %v, %v, want its own task alone", rows, next, err)
	}
}

func TestRetentionCounts(t *testing.T) {
	s, err := Open(context.Background(), Config{Path: filepath.Join(t.TempDir(), "pollux.db"), Retention: time.Hour},
		testSecret(t, "a secret of enough bytes"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n := range 20 {
		e := storetest.Listed(n, 0, "completed", n)
		if n < 5 {
			e.ObservedAt = time.Now()
		}
		s.PutLater(e)
	}
	mustPut(t, s, storetest.Listed(99, 0, "queued", 0))
	w := &writer{Store: s}
	w.expire() // beside the writer's own: both count what they delete
	all := &cache.Sight{All: true}
	rows, _, err := s.List(context.Background(), &cache.Query{Sight: *all, Limit: 100})
	if got := s.Counts(all); err != nil || got["orq"]["completed"] != len(rows) || len(rows) != 5 {
		t.Errorf("%d rows, %v, counted %v, want 5", len(rows), err, got)
	}
}

// TestQueryPlans: a walk is a search in an index that has all it needs, and
// nothing is sorted; a search by id reads no rows either.
func TestQueryPlans(t *testing.T) {
	s, _ := open(t, filepath.Join(t.TempDir(), "pollux.db"))
	file := s.file.Load() // empty: without ANALYZE, plans do not depend on how many rows there are
	ways, searches := walks()
	check := func(name, text, prefix string, sorts bool) {
		t.Helper()
		plan := explain(t, file.read, text)
		if !strings.HasPrefix(plan, prefix) || strings.Contains(plan, "TEMP B-TREE") != sorts {
			t.Errorf("%s: plan\n%s", name, plan)
		}
	}
	for _, w := range ways {
		check(fmt.Sprint(w), w.text(), "SEARCH tasks USING COVERING INDEX tasks_"+w.by, false)
	}
	for _, q := range searches {
		check(fmt.Sprint(q), q.text(), "SEARCH tasks USING COVERING INDEX tasks_", true)
	}
	check("by row", sqlByRow, "SEARCH tasks USING INTEGER PRIMARY KEY", false)
	check("id", sqlID, "SEARCH tasks USING INTEGER PRIMARY KEY", false)
	check("probe", sqlProbe, "SEARCH tasks USING INDEX", false)
	check("count", sqlCount, "SCAN tasks USING COVERING INDEX tasks_partition_created", false)
	if plan := explain(t, file.read, sqlMatches(true)); !strings.Contains(plan, "SEARCH tasks USING COVERING INDEX tasks_partition_id") {
		t.Errorf("matches: plan\n%s", plan)
	}
}

func explain(t *testing.T, db *sql.DB, text string) string {
	t.Helper()
	args := make([]any, strings.Count(text, "?"))
	for n := len(args); n > 0 && !strings.Contains(text, fmt.Sprintf("?%d", n)); n-- {
		args = args[:n-1]
	}
	rows, err := db.Query("EXPLAIN QUERY PLAN "+text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, detail)
	}
	return strings.Join(steps, "\n")
}

// fill writes n tasks of so many partitions, fast and without the writer.
func fill(t testing.TB, s *Store, n, partitions int) {
	t.Helper()
	statuses := []string{"completed", "completed", "completed", "completed", "failed", "cancelled", "in_progress", "queued"}
	file := s.file.Load()
	tx, err := file.write.Begin()
	if err != nil {
		t.Fatal(err)
	}
	put := tx.Stmt(file.put)
	for i := range n {
		e := storetest.Listed(i, i%partitions, statuses[i*7919%len(statuses)], i)
		if _, err := upsert(put, &write{entry: e, value: s.secret.SealEntry(e)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := file.loadCounts(context.Background(), s.secret); err != nil {
		t.Fatal(err)
	}
}
