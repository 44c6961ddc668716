package adaptive

import (
	"math"
	"testing"
	"time"
)

func TestAge(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	tests := map[string]struct {
		created time.Time
		want    time.Duration
		known   bool
	}{
		"just now":       {now, 0, true},
		"a minute ago":   {now.Add(-time.Minute), time.Minute, true},
		"two days ago":   {now.Add(-48 * time.Hour), 48 * time.Hour, true},
		"longer ago":     {now.Add(-48*time.Hour - 1), 0, false},
		"in the future":  {now.Add(1), 0, false},
		"never reported": {time.Time{}, 0, false},
	}
	for name, tt := range tests {
		if got, known := Age(tt.created, now); got != tt.want || known != tt.known {
			t.Errorf("%s: Age = %v, %v, want %v, %v", name, got, known, tt.want, tt.known)
		}
	}
}

func TestBins(t *testing.T) {
	for b := range bins {
		for _, age := range []float64{edges[b], math.Nextafter(edges[b+1], 0)} {
			if got := binAt(age); got != b {
				t.Errorf("binAt(%v) = %d, want %d", age, got, b)
			}
		}
	}
	if last := edges[bins-1]; last < 1.9e5 || last > 2.2e5 {
		t.Errorf("the last bin starts at %v s, want about 2e5", last)
	}
}
