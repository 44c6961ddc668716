package poller

import (
	"testing"
	"time"
)

func TestSamples(t *testing.T) {
	var s samples
	if d, n := s.quantile(0.5); d != 0 || n != 0 {
		t.Errorf("of nothing: %v, %d", d, n)
	}
	for i := range 1000 {
		s.add(time.Duration(i))
	}
	for q, want := range map[float64]time.Duration{0: 488, 0.5: 743, 0.99: 994, 1: 999} { // of 488 to 999
		if d, n := s.quantile(q); d != want || n != maxSamples {
			t.Errorf("quantile %v = %v of %d, want %v of %d", q, d, n, want, maxSamples)
		}
	}
	var one samples
	one.add(7)
	if d, _ := one.quantile(0.99); d != 7 {
		t.Errorf("of one sample: %v", d)
	}
}
