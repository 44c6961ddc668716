package adaptive

import (
	"testing"
	"time"
)

func TestSamples(t *testing.T) {
	var s Samples
	if d, n := s.Quantile(0.5); d != 0 || n != 0 {
		t.Errorf("of nothing: %v, %d", d, n)
	}
	for i := range 1000 {
		s.Add(time.Duration(i))
	}
	for q, want := range map[float64]time.Duration{0: 488, 0.5: 743, 0.99: 994, 1: 999} { // of 488 to 999
		if d, n := s.Quantile(q); d != want || n != maxSamples {
			t.Errorf("quantile %v = %v of %d, want %v of %d", q, d, n, want, maxSamples)
		}
	}
	var one Samples
	one.Add(7)
	if d, _ := one.Quantile(0.99); d != 7 {
		t.Errorf("of one sample: %v", d)
	}
}
