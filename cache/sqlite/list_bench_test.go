package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"pollux/cache"
	"pollux/cache/internal/storetest"
)

// BenchmarkList lists a page out of 50,000 tasks; benchmarks/ has a million.
func BenchmarkList(b *testing.B) {
	s, _ := open(b, filepath.Join(b.TempDir(), "pollux.db"))
	fill(b, s, 50_000, 100)
	for name, q := range map[string]cache.Query{
		"fleet":     {Sight: cache.Sight{All: true}, Descending: true},
		"partition": {Sight: cache.Sight{Partitions: []cache.ID{*storetest.Key(-8)}}, Descending: true},
		"failed":    {Sight: cache.Sight{All: true}, Statuses: []string{"failed"}, Order: cache.ByUpdated, Descending: true},
		"rare id":   {Sight: cache.Sight{All: true}, Text: "t4711"},
		"any id":    {Sight: cache.Sight{All: true}, Text: "t"},
	} {
		q.Limit = 50
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if rows, _, err := s.List(context.Background(), &q); err != nil || len(rows) == 0 {
					b.Fatal(fmt.Sprint(len(rows), " rows: ", err))
				}
			}
		})
	}
}
