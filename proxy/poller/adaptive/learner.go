package adaptive

import (
	"math"
	"sync"
	"time"
)

// None of these is worth a config key: results are flat around them.
const (
	prior      = 0.1  // strength of the prior that stays, in tasks
	coldPrior  = 2.0  // and that wears off as tasks end
	wearOff    = 0.93 // per task that ended
	halfLife   = 500  // tasks after which an observation counts half
	firstPrice = 0.2  // of a poll, in units of the target delay: a poll about every two target delays
	steering   = 0.02 // gain of the price per task that ended
	worst      = 16.0 // times the target delay: what one end counts as most when steering
)

// The price is the delay that passes in one gap on average, and thus the
// target delay divided by the polls per task: more than the target delay only while bounds
// rule the gaps. The limits keep it from winding up meanwhile.
const (
	lowestPrice  = 1e-6
	highestPrice = 5
)

// Job is what is known of one running task.
type Job struct {
	// News is the age at the last news: of the last answer that said running,
	// 0 for a task just submitted. For a task first seen late it is the age at
	// the first answer.
	News time.Duration
	// Seen is the age at which somebody first saw the task, 0 for its start. What
	// lies before is the upstream's word for when it was created, which may be off
	// by a time zone: MaxDelay counts from Seen.
	Seen time.Duration
	// UnknownStart says that nobody knows when the task started; ages then
	// count from the first answer, and nothing is learned from it.
	UnknownStart bool
}

// Answer is what a poll told. Polls that failed are no answers.
type Answer struct {
	Age  time.Duration // of the task when the upstream answered
	Done bool          // ended in any way; the client waits for a failure too
	// Completed is the age at which the task ended according to the upstream,
	// 0 if it does not say. It counts only between the last news and Age.
	Completed time.Duration
	// OnTime says that the poll was made when [Learner.Next] wanted it, and
	// not held back by a budget, a Retry-After or an error. Others do not
	// steer the price.
	OnTime bool
}

// policy is what all learners of an upstream share.
type policy struct {
	config Config
	random func() float64
	weight [bins]float64 // of a second of delay at an age, in units of the target delay
	price  float64       // of a poll to start with
}

func newPolicy(c Config, random func() float64) *policy {
	p := &policy{config: c, random: random, price: firstPrice}
	for b := range p.weight {
		p.weight[b] = 1
		if c.PollPrice == 0 {
			p.weight[b] = 1 / c.TargetDelay.at(edges[b]+width(b)/2)
		}
	}
	if c.PollPrice > 0 {
		p.price = c.PollPrice.Seconds()
	}
	return p
}

// Learner holds what was learned about one group of tasks, in about 7 KB.
// Its methods may be called concurrently.
type Learner struct {
	*policy
	mu     sync.Mutex // guards what follows
	state  state
	shared state // when others last had it
	plan   plan  // for state as it was some answers ago
}

// state is the histogram and the scalars beside it.
type state struct {
	events   [bins]float64 // tasks that ended at these ages
	exposure [bins]float64 // seconds that tasks were seen to run at these ages
	hazard   [bins]float64 // per second; follows from the others
	prior    float64       // its strength, in tasks
	price    float64       // of a poll, in units of the target delay
	surprise float64       // ends seen less ends predicted, fading
	variance float64       // of surprise, were the predictions right
	kept     float64       // share of the observations that is left since it was shared
}

// New returns a learner that knows nothing yet: it polls about every two
// target delays. random returns numbers in [0, 1), as rand.Float64 does; it is
// called under the learner's lock, and must be safe for concurrent use if it
// is shared. c must be valid.
func New(c Config, random func() float64) *Learner { return newLearner(newPolicy(c, random)) }

func newLearner(p *policy) *Learner {
	l := &Learner{policy: p}
	l.state.prior, l.state.price, l.state.kept = prior+coldPrior, p.price, 1
	l.state.refresh(0, bins-1)
	l.shared = l.state
	return l
}

// Observe learns from an answer to a poll of j. An answer that is not later
// than the last news teaches nothing.
func (l *Learner) Observe(j Job, a Answer) {
	from, to := j.News.Seconds(), a.Age.Seconds()
	if j.UnknownStart || from < 0 || to <= from {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.state
	l.plan.since++
	s.calibrate(from, to, a.Done)
	if !a.Done {
		s.expose(from, to)
		s.refresh(binAt(from), binAt(to))
		return
	}
	var delay float64
	if end := a.Completed.Seconds(); end > from && end <= to {
		s.expose(from, end)
		b := binAt(end)
		s.events[b]++
		delay = min(worst, l.weight[b]*(to-end))
	} else {
		delay = s.spread(from, to, &l.weight)
	}
	s.forget(fade)
	s.prior = prior + (s.prior-prior)*wearOff
	s.refresh(0, bins-1)
	if a.OnTime && l.config.PollPrice == 0 {
		price := s.price * math.Exp(steering*(1-delay))
		s.price = min(max(price, lowestPrice), highestPrice)
	}
}

// Price returns the price of a poll at present, in units of the target delay, or in
// seconds if the price is fixed.
func (l *Learner) Price() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.price
}

// HasLearned reports whether any task has ended that l learned from.
func (l *Learner) HasLearned() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.prior < prior+coldPrior
}
