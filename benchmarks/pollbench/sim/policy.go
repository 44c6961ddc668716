package sim

import (
	"time"

	"pollux/proxy/poller/adaptive"
)

// Policy decides when a task is polled. Ages and gaps are in seconds.
type Policy interface {
	// Next returns the gap to the next poll of a task that ran at age.
	Next(age float64) float64
	// Observe tells the outcome of the poll at age to of a task that ran at
	// age from.
	Observe(from, to float64, done bool)
}

// Gap is a policy that learns nothing: the gap by age.
type Gap func(age float64) float64

// Next implements Policy.
func (g Gap) Next(age float64) float64 { return g(age) }

// Observe implements Policy.
func (Gap) Observe(float64, float64, bool) {}

// Fixed polls at a fixed interval.
func Fixed(interval float64) Gap {
	return func(float64) float64 { return interval }
}

// Exponential doubles the gap from the first up to the longest.
func Exponential(first, longest float64) Gap {
	// After gaps of first, 2 first, 4 first the age is one gap less than the
	// next gap.
	return func(age float64) float64 { return min(age+first, longest) }
}

// Steps takes the gaps one by one and then stays with the last, as the
// examples of vendors do.
func Steps(gaps ...float64) Gap {
	return func(age float64) float64 {
		for _, gap := range gaps {
			if age < gap/2 { // only whole gaps lie behind
				return gap
			}
			age -= gap
		}
		return gaps[len(gaps)-1]
	}
}

// Proportional waits twice the delay that is aimed at: what the learned policy
// would do if it never learned anything.
func Proportional(target adaptive.Delay) Gap {
	return func(age float64) float64 {
		return 2 * max(target.Absolute.Seconds(), target.Relative*age)
	}
}

// Adaptive is the learned policy, for an upstream that does not report when a
// task ended.
type Adaptive struct{ *adaptive.Learner }

// NewAdaptive returns a learned policy that knows nothing yet. Its jitter
// comes from SplitMix64(7).
func NewAdaptive(c adaptive.Config) Adaptive {
	g := SplitMix64(7)
	return Adaptive{adaptive.New(c, g.Float64)}
}

// Next implements Policy.
func (a Adaptive) Next(age float64) float64 {
	return a.Learner.Next(adaptive.Job{News: seconds(age)}, adaptive.Hint{}).Seconds()
}

// Observe implements Policy.
func (a Adaptive) Observe(from, to float64, done bool) {
	a.Learner.Observe(adaptive.Job{News: seconds(from)}, adaptive.Answer{Age: seconds(to), Done: done, OnTime: true})
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
