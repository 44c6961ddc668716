package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pollux/cache/postgres/pgtest"
)

// TestReplicasTrouble gives two replicas under load trouble with their database:
// no poll fails, no task goes back, and they catch up.
func TestReplicasTrouble(t *testing.T) {
	s := newReplicas(t, 2, "")
	for _, c := range []struct {
		name       string
		begin, end func(d *pgtest.Server) error
	}{
		{"stopped", func(d *pgtest.Server) error { d.Stop(); return nil }, (*pgtest.Server).Restart},
		{"frozen", func(d *pgtest.Server) error { return d.Signal(syscall.SIGSTOP) }, func(d *pgtest.Server) error { return d.Signal(syscall.SIGCONT) }},
		{"connections killed", func(d *pgtest.Server) error {
			d.Exec(t, "postgres", `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL`)
			return nil
		}, func(*pgtest.Server) error { return nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			load, stop := context.WithCancel(t.Context())
			defer stop()
			var mu sync.Mutex // guards took
			var took []time.Duration
			var loaders sync.WaitGroup
			for n := range 6 {
				loaders.Go(func() {
					r, last := s.all[n%2], map[string]string{}
					for i := n; load.Err() == nil; i++ {
						id := fmt.Sprintf("%s-%d", strings.ReplaceAll(c.name, " ", "-"), i%20)
						began := time.Now()
						code, body, _, err := r.ask(load, http.MethodGet, "/v1/tasks/up/"+id, "a")
						if load.Err() != nil {
							return
						}
						mu.Lock()
						took = append(took, time.Since(began))
						mu.Unlock()
						if err != nil || code != http.StatusOK {
							t.Errorf("poll of %s: %d %s %v", id, code, body, err)
						}
						if strings.Contains(last[id], `"terminal":true`) && !strings.Contains(body, `"terminal":true`) {
							t.Errorf("%s went back from %s to %s", id, last[id], body)
						}
						last[id] = body
						time.Sleep(10 * time.Millisecond)
					}
				})
			}
			time.Sleep(time.Second)
			if err := c.begin(s.database); err != nil {
				t.Fatal(err)
			}
			id := strings.ReplaceAll(c.name, " ", "-") + "-0"
			s.upstream.says(id, "done", "meanwhile") // it ends while nobody can store it
			time.Sleep(time.Duration(rounds(t, 5)) * time.Second)
			if err := c.end(s.database); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() string {
				var stored int
				for _, r := range s.all {
					_, body, h, err := r.ask(t.Context(), http.MethodGet, "/v1/tasks/up/"+id, "a")
					if err == nil && strings.Contains(body, "meanwhile") && strings.Contains(h.Get("Cache-Status"), "detail=terminal") {
						stored++
					}
				}
				if stored < len(s.all) {
					return fmt.Sprintf("%d of %d replicas have stored what ended meanwhile", stored, len(s.all))
				}
				return ""
			})
			stop()
			loaders.Wait()
			slices.Sort(took)
			t.Logf("%d polls; the median took %v, the 99th percentile %v, the slowest %v", len(took),
				took[len(took)/2].Round(time.Microsecond), took[len(took)*99/100].Round(time.Microsecond), took[len(took)-1].Round(time.Microsecond))
		})
	}
}
