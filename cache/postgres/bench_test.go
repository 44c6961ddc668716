package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pollux/cache"
	"pollux/cache/internal/storetest"
	"pollux/cache/postgres/pgtest"
)

// durable opens a store on a server of its own, which writes to the disk as a
// real one does.
func durable(b *testing.B) *Store {
	b.Helper()
	own, err := pgtest.Start("shared_buffers=256MB")
	must(b, err)
	b.Cleanup(own.Close)
	s, err := Open(context.Background(), Config{Address: own.Address("postgres")}, testSecret(b, secret), slog.New(slog.DiscardHandler))
	must(b, err)
	b.Cleanup(func() { s.Close() })
	return s
}

// at runs f as many times as the benchmark wants, so many at once, and reports
// how many a second, the median and the 99th percentile.
func at(b *testing.B, callers int, f func(n int) error) {
	b.Helper()
	var next atomic.Int64
	took := make([][]time.Duration, callers)
	began := time.Now()
	b.ResetTimer()
	var running sync.WaitGroup
	for c := range callers {
		running.Go(func() {
			for n := int(next.Add(1)); n <= b.N; n = int(next.Add(1)) {
				before := time.Now()
				if err := f(n); err != nil {
					b.Error(err)
					return
				}
				took[c] = append(took[c], time.Since(before))
			}
		})
	}
	running.Wait()
	b.StopTimer()
	all := slices.Sorted(slices.Values(slices.Concat(took...)))
	if len(all) > 0 {
		b.ReportMetric(float64(len(all))/time.Since(began).Seconds(), "calls/s")
		b.ReportMetric(all[len(all)/2].Seconds()*1e3, "p50-ms")
		b.ReportMetric(all[len(all)*99/100].Seconds()*1e3, "p99-ms")
	}
}

// BenchmarkBegin asks before polls of ever other tasks.
func BenchmarkBegin(b *testing.B) {
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("%d callers", callers), func(b *testing.B) {
			s := durable(b)
			budget := &cache.Budget{Requests: 1e6, Per: time.Second}
			at(b, callers, func(n int) error {
				_, err := s.Begin(context.Background(), &cache.Poll{Key: *storetest.Key(n), Credential: *storetest.Key(-n % 100), Lease: time.Minute, Budget: budget})
				return err
			})
		})
	}
}

// BenchmarkCommit commits entries of 2 KiB.
func BenchmarkCommit(b *testing.B) {
	for _, callers := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("%d callers", callers), func(b *testing.B) {
			s := durable(b)
			at(b, callers, func(n int) error {
				e := storetest.Frozen(n, 1)
				e.Native = make([]byte, 2048)
				for i := range e.Native {
					e.Native[i] = byte(i * n >> 3)
				}
				_, err := s.Put(context.Background(), e)
				return err
			})
		})
	}
}

// BenchmarkGet reads entries by their key.
func BenchmarkGet(b *testing.B) {
	s := durable(b)
	for n := range 1000 {
		s.PutLater(storetest.Frozen(n, 1))
	}
	_, err := s.Put(context.Background(), storetest.Frozen(1000, 1))
	must(b, err)
	at(b, 1, func(n int) error {
		_, err := s.Get(context.Background(), storetest.Key(n%1000))
		return err
	})
}

// BenchmarkNotice is how long another replica takes to hear of a write that is
// done.
func BenchmarkNotice(b *testing.B) {
	s := durable(b)
	other, err := Open(context.Background(), s.cfg, testSecret(b, secret), slog.New(slog.DiscardHandler))
	must(b, err)
	defer other.Close()
	heard := make(chan cache.Notice, 100)
	other.Listen(func(news []cache.Notice, _ bool) {
		for _, n := range news {
			heard <- n
		}
	})
	at(b, 1, func(n int) error {
		_, err := s.Put(context.Background(), storetest.Frozen(n, 1))
		<-heard
		return err
	})
}
