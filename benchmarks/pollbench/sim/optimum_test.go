package sim

import (
	"math"
	"slices"
	"testing"
	"time"

	"pollux/proxy/poller/adaptive"
)

func TestOptimumAgreesWithTheTable(t *testing.T) {
	for _, l := range Laws {
		o := OptimumOf(l, ReferenceTarget, 1, adaptive.Delay{})
		for i, z := range referenceZ {
			got, ok := o.Polls(z)
			want := reference[l.Name][i]
			if !ok || math.Abs(got/want-1) > 0.025 {
				t.Errorf("optimum of %s at z = %v is %.3f, %v, want %.3f", l.Name, z, got, ok, want)
			}
		}
	}
}

func TestLeastCostAgainstSquare(t *testing.T) {
	for _, l := range Laws[:5] {
		ages := make([]float64, 601)
		for i := range ages {
			ages[i] = 400 * math.Pow(float64(i)/600, 1.5)
		}
		g := newGrid(ages, func(from, to float64) (p, w, wt float64) {
			p = l.CDF(to) - l.CDF(from)
			w = p / tau(ReferenceTarget, (from+to)/2)
			return p, w, w * (from + to) / 2
		})
		for _, price := range []float64{0.1, 1, 10, 100} {
			for _, floor := range []float64{0, 1, 7} {
				cost := make([]float64, len(ages))
				got, want := g.leastCost(price, floor, cost), g.leastCostWithin(price, floor, adaptive.Delay{Absolute: time.Hour}, cost)
				if math.Abs(got-want) > 1e-9*want {
					t.Errorf("%s, price %v, floor %v: %v, want %v", l.Name, price, floor, got, want)
				}
			}
		}
	}
}

func TestOptimumOfKnownDurations(t *testing.T) {
	constant := slices.Repeat([]float64{30}, 50)
	if got, ok := OptimumFor(constant, ReferenceTarget, 1, adaptive.Delay{}).Polls(0.5); !ok || got != 1 {
		t.Errorf("tasks of 30 s need %v polls, %v, want 1", got, ok)
	}
	// Exponential durations cannot be polled better than at a fixed interval:
	// polls * delay is half of the mean duration.
	exponential := Law{CDF: func(t float64) float64 { return 1 - math.Exp(-t/100) }}
	o := OptimumOf(exponential, adaptive.Delay{Absolute: time.Second}, 0, adaptive.Delay{})
	if got, _ := o.Polls(1); math.Abs(got-50.2) > 0.5 {
		t.Errorf("exponential durations of 100 s need %.2f polls at a delay of 1 s, want about 50", got)
	}
	if _, ok := o.Polls(0.01); ok {
		t.Error("the optimum claims to be known below the steps of its grid")
	}
}

// TestOptimumWithin: who may be late by ten and a half minutes at most polls a task of an hour
// six times, and no schedule with a bound does with less than one without.
func TestOptimumWithin(t *testing.T) {
	hour := []float64{3600, 3600}
	if got, ok := OptimumFor(hour, ReferenceTarget, 1, adaptive.Delay{Absolute: 630 * time.Second}).Polls(1); !ok || math.Abs(got-6) > 0.5 {
		t.Errorf("an hour by ten and a half minutes: %v polls, %v, want 6", got, ok)
	}
	if got, ok := OptimumFor(hour, ReferenceTarget, 1, adaptive.Delay{Absolute: time.Minute, Relative: 1}).Polls(1); !ok || math.Abs(got-7) > 0.5 {
		t.Errorf("an hour, each gap as long as the age: %v polls, %v, want 7: at 1, 2, 4, 8, 16, 32 minutes and at the end", got, ok)
	}
	c := adaptive.DefaultConfig()
	for _, l := range Laws[3:5] {
		cs := ReferenceCase(l, 1000, c)
		free, _ := cs.Best(1)
		if within, ok := cs.Within(1); !ok || within < 0.98*free {
			t.Errorf("%s: %.3f polls within max_delay, %v, and %.3f without", l.Name, within, ok, free)
		}
	}
}
