package adaptive

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// middle is chance that never deviates.
func middle() float64 { return 0.5 }

func sec(s float64) time.Duration { return toDuration(s) }

// learned returns a learner after n tasks of log-normal durations, polled as
// it wants.
func learned(c Config, n int, median, sigma float64, r *rand.Rand) *Learner {
	l := New(c, r.Float64)
	for range n {
		poll(l, median*math.Exp(sigma*r.NormFloat64()))
	}
	return l
}

// poll follows one task to its end and returns the polls it took and the delay.
func poll(l *Learner, duration float64) (polls int, delay float64) {
	var age time.Duration
	for {
		j := Job{News: age}
		age += l.Next(j, Hint{})
		polls++
		done := age.Seconds() >= duration
		l.Observe(j, Answer{Age: age, Done: done, OnTime: true})
		if done {
			return polls, age.Seconds() - duration
		}
	}
}

// expectedBySteps is the definition of Expected, in small steps.
func expectedBySteps(l *Learner, hazard *[bins]float64, from, to float64) (sum float64) {
	const steps = 200_000
	alive, ended, step := 1.0, 0.0, (to-from)/steps
	for i := range steps {
		b := binAt(from + (float64(i)+0.5)*step)
		fails := alive * -math.Expm1(-hazard[b]*step)
		sum += (ended + l.weight[b]*fails/2) * step
		ended += l.weight[b] * fails
		alive -= fails
	}
	return sum
}

func TestExpectedFollowsItsDefinition(t *testing.T) {
	l := learned(DefaultConfig(), 300, 40, 0.6, rand.New(rand.NewPCG(1, 2)))
	for _, span := range [][2]float64{{0, 0.5}, {0, 30}, {0.9, 1.1}, {20, 21}, {35, 90}, {100, 3000}} {
		for _, unknown := range []bool{false, true} {
			var scratch [bins]float64
			j := Job{News: sec(span[0]), UnknownStart: unknown}
			got := l.Expected(j, sec(span[1]))
			want := expectedBySteps(l, l.state.hazardOf(j, &scratch), span[0], span[1])
			if math.Abs(got-want) > 1e-4*want+1e-12 {
				t.Errorf("Expected(%v..%v, unknown start %v) = %v, want %v", span[0], span[1], unknown, got, want)
			}
		}
	}
}

func TestNextSpendsThePriceOfAPoll(t *testing.T) {
	c := Config{TargetDelay: Delay{Absolute: time.Second, Relative: 0.1}}
	l := learned(c, 300, 40, 0.6, rand.New(rand.NewPCG(3, 4)))
	l.random = middle
	for _, news := range []float64{0, 0.3, 1, 10, 33, 40, 200, 5000, 3e5} {
		for _, unknown := range []bool{false, true} {
			j := Job{News: sec(news), UnknownStart: unknown}
			gap := l.Next(j, Hint{})
			if gap.Seconds() <= relativeFloor*news+1e-9 || !unknown && coarse(news, gap.Seconds()) {
				continue // held up by the floor, or from the plan
			}
			if got := l.Expected(j, j.News+gap); math.Abs(got/l.Price()-1) > 1e-5 {
				t.Errorf("age %v, unknown start %v: after a gap of %v the expected delay is %v, the price %v",
					news, unknown, gap, got, l.Price())
			}
		}
	}
}

// TestConstantHazard compares with what is known in closed form: gaps of
// sqrt(2 price / (weight hazard)).
func TestConstantHazard(t *testing.T) {
	l := New(Config{PollPrice: 2 * time.Second}, middle)
	for b := range l.state.hazard {
		l.state.hazard[b] = 1e-4
	}
	for _, age := range []float64{0, 5, 777} {
		got, want := l.Next(Job{News: sec(age)}, Hint{}).Seconds(), math.Sqrt(2*2/1e-4)
		if math.Abs(got/want-1) > 0.02 { // the grid's steps
			t.Errorf("gap at age %v is %.2f s, want %.2f", age, got, want)
		}
		got = l.Next(Job{News: sec(age), UnknownStart: true}, Hint{}).Seconds()
		if math.Abs(got/want-1) > 0.01 { // no memory: the start does not matter
			t.Errorf("gap %v after the first answer is %.2f s, want %.2f", age, got, want)
		}
	}
}

// TestResidual compares with the time left of a task of constant duration that
// was met at a random moment: uniform, and thus of hazard 1 / (duration - u).
func TestResidual(t *testing.T) {
	var s state
	s.hazard = New(DefaultConfig(), middle).state.hazard
	end := binAt(100)
	for b := range s.hazard {
		s.hazard[b] = 1e-12
		if b >= end {
			s.hazard[b] = 1e3
		}
	}
	rest := s.residual()
	for b := range end {
		got, want := rest[b]*width(b), math.Log((edges[end]-edges[b])/max(edges[end]-edges[b+1], 1e-3))
		if math.Abs(got-want) > 0.01*want {
			t.Errorf("hazard over bin %d is %v, want %v", b, got, want)
		}
	}
}

