package adaptive

import "math"

// fade is what remains of an observation after one more task ended.
var fade = math.Exp2(-1.0 / halfLife)

// refresh derives the hazards of the bins first to last. The prior is free of
// scale: a task of the prior ends in each bin alike, with probability lnRatio.
func (s *state) refresh(first, last int) {
	for b := first; b <= last; b++ {
		s.hazard[b] = (s.events[b] + s.prior*lnRatio) / (s.exposure[b] + s.prior*width(b))
	}
}

// cumulative returns the integral of the hazard over the ages from..to.
func (s *state) cumulative(from, to float64) (sum float64) {
	for b, x := binAt(from), from; x < to; b++ {
		end := min(edges[b+1], to)
		sum += s.hazard[b] * (end - x)
		x = end
	}
	return sum
}

// expose counts a task that was seen to run at the ages from..to.
func (s *state) expose(from, to float64) {
	for b, x := binAt(from), from; x < to; b++ {
		end := min(edges[b+1], to)
		s.exposure[b] += end - x
		x = end
	}
}

// spread counts a task that ended somewhere in from..to, in shares by the
// present hazard (the expectation step of an online EM). It returns the
// expected delay, weighted. Each share is held to the worst by itself: the few
// that fall to ages long before the end are the prior's word, not the tasks'.
func (s *state) spread(from, to float64, weight *[bins]float64) (delay float64) {
	ended := -math.Expm1(-s.cumulative(from, to))
	alive, rest := 1.0, 1.0 // P(running at x), of the task the share that ended after x
	for b, x := binAt(from), from; x < to; b++ {
		end := min(edges[b+1], to)
		fails := -math.Expm1(-s.hazard[b] * (end - x))
		share := min(alive*fails/ended, rest)
		alive *= 1 - fails
		rest -= share
		s.events[b] += share
		s.exposure[b] += (end - x) * (share/2 + rest)
		at := (x + end) / 2
		if b == 0 {
			at = x // no poll can tell when, so that the worst is assumed: the target delay is kept all the same
		}
		delay += share * min(worst, weight[b]*(to-at))
		x = end
	}
	return delay
}

// The alarm: predictions of the last thirty polls or so are added up, and the
// histogram is dropped once what was seen lies this far off. Without it a
// group whose tasks become three times as fast takes 500 of them to relearn.
const (
	alarmFade   = 0.97
	alarmSigmas = 5
	alarmSlack  = 1 // whole tasks, lest one improbable end raises it
	alarmKeeps  = 0.05
)

// calibrate compares an answer with what the hazard predicted, before the
// answer is learned from.
func (s *state) calibrate(from, to float64, done bool) {
	p := -math.Expm1(-s.cumulative(from, to))
	s.surprise = alarmFade*s.surprise - p
	if done {
		s.surprise++
	}
	s.variance = alarmFade*alarmFade*s.variance + p*(1-p)
	if math.Abs(s.surprise) <= alarmSigmas*math.Sqrt(s.variance)+alarmSlack {
		return
	}
	s.forget(alarmKeeps)
	s.prior = prior + coldPrior
	s.surprise, s.variance = 0, 0
	s.refresh(0, bins-1)
}

// forget keeps only a share of all observations.
func (s *state) forget(share float64) {
	s.kept *= share
	for b := range s.events {
		s.events[b] *= share
		s.exposure[b] *= share
	}
}
