package sqlite

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"

	"pollux/cache/internal/storetest"
)

func BenchmarkPut(b *testing.B) {
	s, _ := open(b, filepath.Join(b.TempDir(), "pollux.db"))
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		mustPut(b, s, storetest.Frozen(n, 1))
	}
}

// BenchmarkPutParallel shows what sharing a transaction saves.
func BenchmarkPutParallel(b *testing.B) {
	s, _ := open(b, filepath.Join(b.TempDir(), "pollux.db"))
	var n atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Put(context.Background(), storetest.Frozen(int(n.Add(1)), 1)); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkGet(b *testing.B) {
	s, _ := open(b, filepath.Join(b.TempDir(), "pollux.db"))
	for n := range 1000 {
		s.PutLater(storetest.Frozen(n, 1))
	}
	mustPut(b, s, storetest.Frozen(1000, 1))
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if _, err := s.Get(context.Background(), storetest.Key(n%1000)); err != nil {
			b.Fatal(err)
		}
	}
}
