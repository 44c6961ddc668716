// Package adaptive decides when a running task is polled next. It learns from
// the polls themselves at what ages tasks of a group end, and asks for a poll
// once the delay that it expects to have gone unnoticed reaches the price of a
// poll; the price steers itself towards the configured mean delay.
//
// Everything here is computation: no I/O, no goroutines, no clock. Ages come
// from the caller, chance from a function given to [New] and [NewGroups].
//
// The rule is Keller's optimum density of checks (J. B. Keller, "Optimum
// checking schedules for systems subject to random failure", Management
// Science 21, 1974) without its planning; the estimate is a piecewise
// exponential hazard under interval censoring.
package adaptive

import (
	"time"
)

// Config says what a poll is worth, and within what bounds.
type Config struct {
	// TargetDelay is the mean delay until an end is noticed. The price of a poll
	// follows from it. Not used when PollPrice is set.
	TargetDelay Delay
	// PollPrice fixes the price of a poll instead: one more poll is worth it
	// if it saves this much delay. Zero means that TargetDelay rules.
	PollPrice time.Duration
	// MaxDelay bounds the gap between two polls of a task, and with it the
	// delay of every single one, up to a tenth more. Zero means no bound.
	MaxDelay Delay
	// Floor is the shortest gap between two polls of a task. Zero means none.
	Floor time.Duration
}

// DefaultConfig aims at a mean delay of one second or a tenth of a task's age.
func DefaultConfig() Config {
	return Config{
		TargetDelay: Delay{Absolute: time.Second, Relative: 0.10},
		MaxDelay:    Delay{Absolute: time.Minute, Relative: 1},
		Floor:       time.Second,
	}
}

// unbounded stands for no bound on a gap: longer than any task is followed.
const unbounded = 30 * 24 * time.Hour

// longest returns the longest gap, in seconds, of a task of the given age.
func (c Config) longest(age float64) float64 {
	if c.MaxDelay == (Delay{}) {
		return unbounded.Seconds()
	}
	return min(c.MaxDelay.at(age), unbounded.Seconds())
}

// latest returns the longest gap of a schedule, in seconds: a poll may be late by a
// tenth, and is where the bound forces it.
func (c Config) latest(age float64) float64 { return 1.1 * c.longest(age) }

// shortest returns the shortest gap, in seconds, of a task of the given age.
// With a relative target delay it grows with the age, which bounds the polls of a
// task by 51 (1 + ln(T/50 s)) + 1.
func (c Config) shortest(age float64) float64 {
	if c.PollPrice > 0 || c.TargetDelay.Relative == 0 {
		return c.Floor.Seconds()
	}
	return max(c.Floor.Seconds(), relativeFloor*age)
}

// relativeFloor of its age is the shortest gap of a task under a relative target delay.
const relativeFloor = 0.02

// Age returns how old a task created then is now. It reports false when the
// upstream's clock cannot be trusted, the creation lying in the future or more
// than 48 hours back; the start then counts as unknown.
func Age(created, now time.Time) (age time.Duration, known bool) {
	age = now.Sub(created)
	if created.IsZero() || age < 0 || age > 48*time.Hour {
		return 0, false
	}
	return age, true
}

func toDuration(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second))
}
