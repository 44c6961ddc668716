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
		o := OptimumOf(l, ReferenceTarget, 1)
		for i, z := range referenceZ {
			got, ok := o.Polls(z)
			want := reference[l.Name][i]
			if !ok || math.Abs(got/want-1) > 0.025 {
				t.Errorf("optimum of %s at z = %v is %.3f, %v, want %.3f", l.Name, z, got, ok, want)
			}
		}
	}
}

// bruteForce is leastCost in n² steps.
func bruteForce(g *grid, price, floor float64) float64 {
	cost := make([]float64, len(g.age))
	for i := len(cost) - 1; i >= 0; i-- {
		if g.running[i] == 0 {
			continue
		}
		best := math.Inf(1)
		for j := i + 1; j < len(cost); j++ {
			if g.age[j] >= g.age[i]+floor {
				best = min(best, price*(g.age[j]*(g.weight[j]-g.weight[i])-(g.moment[j]-g.moment[i]))+cost[j])
			}
		}
		cost[i] = g.running[i] + best
	}
	return cost[0]
}

func TestLeastCostAgainstBruteForce(t *testing.T) {
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
				got, want := g.leastCost(price, floor, make([]float64, len(ages))), bruteForce(g, price, floor)
				if math.Abs(got-want) > 1e-9*want {
					t.Errorf("%s, price %v, floor %v: %v, want %v", l.Name, price, floor, got, want)
				}
			}
		}
	}
}

func TestOptimumOfKnownDurations(t *testing.T) {
	constant := slices.Repeat([]float64{30}, 50)
	if got, ok := OptimumFor(constant, ReferenceTarget, 1).Polls(0.5); !ok || got != 1 {
		t.Errorf("tasks of 30 s need %v polls, %v, want 1", got, ok)
	}
	// Exponential durations cannot be polled better than at a fixed interval:
	// polls * delay is half of the mean duration.
	exponential := Law{CDF: func(t float64) float64 { return 1 - math.Exp(-t/100) }}
	o := OptimumOf(exponential, adaptive.Delay{Absolute: time.Second}, 0)
	if got, _ := o.Polls(1); math.Abs(got-50.2) > 0.5 {
		t.Errorf("exponential durations of 100 s need %.2f polls at a delay of 1 s, want about 50", got)
	}
	if _, ok := o.Polls(0.01); ok {
		t.Error("the optimum claims to be known below the steps of its grid")
	}
}
