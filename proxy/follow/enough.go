package follow

import (
	"time"

	"pollux/cache"
	"pollux/normalize"
	"pollux/proxy/problem"
)

// Answer is what is known of one of the tasks that somebody waits for: Entry, or
// Problem if nothing is.
type Answer struct {
	Entry   *cache.Entry
	Problem *problem.Problem
	// Unconfirmed says of a Problem that the task may well be there all the same.
	Unconfirmed bool
	// PollAfter is how long it takes until asking again can tell anything new.
	// It means nothing when the task has ended.
	PollAfter time.Duration
}

// Over reports whether there is nothing more to wait for: the task has ended, or
// wants something of the caller.
func Over(e *cache.Entry) bool {
	return e.Terminal || e.Status == string(normalize.RequiresAction)
}

// Enough reports whether a wait for n tasks has what it was for: nothing is open
// any more or, where any will do, one is over. of tells of each whether it is open
// still, and whether what ended it is a problem: that is nothing to wait for, and
// no end either.
func Enough(n int, any bool, of func(i int) (open, problem bool)) bool {
	opened := 0
	for i := range n {
		switch open, problem := of(i); {
		case open:
			opened++
		case any && !problem:
			return true
		}
	}
	return opened == 0
}
