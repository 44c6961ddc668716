package benchmarks

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"flag"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pollux/cache"
	"pollux/cache/sqlite"
)

var listTasks = flag.Int("list.tasks", 1_000_000, "how many tasks BenchmarkList lists")

const (
	listPartitions = 1000
	listUpstreams  = 8
	// listWrites is how many tasks change per second meanwhile.
	listWrites = 500
)

// listed is the n-th task of the benchmark's store.
func listed(n int, status string, at time.Time) *cache.Entry {
	upstream := fmt.Sprintf("upstream-%d", n%listPartitions%listUpstreams)
	e := &cache.Entry{
		Upstream: upstream, Provider: "shannon", Ref: fmt.Sprintf("%s/task-%08x", upstream, n), TaskID: fmt.Sprintf("task-%08x", n),
		Status: status, NativeStatus: strings.ToUpper(status), Model: "m", NativeType: "application/json", NativeCode: 200,
		CreatedAt: at.Add(-time.Minute), FirstSeen: at.Add(-time.Minute), UpdatedAt: at, ObservedAt: at,
		History:  []cache.Change{{Status: status, At: at}},
		Document: fmt.Appendf(nil, `{"id":"task-%08x","output":{"text":"%s"}}`, n, strings.Repeat("text ", 40)),
	}
	binary.BigEndian.PutUint64(e.Key[:], uint64(n)*0x9e3779b97f4a7c15) // keys are hashes: in no order
	binary.BigEndian.PutUint64(e.Partition[:], uint64(n%listPartitions)*0x9e3779b97f4a7c15)
	if status == "completed" || status == "failed" {
		e.Terminal, e.Frozen, e.CompletedAt = true, true, at
	}
	return e
}

// openListed opens a store of so many tasks. They are written past the store,
// which makes its indexes when it opens the file again.
func openListed(b *testing.B, tasks int) *sqlite.Store {
	b.Helper()
	path := filepath.Join(b.TempDir(), "pollux.db")
	secret, err := cache.NewSecret(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		b.Fatal(err)
	}
	open := func() *sqlite.Store {
		s, err := sqlite.Open(context.Background(), sqlite.Config{Path: path}, secret, slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	if err := open().Close(); err != nil {
		b.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=synchronous(OFF)")
	if err != nil {
		b.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	if err := fillListed(db, secret, tasks); err != nil {
		b.Fatal(err)
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	s := open()
	b.Cleanup(func() { s.Close() })
	return s
}

func fillListed(db *sql.DB, secret *cache.Secret, tasks int) error {
	var drop string
	if err := db.QueryRow(`SELECT group_concat('DROP INDEX ' || name, ';') FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = 'tasks'`).Scan(&drop); err != nil {
		return err
	}
	if _, err := db.Exec(drop); err != nil {
		return err
	}
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	put, err := tx.Prepare(`INSERT INTO tasks (key, partition, upstream, provider, task_id, status, terminal, frozen,
		created_at, completed_at, updated_at, first_seen, observed_at, value) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)`)
	if err != nil {
		return err
	}
	start := time.Now().Add(-time.Duration(tasks) * time.Second)
	for n := range tasks {
		status := "completed"
		switch (n + n/listPartitions) % 100 {
		case 0, 1, 2:
			status = "failed"
		case 3:
			status = "in_progress"
		}
		e := listed(n, status, start.Add(time.Duration(n)*time.Second))
		var completed any
		if e.Terminal {
			completed = e.CompletedAt.UnixMicro()
		}
		if _, err := put.Exec(e.Key[:], e.Partition[:], e.Upstream, e.Provider, e.TaskID, e.Status, e.Terminal, e.Frozen,
			e.CreatedAt.UnixMicro(), completed, e.UpdatedAt.UnixMicro(), e.FirstSeen.UnixMicro(), e.ObservedAt.UnixMicro(), secret.SealEntry(e)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// BenchmarkList lists pages out of a million tasks of a thousand credentials
// while tasks change, as the fleet view and the clients do. It reports the
// median and the 99th percentile in milliseconds.
func BenchmarkList(b *testing.B) {
	s := openListed(b, *listTasks)
	all, one := cache.Sight{All: true}, cache.Sight{Partitions: []cache.ID{listed(4, "", time.Now()).Partition, listed(5, "", time.Now()).Partition}}
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() { changeListed(s, stop) })
	defer func() { close(stop); writer.Wait() }()
	for _, c := range []struct {
		name string
		q    cache.Query
	}{
		{"latest", cache.Query{Sight: all, Descending: true}},
		{"own", cache.Query{Sight: one, Descending: true}},
		{"own-filtered", cache.Query{Sight: one, Statuses: []string{"failed"}, Order: cache.ByUpdated, Descending: true}},
		{"failed-of-one-upstream", cache.Query{Sight: all, Upstreams: []string{"upstream-1"}, Statuses: []string{"failed"}, Order: cache.ByCompleted, Descending: true}},
		{"running", cache.Query{Sight: all, Statuses: []string{"queued", "in_progress", "unknown"}}},
		{"id", cache.Query{Sight: all, TaskID: "task-0000a1b2", Descending: true}},
		{"id-prefix", cache.Query{Sight: all, TaskID: "task-0000a", Descending: true}},
		{"own-id-prefix", cache.Query{Sight: one, TaskID: "task-0000", Descending: true}},
	} {
		c.q.Limit = 50
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				if rows, _, err := s.List(context.Background(), &c.q); err != nil || len(rows) == 0 {
					b.Fatalf("%d rows: %v", len(rows), err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
			b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "p99-ms")
		})
	}
}

// changeListed changes listWrites tasks per second until stop is closed.
func changeListed(s *sqlite.Store, stop chan struct{}) {
	tick := time.NewTicker(time.Second / 50)
	defer tick.Stop()
	statuses := []string{"queued", "in_progress", "failed", "unknown"}
	for n := 0; ; {
		select {
		case <-stop:
			return
		case now := <-tick.C:
			for range listWrites / 50 {
				n++
				s.PutLater(listed(*listTasks+n%5000, statuses[n%len(statuses)], now))
			}
		}
	}
}
