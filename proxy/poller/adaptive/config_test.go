package adaptive

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	tests := map[string]struct {
		config Config
		keys   []string
	}{
		"default":         {DefaultConfig(), nil},
		"price alone":     {Config{PollPrice: time.Second}, nil},
		"relative target": {Config{TargetDelay: Delay{Relative: 0.1}}, nil},
		"nothing":         {Config{}, []string{"target_delay"}},
		"all wrong": {
			Config{Delay{Relative: math.NaN()}, -1, Delay{Absolute: -1}, -1},
			[]string{"poll_price", "target_delay", "max_delay", "min_interval"},
		},
		"endless": {Config{TargetDelay: Delay{Relative: math.Inf(1)}}, []string{"target_delay"}},
	}
	for name, tt := range tests {
		err := tt.config.Validate()
		if (err == nil) != (tt.keys == nil) {
			t.Errorf("%s: Validate() = %v, want faults of %v", name, err, tt.keys)
		}
		for _, key := range tt.keys {
			if err != nil && !strings.Contains(err.Error(), key+": ") {
				t.Errorf("%s: no %s in %v", name, key, err)
			}
		}
	}
}

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
