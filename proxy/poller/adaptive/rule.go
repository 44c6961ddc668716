package adaptive

import (
	"math"
	"time"
)

// jitter is by how much a gap varies. It keeps tasks that begin together apart, and
// polls at random ages are what tells apart the ends within one gap. More would
// spoil what is planned, and less tells less.
const jitter = 0.03

// Hint is what the last answer said about the next poll. The zero value says
// nothing.
type Hint struct {
	// Percent is the progress of the task, 0 if unknown. It is believed within
	// a factor of three.
	Percent float64
	// RetryAfter is how long the upstream wants to be left alone. It bounds
	// the gap from below, whatever else holds.
	RetryAfter time.Duration
}

// Next returns how long after its last news j is polled next.
func (l *Learner) Next(j Job, h Hint) time.Duration {
	age := max(0, j.News.Seconds())
	latest := l.config.latest(max(0, age-j.Seen.Seconds()))
	shortest := min(l.config.shortest(age), latest)
	l.mu.Lock()
	gap := l.best(j, age, shortest, latest)
	chance := l.random()
	l.mu.Unlock()

	if !j.UnknownStart {
		gap = min(hinted(gap, age, h.Percent), latest)
	}
	spread := jitter * (2*chance - 1)
	if gap*(1+jitter) > latest { // each poll that the bound forces costs one: as late as may be
		spread = -jitter / 3 * chance
	}
	return max(toDuration(max(min(gap*(1+spread), latest), shortest)), l.config.Floor, h.RetryAfter)
}

// best returns the gap that costs least. The caller holds the lock.
func (l *Learner) best(j Job, age, shortest, longest float64) float64 {
	var scratch [bins]float64
	gap := l.gap(l.state.hazardOf(j, &scratch), age, longest, l.state.price)
	if j.UnknownStart || gap == longest || !coarse(age, gap) {
		return gap
	}
	if !l.plan.made || l.plan.since >= replanAfter {
		l.plan.make(&l.state, l.policy)
	}
	return l.plan.gap(&l.state, l.policy, age, shortest, longest)
}

// Expected returns the delay that is expected to have gone unnoticed if j is
// polled at the given age, in units of the target delay, or in seconds if the price
// of a poll is fixed. When polls are short, the task with the largest comes
// first.
func (l *Learner) Expected(j Job, age time.Duration) float64 {
	from, to := max(0, j.News.Seconds()), age.Seconds()
	var scratch [bins]float64
	l.mu.Lock()
	defer l.mu.Unlock()
	hazard := l.state.hazardOf(j, &scratch)
	a := accrual{alive: 1}
	for b, x := binAt(from), from; x < to; b++ {
		end := min(edges[b+1], to)
		a = a.after(hazard[b], l.weight[b], end-x)
		x = end
	}
	return a.delay
}

// Reaches returns the age at which [Learner.Expected] comes to a delay.
func (l *Learner) Reaches(j Job, expected float64) time.Duration {
	age := max(0, j.News.Seconds())
	var scratch [bins]float64
	l.mu.Lock()
	defer l.mu.Unlock()
	return toDuration(age + l.gap(l.state.hazardOf(j, &scratch), age, unbounded.Seconds(), expected))
}

// gap returns the time until the expected delay reaches the price of a poll,
// at most longest. The caller holds the lock.
func (l *Learner) gap(hazard *[bins]float64, age, longest, price float64) float64 {
	a := accrual{alive: 1}
	for b, x := binAt(age), age; ; b++ {
		length := min(edges[b+1], age+longest) - x
		end := a.after(hazard[b], l.weight[b], length)
		if end.delay >= price {
			return x - age + a.reach(price, hazard[b], l.weight[b], length)
		}
		if edges[b+1] >= age+longest {
			return longest
		}
		a, x = end, edges[b+1]
	}
}

// accrual is what is expected to have passed unnoticed since the last news.
type accrual struct {
	alive float64 // probability that the task still runs
	ended float64 // weighted probability that it ended: the slope of delay
	delay float64 // weighted, of the ends so far
}

// after returns a after u more seconds of constant hazard and weight.
func (a accrual) after(hazard, weight, u float64) accrual {
	x := hazard * u
	fails := -math.Expm1(-x)
	waited := u - fails/hazard // mean delay at u of an end within u, times its probability
	if x < 1e-4 {              // the difference would cancel
		waited = u * x * (0.5 - x/6)
	}
	return accrual{
		alive: a.alive * (1 - fails),
		ended: a.ended + weight*a.alive*fails,
		delay: a.delay + a.ended*u + weight*a.alive*waited,
	}
}

// reach returns when the delay comes to the wanted one within the next u seconds
// of constant hazard and weight, at whose end it is no less. The delay is
// convex, so that Newton's method from the end never overshoots.
func (a accrual) reach(wanted, hazard, weight, u float64) float64 {
	for range 60 {
		at := a.after(hazard, weight, u)
		step := (at.delay - wanted) / at.ended
		if !(step > 1e-9*u) {
			break
		}
		u -= step
	}
	return max(0, u)
}

// Progress counts from 3 %: what an upstream reports before says nothing. It
// aims at four fifths of the time that seems to be left, since bars slow down.
const (
	leastPercent = 3
	ofTheRest    = 0.8
	hintLimit    = 3
)

// hinted returns gap corrected by the progress of a task of this age.
func hinted(gap, age, percent float64) float64 {
	if !(percent >= leastPercent && percent < 100) {
		return gap
	}
	left := ofTheRest * age * (100 - percent) / percent
	return min(max(left, gap/hintLimit), gap*hintLimit)
}
