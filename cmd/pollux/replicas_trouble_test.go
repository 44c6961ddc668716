package main

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pollux/cache/postgres/pgtest"
)

// slower is by how much the 99th percentile of polls may grow in trouble: ten
// times what is promised, on a machine that does other things too.
const slower = 10 * 60 * time.Millisecond

// troubles are what may befall a database, or the way to it.
var troubles = []struct {
	name       string
	small      bool // the database has a disk that can be filled
	begin, end func(t *testing.T, s *replicaSet) error
}{
	{"stopped", false, func(_ *testing.T, s *replicaSet) error { s.database.Stop(); return nil },
		func(_ *testing.T, s *replicaSet) error { return s.database.Restart() }},
	{"frozen", false, func(_ *testing.T, s *replicaSet) error { return s.database.Signal(syscall.SIGSTOP) },
		func(_ *testing.T, s *replicaSet) error { return s.database.Signal(syscall.SIGCONT) }},
	{"restarted", false, func(_ *testing.T, s *replicaSet) error { s.database.Stop(); return s.database.Restart() }, nothing},
	{"connections killed", false, func(t *testing.T, s *replicaSet) error {
		s.database.Exec(t, "postgres", `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL`)
		return nil
	}, nothing},
	{"disk full", true, func(_ *testing.T, s *replicaSet) error { return s.database.Fill() },
		func(_ *testing.T, s *replicaSet) error { return s.database.Free() }},
	{"read-only", false, func(t *testing.T, s *replicaSet) error {
		s.database.Exec(t, "postgres", `ALTER SYSTEM SET default_transaction_read_only = on`)
		s.database.Exec(t, "postgres", `SELECT pg_reload_conf()`)
		return nil
	}, func(t *testing.T, s *replicaSet) error {
		s.database.Exec(t, "postgres", `ALTER SYSTEM RESET default_transaction_read_only`)
		s.database.Exec(t, "postgres", `SELECT pg_reload_conf()`)
		return nil
	}},
	{"slow", false, slow(500 * time.Millisecond), slow(0)},
	{"one cut off", false, func(_ *testing.T, s *replicaSet) error { s.all[0].link.Cut(true); return nil },
		func(_ *testing.T, s *replicaSet) error { s.all[0].link.Cut(false); return nil }},
}

func nothing(*testing.T, *replicaSet) error { return nil }

func slow(by time.Duration) func(*testing.T, *replicaSet) error {
	return func(_ *testing.T, s *replicaSet) error {
		for _, r := range s.all {
			r.link.Slow(by)
		}
		return nil
	}
}

// TestReplicasTrouble gives two replicas under load trouble with their database:
// no poll fails or takes much longer, no task goes back, and they catch up.
func TestReplicasTrouble(t *testing.T) {
	t.Parallel()                   // but one trouble after the other: their clients poll without a pause
	sets := map[bool]*replicaSet{} // by whether their disk is small
	for _, c := range troubles {
		if sets[c.small] == nil {
			sets[c.small] = newReplicasOn(t, databaseOf(t, c.small), 2, "")
			sets[c.small].upstream.news.Store(true)
		}
		t.Run(c.name, func(t *testing.T) {
			s, name := sets[c.small], strings.ReplaceAll(c.name, " ", "-")
			traffic := s.traffic(t, name)
			time.Sleep(2 * time.Second)
			traffic.phase.Store(1)
			if err := c.begin(t, s); err != nil {
				t.Fatal(err)
			}
			s.upstream.says(name+"-0", "done", "meanwhile") // it ends while nobody can store it
			time.Sleep(time.Duration(rounds(t, 5)) * time.Second)
			if err := c.end(t, s); err != nil {
				t.Fatal(err)
			}
			over := time.Now()
			traffic.phase.Store(2)
			eventually(t, func() string { return s.behind(t, name+"-0") })
			caughtUp := time.Since(over)
			traffic.end()
			t.Logf("caught up after %v; before: %s; meanwhile: %s; after: %s", caughtUp.Round(time.Millisecond), traffic.summary(0), traffic.summary(1), traffic.summary(2))
			if before, meanwhile := traffic.quantile(0, 99), traffic.quantile(1, 99); meanwhile > before+slower {
				t.Errorf("the 99th percentile of polls went from %v to %v, want at most %v more", before, meanwhile, slower)
			}
		})
	}
}

