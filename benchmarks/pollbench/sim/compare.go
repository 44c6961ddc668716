package sim

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"pollux/proxy/poller/adaptive"
)

// Case is durations to be polled, and the best that can be done with them.
type Case struct {
	Name      string
	Durations []float64
	Skip      int // not counted at the start, while policies learn
	// Best returns the fewest polls per task at a mean delay of z targets, and
	// false if that is not known.
	Best func(z float64) (polls float64, ok bool)
	// Within is Best of the schedules that keep the configured max_delay.
	Within func(z float64) (polls float64, ok bool)
}

// Tasks of a reference case, and how many of them are not counted.
const (
	ReferenceTasks = 8000
	ReferenceSkip  = 1000
)

// ReferenceCase is a reference distribution drawn from a seed. By convention
// the first of [Laws] has seed 1000, the second 1001, and so on.
func ReferenceCase(l Law, seed uint64, c adaptive.Config) Case {
	optimum := sync.OnceValue(func() *Optimum { return OptimumOf(l, c.TargetDelay, c.Floor.Seconds(), adaptive.Delay{}) })
	within := sync.OnceValue(func() *Optimum { return OptimumOf(l, c.TargetDelay, c.Floor.Seconds(), longest(c)) })
	known := c.TargetDelay == ReferenceTarget && c.Floor == time.Second
	return Case{
		Name: l.Name, Durations: l.Durations(seed, ReferenceTasks), Skip: ReferenceSkip,
		Best: func(z float64) (float64, bool) {
			if known {
				if polls, ok := Reference(l.Name, z); ok {
					return polls, true
				}
			}
			return optimum().Polls(z)
		},
		Within: func(z float64) (float64, bool) { return within().Polls(z) },
	}
}

// longest is the longest gap of the adaptive policy: max_delay, and the tenth more
// by which it may be late; zero if there is none.
func longest(c adaptive.Config) adaptive.Delay {
	return adaptive.Delay{Absolute: c.MaxDelay.Absolute * 11 / 10, Relative: c.MaxDelay.Relative * 1.1}
}

// RecordedCase is durations of real tasks, in their order. They must not be
// empty. An eighth of them is not counted.
func RecordedCase(name string, durations []float64, c adaptive.Config) Case {
	skip := len(durations) / 8
	optimum := OptimumFor(durations[skip:], c.TargetDelay, c.Floor.Seconds(), adaptive.Delay{})
	within := sync.OnceValue(func() *Optimum { return OptimumFor(durations[skip:], c.TargetDelay, c.Floor.Seconds(), longest(c)) })
	return Case{Name: name, Durations: durations, Skip: skip, Best: optimum.Polls,
		Within: func(z float64) (float64, bool) { return within().Polls(z) }}
}

// Row is what one policy came to in one case.
type Row struct {
	Case   string `json:"distribution"`
	Policy string `json:"policy"`
	Result
	// Excess is the polls in relation to the fewest possible at the same mean
	// delay, 0 if that is not known.
	Excess float64 `json:"x,omitempty"`
	// Within is the same in relation to schedules that keep max_delay; of the
	// adaptive policy only.
	Within float64 `json:"x_within,omitempty"`
}

// AdaptiveName is the policy under test among the rows of [Compare].
const AdaptiveName = "adaptive"

// Compare polls a case by each policy.
func Compare(cs Case, c adaptive.Config) []Row {
	policies := []struct {
		name string
		Policy
	}{
		{"fixed 2s", Fixed(2)},
		{"fixed 5s", Fixed(5)},
		{"exponential 1-60s", Exponential(1, 60)},
		{"vendor 1-2-5-10s", Steps(1, 2, 5, 10)},
		{"gap = 2 tau", Proportional(c.TargetDelay)},
		{AdaptiveName, NewAdaptive(c)},
	}
	rows := make([]Row, len(policies))
	for i, p := range policies {
		rows[i] = Row{Case: cs.Name, Policy: p.name, Result: Run(cs.Durations, cs.Skip, p.Policy, c.TargetDelay, nil)}
		if best, ok := cs.Best(rows[i].Z); ok {
			rows[i].Excess = rows[i].Polls / best
		}
		if best, ok := cs.Within(rows[i].Z); ok && p.name == AdaptiveName {
			rows[i].Within = rows[i].Polls / best
		}
	}
	return rows
}

// Policies lists the policies among rows, in order.
func Policies(rows []Row) (names []string) {
	for _, r := range rows {
		if !slices.Contains(names, r.Policy) {
			names = append(names, r.Policy)
		}
	}
	return names
}

// Score returns the mean excess of a policy over the cases. It is an error if
// the policy is missing or the excess of one of its cases is not known.
func Score(rows []Row, policy string) (score float64, err error) {
	n := 0
	for _, r := range rows {
		if r.Policy != policy {
			continue
		}
		if r.Excess == 0 {
			return 0, fmt.Errorf("the optimum of %s at z = %.3g is not known", r.Case, r.Z)
		}
		score += r.Excess
		n++
	}
	if n == 0 {
		return 0, fmt.Errorf("no policy %q", policy)
	}
	return score / float64(n), nil
}
