package sim

import (
	"slices"
	"sort"

	"pollux/proxy/poller/adaptive"
)

// Result is what a policy came to. Delays are in seconds.
type Result struct {
	Jobs      int     `json:"jobs"`
	Polls     float64 `json:"polls_per_task"`
	Delay     float64 `json:"mean_delay_seconds"`
	Z         float64 `json:"z"` // mean of the delay in units of the target
	P95       float64 `json:"p95_delay_seconds"`
	MostPolls int     `json:"most_polls"`
}

// Watch is called for each poll: of the task's duration, its age at the last
// news, and its age at the poll.
type Watch func(duration, from, to float64)

// Run polls the tasks one after the other until each is noticed to have
// ended, and counts them from number skip on. There must be some. watch may be
// nil.
//
// The round trip counts as nothing: it adds to the delay and to the gap alike.
func Run(durations []float64, skip int, p Policy, target adaptive.Delay, watch Watch) Result {
	var r Result
	look := func(duration float64) (age float64, polls int) { return follow(duration, p, watch) }
	if g, ok := p.(Gap); ok && watch == nil {
		look = g.plan(slices.Max(durations))
	}
	delays := make([]float64, 0, max(0, len(durations)-skip))
	for i, duration := range durations {
		age, polls := look(duration)
		if i < skip {
			continue
		}
		delay := age - duration
		delays = append(delays, delay)
		r.Polls += float64(polls)
		r.Delay += delay
		r.Z += delay / max(target.Absolute.Seconds(), target.Relative*duration)
		r.MostPolls = max(r.MostPolls, polls)
	}
	r.Jobs = len(delays)
	if r.Jobs == 0 {
		return r
	}
	n := float64(r.Jobs)
	r.Polls, r.Delay, r.Z = r.Polls/n, r.Delay/n, r.Z/n
	slices.Sort(delays)
	r.P95 = delays[min(r.Jobs-1, r.Jobs*95/100)]
	return r
}

// follow polls one task until it is noticed to have ended, at the returned age.
func follow(duration float64, p Policy, watch Watch) (age float64, polls int) {
	for done := false; !done; polls++ {
		from := age
		age += p.Next(from)
		done = age >= duration
		if watch != nil {
			watch(duration, from, age)
		}
		p.Observe(from, age, done)
	}
	return age, polls
}

// plan works out the polls of a policy that learns nothing once for all tasks
// of up to the given duration; it stands in for follow.
func (g Gap) plan(longest float64) func(duration float64) (age float64, polls int) {
	var ages []float64
	for age := 0.0; age < longest; {
		age += g(age)
		ages = append(ages, age)
	}
	return func(duration float64) (float64, int) {
		i := sort.SearchFloat64s(ages, duration)
		return ages[i], i + 1
	}
}