// databaseOf is a database of the test's own, on a small disk or any.
func databaseOf(t *testing.T, small bool) *pgtest.Server {
	t.Helper()
	open := func() (*pgtest.Server, error) { return pgtest.Start("fsync=off") }
	if small {
		open = func() (*pgtest.Server, error) { return pgtest.StartSmall(128, "fsync=off") }
	}
	database, err := open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(database.Close)
	return database
}

// behind says what a replica lacks that goes on alone, or has not stored that a
// task ended meanwhile; "" nothing.
func (s *replicaSet) behind(t *testing.T, id string) string {
	for _, r := range s.all {
		_, body, h, err := r.ask(t.Context(), http.MethodGet, "/v1/tasks/up/"+id, "a")
		if err != nil || !strings.Contains(body, "meanwhile") || !strings.Contains(h.Get("Cache-Status"), "detail=terminal") {
			return fmt.Sprintf("%s has not stored what ended meanwhile: %s %v", r.base, h.Get("Cache-Status"), err)
		}
		if _, body, _, err := r.ask(t.Context(), http.MethodGet, "/readyz", "a"); err != nil || strings.Contains(body, "warning") {
			return fmt.Sprintf("%s is not well: %s %v", r.base, body, err)
		}
	}
	return ""
}

// traffic is clients that poll replicas until it ends: twenty tasks of a name again
// and again, and ever new ones.
type traffic struct {
	end   func()
	phase atomic.Int32

	mu   sync.Mutex // guards took
	took [3][]time.Duration
}

var newsNumber = regexp.MustCompile(`n-(\d+)`)

func (s *replicaSet) traffic(t *testing.T, name string) *traffic {
	ctx, stop := context.WithCancel(t.Context())
	l := &traffic{}
	var clients sync.WaitGroup
	l.end = func() { stop(); clients.Wait() }
	t.Cleanup(l.end)
	for n := range 6 {
		r, last, ended := s.all[n%len(s.all)], map[string]int{}, map[string]bool{}
		clients.Go(func() {
			for i := n; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("%s-%d", name, i%20)
				if i%10 == 0 {
					id = fmt.Sprintf("%s-once-%d-%d", name, n, i)
				}
				phase, began := l.phase.Load(), time.Now()
				code, body, _, err := r.ask(ctx, http.MethodGet, "/v1/tasks/up/"+id, "a")
				if ctx.Err() != nil {
					return
				}
				l.mu.Lock()
				l.took[phase] = append(l.took[phase], time.Since(began))
				l.mu.Unlock()
				if err != nil || code != http.StatusOK {
					t.Errorf("poll of %s: %d %s %v", id, code, body, err)
				}
				number := 0
				if found := newsNumber.FindStringSubmatch(body); found != nil {
					number, _ = strconv.Atoi(found[1])
				}
				over := strings.Contains(body, `"terminal":true`)
				if ended[id] && !over || !over && number < last[id] {
					t.Errorf("%s went back from %d to %d at %s: %s", id, last[id], number, r.base, body)
				}
				last[id], ended[id] = max(last[id], number), ended[id] || over
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	return l
}

// quantile is so many percent of the polls of a phase, sorted by how long they
// took.
func (l *traffic) quantile(phase, percent int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	took := slices.Sorted(slices.Values(l.took[phase]))
	if len(took) == 0 {
		return 0
	}
	return took[min(len(took)*percent/100, len(took)-1)]
}

func (l *traffic) summary(phase int) string {
	return fmt.Sprintf("%d polls, 50 %% %v, 99 %% %v, all %v", len(l.took[phase]), l.quantile(phase, 50).Round(100*time.Microsecond),
		l.quantile(phase, 99).Round(100*time.Microsecond), l.quantile(phase, 100).Round(100*time.Microsecond))
}
