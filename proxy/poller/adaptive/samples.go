package adaptive

import (
	"math"
	"slices"
	"sync"
	"time"
)

// Samples keeps the latest of a stream of durations, for their quantiles. It is
// safe for concurrent use; the zero value is empty and keeps maxSamples.
type Samples struct {
	mu     sync.Mutex // guards what follows
	ring   []time.Duration
	next   int
	sorted []time.Duration // of ring; nil when it has to be made again
}

// maxSamples are enough for a p99, and recent enough to follow an upstream.
const maxSamples = 512

func (s *Samples) Add(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sorted = nil
	if len(s.ring) < maxSamples {
		s.ring = append(s.ring, d)
		return
	}
	s.ring[s.next] = d
	s.next = (s.next + 1) % maxSamples
}

// Quantile is the least sample that at least the fraction q of all does not
// exceed, and of how many; 0, 0 when there is none.
func (s *Samples) Quantile(q float64) (d time.Duration, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = len(s.ring)
	if n == 0 {
		return 0, 0
	}
	if s.sorted == nil {
		s.sorted = slices.Sorted(slices.Values(s.ring))
	}
	return s.sorted[max(0, int(math.Ceil(q*float64(n)))-1)], n
}

// Quantiles are of the latest durations of a kind.
type Quantiles struct {
	P50, P95, P99 time.Duration
	Samples       int // 0: nothing is known
}

func (s *Samples) Quantiles() (q Quantiles) {
	q.P50, q.Samples = s.Quantile(0.50)
	q.P95, _ = s.Quantile(0.95)
	q.P99, _ = s.Quantile(0.99)
	return q
}