func TestGuardRails(t *testing.T) {
	c := DefaultConfig()
	bare := New(c, middle)
	quick := learned(c, 50, 2, 0.2, rand.New(rand.NewPCG(5, 6)))
	slow := learned(c, 2000, 50_000, 0.2, rand.New(rand.NewPCG(7, 8)))
	tests := map[string]struct {
		l           *Learner
		j           Job
		h           Hint
		least, most time.Duration
	}{
		"floor":              {quick, Job{News: sec(1.9)}, Hint{}, time.Second, sec(1.1)},
		"longest when young": {slow, Job{}, Hint{}, sec(60), sec(66)},
		"longest when old":   {slow, Job{News: sec(1000)}, Hint{}, sec(1000), sec(1100)},
		"a zone left out":    {bare, Job{News: 5 * time.Hour, Seen: 5 * time.Hour}, Hint{}, time.Second, sec(66)},
		"a zone, days off":   {slow, Job{News: 47 * time.Hour, Seen: 47*time.Hour - time.Minute}, Hint{}, time.Second, sec(66)},
		"share of the age":   {bare, Job{News: 100 * time.Hour}, Hint{}, 2 * time.Hour, 111 * time.Hour},
		"retry-after":        {quick, Job{News: sec(2)}, Hint{RetryAfter: sec(300)}, sec(300), sec(300)},
		"progress is capped": {slow, Job{News: sec(10)}, Hint{Percent: 3}, sec(54), sec(66)},
		"negative age":       {bare, Job{News: -time.Hour}, Hint{}, time.Second, sec(10)},
		"ages ago":           {bare, Job{News: 100_000 * time.Hour}, Hint{}, 720 * time.Hour, 800 * time.Hour},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.l.Next(tt.j, tt.h); got < tt.least || got > tt.most {
				t.Errorf("Next(%+v, %+v) = %v, want %v to %v", tt.j, tt.h, got, tt.least, tt.most)
			}
		})
	}
}

func TestHint(t *testing.T) {
	tests := map[string]struct{ gap, age, percent, want float64 }{
		"none":             {10, 100, 0, 10},
		"too early":        {10, 100, 2.9, 10},
		"done, it says":    {10, 100, 100, 10},
		"no number":        {10, 100, math.NaN(), 10},
		"believed":         {10, 100, 90, 0.8 * 100 * 10 / 90},
		"no more than 3":   {10, 100, 10, 30},
		"no less than 1/3": {10, 100, 99.9, 10.0 / 3},
	}
	for name, tt := range tests {
		if got := hinted(tt.gap, tt.age, tt.percent); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%s: hinted(%v, %v, %v) = %v, want %v", name, tt.gap, tt.age, tt.percent, got, tt.want)
		}
	}
}

func TestJitterSpreadsGaps(t *testing.T) {
	at := func(chance float64) float64 {
		return New(DefaultConfig(), func() float64 { return chance }).Next(Job{News: sec(50)}, Hint{}).Seconds()
	}
	low, mid, high := at(0), at(0.5), at(1)
	if math.Abs(low/mid-0.97) > 1e-6 || math.Abs(high/mid-1.03) > 1e-6 {
		t.Errorf("gaps of %v, %v and %v, want 3 %% to either side", low, mid, high)
	}
}

// TestPlanLooksAhead: ends that come together are polled for once, just after
// most of them, where the price alone would ask before and after.
func TestPlanLooksAhead(t *testing.T) {
	c := DefaultConfig()
	l := learned(c, 3000, 60, 0.1, rand.New(rand.NewPCG(11, 12)))
	polls, late := 0, 0.0
	r := rand.New(rand.NewPCG(13, 14))
	const n = 2000
	for range n {
		p, delay := poll(l, 60*math.Exp(0.1*r.NormFloat64()))
		polls, late = polls+p, late+delay/n
	}
	if each := float64(polls) / n; each > 1.9 || late > 6.5 {
		t.Errorf("%.2f polls per task at a mean delay of %.1f s, want at most 1.9 at 6.5 s", each, late)
	}
}

// TestPlanIsExact compares a plan with the least cost of all schedules whose polls
// are on its grid, found the slow way.
func TestPlanIsExact(t *testing.T) {
	c := Config{TargetDelay: Delay{Absolute: time.Second, Relative: 0.1}, MaxDelay: Delay{Relative: 3, Absolute: time.Hour}, Floor: time.Second}
	l := learned(c, 500, 60, 0.1, rand.New(rand.NewPCG(15, 16)))
	s, p := &l.state, &plan{}
	p.make(s, l.policy)
	for _, k := range []int{40, 100, 200} { // ages of about 4, 30 and 1000 s
		least := math.Inf(1)
		for j := k + 1; j < points; j++ {
			a := accrual{alive: 1}
			for m := k; m < j; m++ {
				a = a.after(s.hazard[m/cells], l.weight[m/cells], ages[m+1]-ages[m])
			}
			if gap := ages[j] - ages[k]; gap >= c.shortest(ages[k]) && gap <= c.latest(ages[k]) {
				least = min(least, s.price+a.delay+a.alive*p.cost[j])
			}
		}
		if got := p.cost[k]; got > least*(1+1e-9) || got < 0.9*least {
			t.Errorf("from age %.0f s on the plan costs %v, the best first poll %v", ages[k], got, least)
		}
	}
}
