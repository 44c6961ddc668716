package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pollux/cache"
	"pollux/cache/internal/storetest"
	"pollux/cache/sqlindex"
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

// fill writes n tasks of so many partitions, fast and without the writer.
func fill(t testing.TB, s *Store, n, partitions int) {
	t.Helper()
	statuses := []string{"completed", "completed", "completed", "completed", "failed", "cancelled", "in_progress", "queued"}
	file := s.file.Load()
	w := &writer{Store: s, batch: make([]*write, 0, n)}
	for i := range n {
		e := storetest.Listed(i, i%partitions, statuses[i*7919%len(statuses)], i)
		w.batch = append(w.batch, &write{key: e.Key, entry: e, value: s.secret.SealEntry(e)})
	}
	if err := w.transact(file, w.batch, make([]outcome, n), nil); err != nil {
		t.Fatal(err)
	}
}

// TestListsDoNotQueueBehindPolls: while every reader is busy, a list is read, and
// while every list reader is, a poll.
func TestListsDoNotQueueBehindPolls(t *testing.T) {
	s, _ := open(t, filepath.Join(t.TempDir(), "pollux.db"))
	e := storetest.Listed(1, 0, "completed", 1)
	mustPut(t, s, e)
	hold := func(to chan *read, n int) (release func()) {
		var began, ended sync.WaitGroup
		gate := make(chan struct{})
		began.Add(n)
		for range n {
			ended.Go(func() {
				err := s.ask(context.Background(), to, func(*database) error {
					began.Done()
					<-gate
					return nil
				})
				if err != nil && !errors.Is(err, context.DeadlineExceeded) { // this test may be slow
					t.Error(err)
				}
			})
		}
		began.Wait()
		return func() { close(gate); ended.Wait() }
	}
	release := hold(s.reads, readers)
	rows, _, err := s.List(t.Context(), &cache.Query{Sight: cache.Sight{All: true}, Limit: 5})
	if err != nil || len(rows) != 1 {
		t.Errorf("a list behind polls: %d rows, %v", len(rows), err)
	}
	if _, err := s.CountsSince(t.Context(), &cache.Sight{All: true}, time.Time{}); err != nil {
		t.Errorf("counts behind polls: %v", err)
	}
	release()
	release = hold(s.lists, listReaders)
	if _, err := s.Get(t.Context(), &e.Key); err != nil {
		t.Errorf("a poll behind lists: %v", err)
	}
	release()
}

// recorder notes the statements of a page.
type recorder struct {
	source
	texts []string
	rows  int
}

func (r *recorder) Rows(text string, args []any, each func(scan func(...any) error) error) error {
	r.texts = append(r.texts, text)
	return r.source.Rows(text, args, func(scan func(...any) error) error {
		r.rows++
		return each(scan)
	})
}

// TestTextOfManyBehindOthers: thousands of tasks that run come before the first
// with the text, as they do on every busy Pollux. That is no reason to take and
// sort all that have it.
func TestTextOfManyBehindOthers(t *testing.T) {
	s, _ := open(t, filepath.Join(t.TempDir(), "pollux.db"))
	const running, ended = 1500, 3000
	var all sync.WaitGroup
	for part := range 100 {
		all.Go(func() {
			for n := part; n < running+ended; n += 100 {
				e := storetest.Listed(n, 0, "completed", n)
				if e.TaskID = fmt.Sprintf("done-%d", n); n >= ended {
					e = storetest.Listed(n, 0, "in_progress", n)
				}
				mustPut(t, s, e)
			}
		})
	}
	all.Wait()
	q := &cache.Query{Sight: cache.Sight{All: true}, Text: "done-", Order: cache.ByCreated, Descending: true, Limit: 50}
	_, err := snapshot(t.Context(), s, "list", func(d *database, src source) (any, error) {
		r := &recorder{source: src}
		heads, err := sqlindex.Page(r, q, d.counts.scope(q))
		if len(heads) != 51 {
			t.Errorf("%d heads, want a page and one more", len(heads))
		}
		all := strings.Join(r.texts, "\n")
		if strings.Contains(all, "gathered") || strings.Contains(all, "LIMIT 100000") {
			t.Errorf("all %d were gathered or counted:\n%s", ended, all)
		}
		if most := running + 3*len(heads); r.rows > most {
			t.Errorf("%d rows came by, want those that run, once, and two pages, which is %d", r.rows, most)
		}
		return nil, err
	})
	if err != nil {
		t.Fatal(err)
	}
}
