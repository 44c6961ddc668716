package upstream

import (
	"sync"
	"time"
)

const (
	// windowStep is between two of the tallies that are kept, and windowSteps
	// how many there are: a day.
	windowStep  = time.Minute
	windowSteps = 24*60 + 1
)

// window keeps what had become of an upstream's polls at the minutes of the last
// day. The zero value is ready.
type window struct {
	mu    sync.Mutex // guards what follows
	kept  []keptTally
	first int // the oldest, once there are windowSteps
}

type keptTally struct {
	at    time.Time
	tally Tally
}

// add keeps t, once a step.
func (w *window) add(now time.Time, t Tally) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.kept)
	if n > 0 && now.Sub(w.kept[(w.first+n-1)%n].at) < windowStep {
		return
	}
	if n < windowSteps {
		w.kept = append(w.kept, keptTally{now, t})
		return
	}
	w.kept[w.first] = keptTally{now, t}
	w.first = (w.first + 1) % n
}

// before returns the last tally kept that is not later than t; zero if there is
// none, since counting began later.
func (w *window) before(t time.Time) Tally {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.kept)
	for i := n - 1; i >= 0; i-- {
		if k := &w.kept[(w.first+i)%n]; !k.at.After(t) {
			return k.tally
		}
	}
	return Tally{}
}

// Keep keeps t for TallySince. It is called more often than once a step.
func (u *Upstream) Keep(t Tally, now time.Time) { u.stats.window.add(now, t) }

// TallySince is the Tally of what happened since then, to the minute and for a
// day at most.
func (u *Upstream) TallySince(since time.Time) Tally {
	t, before := u.Tally(), u.stats.window.before(since)
	t.Received -= before.Received
	t.Upstream -= before.Upstream
	t.Hit -= before.Hit
	t.Collapsed -= before.Collapsed
	t.Stale -= before.Stale
	t.NotModified -= before.NotModified
	t.RateLimitsAvoided -= before.RateLimitsAvoided
	return t
}
