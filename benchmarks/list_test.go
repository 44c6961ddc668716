package benchmarks

import (
	"bytes"
	"context"
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

// openListed opens a store of so many tasks.
func openListed(b *testing.B, tasks int) *sqlite.Store {
	b.Helper()
	secret, err := cache.NewSecret(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		b.Fatal(err)
	}
	s, err := sqlite.Open(context.Background(), sqlite.Config{Path: filepath.Join(b.TempDir(), "pollux.db")}, secret, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	start := time.Now().Add(-time.Duration(tasks) * time.Second)
	for n := range tasks {
		status := "completed"
		switch (n + n/listPartitions) % 100 {
		case 0, 1, 2:
			status = "failed"
		case 3:
			status = "in_progress"
		}
		for stats := s.Stats(); stats.Queued > stats.QueueLimit/2; stats = s.Stats() {
			time.Sleep(time.Millisecond)
		}
		s.PutLater(listed(n, status, start.Add(time.Duration(n)*time.Second)))
	}
	if dropped := s.Stats().Dropped; dropped > 0 {
		b.Fatalf("%d tasks were dropped", dropped)
	}
	return s
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
		{"id", cache.Query{Sight: all, Text: "task-0000a1b2", Descending: true}},
		{"id-prefix", cache.Query{Sight: all, Text: "task-0000a", Descending: true}},
		{"model", cache.Query{Sight: all, Text: "m", Descending: true}},
		{"no such word", cache.Query{Sight: all, Text: "nothing", Descending: true}},
		{"own-id-prefix", cache.Query{Sight: one, Text: "task-0000", Descending: true}},
	} {
		c.q.Limit = 50
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				if rows, _, err := s.List(context.Background(), &c.q); err != nil || len(rows) == 0 && c.q.Text != "nothing" {
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
