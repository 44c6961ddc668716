package adaptive

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

func sum(h [bins]float64) (total float64) {
	for _, v := range h {
		total += v
	}
	return total
}

func TestObserveCountsOneEndPerTask(t *testing.T) {
	tests := map[string]struct {
		j      Job
		a      Answer
		ended  float64
		ran    float64 // at least
		ranMax float64
	}{
		"running":                {Job{News: sec(3)}, Answer{Age: sec(10)}, 0, 7, 7},
		"done":                   {Job{News: sec(3)}, Answer{Age: sec(10), Done: true}, 1, 0.1, 7},
		"done at a known age":    {Job{News: sec(3)}, Answer{Age: sec(10), Done: true, Completed: sec(5)}, 1, 2, 2},
		"done before the news":   {Job{News: sec(3)}, Answer{Age: sec(10), Done: true, Completed: sec(2)}, 1, 0.1, 7},
		"done in the future":     {Job{News: sec(3)}, Answer{Age: sec(10), Done: true, Completed: sec(11)}, 1, 0.1, 7},
		"unknown start":          {Job{News: sec(3), UnknownStart: true}, Answer{Age: sec(10), Done: true}, 0, 0, 0},
		"no time has passed":     {Job{News: sec(3)}, Answer{Age: sec(3), Done: true}, 0, 0, 0},
		"the clock went back":    {Job{News: sec(3)}, Answer{Age: sec(1)}, 0, 0, 0},
		"negative age":           {Job{News: -sec(3)}, Answer{Age: sec(1), Done: true}, 0, 0, 0},
		"beyond the last bin":    {Job{News: sec(3e5)}, Answer{Age: sec(4e5), Done: true}, 1, 1, 1e5},
		"within the first":       {Job{News: sec(0.2)}, Answer{Age: sec(0.4), Done: true}, 1, 0.05, 0.2},
		"across all of the bins": {Job{}, Answer{Age: sec(4e5)}, 0, 4e5, 4e5},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := New(DefaultConfig(), middle)
			l.Observe(tt.j, tt.a)
			kept := 1.0
			if tt.ended > 0 {
				kept = fade
			}
			if got := sum(l.state.events); math.Abs(got-tt.ended*kept) > 1e-9 {
				t.Errorf("%v tasks ended, want %v", got, tt.ended*kept)
			}
			if got := sum(l.state.exposure); got < tt.ran*kept*(1-1e-9) || got > tt.ranMax*kept*(1+1e-9) {
				t.Errorf("ran for %v s, want %v to %v", got, tt.ran*kept, tt.ranMax*kept)
			}
		})
	}
}

func TestPriceSteersToTheTarget(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, target := range []Delay{{time.Second, 0.1}, {2 * time.Second, 0}, {0, 0.2}, {10 * time.Second, 0}} {
		c := DefaultConfig()
		c.TargetDelay = target
		l := learned(c, 500, 60, 0.7, r)
		z, n := 0.0, 3000
		for range n {
			duration := 60 * math.Exp(0.7*r.NormFloat64())
			_, delay := poll(l, duration)
			z += delay / target.at(duration) / float64(n)
		}
		if z < 0.85 || z > 1.15 {
			t.Errorf("target %v: mean delay of %.3f targets", target, z)
		}
	}
}

func TestPriceStands(t *testing.T) {
	late := Answer{Age: sec(500), Done: true}
	l := New(DefaultConfig(), middle)
	l.Observe(Job{}, late)
	if got := l.Price(); got != firstPrice {
		t.Errorf("a poll that was held back moved the price to %v", got)
	}
	late.OnTime = true
	l.Observe(Job{}, late)
	if got := l.Price(); got >= firstPrice {
		t.Errorf("price %v after an end noticed late, want less than %v", got, firstPrice)
	}
	fixed := New(Config{PollPrice: 3 * time.Second}, middle)
	fixed.Observe(Job{}, late)
	if got := fixed.Price(); got != 3 {
		t.Errorf("a fixed price of 3 s moved to %v", got)
	}
	for range 5000 { // ends that are always noticed at once must not wind it up
		l.Observe(Job{News: sec(10)}, Answer{Age: sec(10.001), Done: true, OnTime: true})
	}
	if got := l.Price(); got > highestPrice {
		t.Errorf("price %v, want at most %v", got, highestPrice)
	}
}

// TestCompletedSharpens says what a reported end is worth: ends within one gap
// become distinguishable.
func TestCompletedSharpens(t *testing.T) {
	polls := func(reported bool) (n int) {
		r := rand.New(rand.NewPCG(9, 9))
		l := New(DefaultConfig(), r.Float64)
		for i := range 3000 {
			end, age := 60+10*r.NormFloat64(), time.Duration(0)
			for done := false; !done; {
				j := Job{News: age}
				age += l.Next(j, Hint{})
				a := Answer{Age: age, OnTime: true}
				if a.Done = age.Seconds() >= end; a.Done && reported {
					a.Completed = sec(end)
				}
				l.Observe(j, a)
				done = a.Done
				if i >= 1000 {
					n++
				}
			}
		}
		return n
	}
	if with, without := polls(true), polls(false); float64(with) > 0.99*float64(without) {
		t.Errorf("%d polls with reported ends, %d without", with, without)
	}
}

func TestAlarmForgets(t *testing.T) {
	l := learned(DefaultConfig(), 500, 600, 0.1, rand.New(rand.NewPCG(2, 3)))
	before := sum(l.state.events)
	for i := 0; sum(l.state.events) > before/2; i++ {
		if i == 20 {
			t.Fatal("twenty tasks that ended far too early raised no alarm")
		}
		l.Observe(Job{}, Answer{Age: sec(30), Done: true})
	}
	calm := learned(DefaultConfig(), 2000, 60, 0.7, rand.New(rand.NewPCG(4, 5)))
	if got := sum(calm.state.events); got < 500 {
		t.Errorf("%v tasks remembered of steady durations, want about 700: false alarms", got)
	}
}

func TestLearnerIsSafeForConcurrentUse(t *testing.T) {
	g := NewGroups(DefaultConfig(), 3, rand.Float64)
	var workers sync.WaitGroup
	for i := range 4 {
		workers.Go(func() {
			for n := range 300 {
				name := string(rune('a' + (i+n)%5))
				j := Job{News: sec(float64(n % 50)), UnknownStart: n%7 == 0}
				gap := g.Next(name, j, Hint{})
				g.Expected(name, j, j.News+gap)
				g.Observe(name, j, Answer{Age: j.News + gap, Done: n%3 == 0, OnTime: true})
				if n%100 == 0 {
					kept, _ := g.MarshalBinary()
					if err := g.UnmarshalBinary(kept); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	workers.Wait()
	if n := len(g.byName); n > 3 {
		t.Errorf("%d groups, want at most 3", n)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	g := NewGroups(DefaultConfig(), 10, middle)
	for _, unknown := range []bool{false, true} {
		age := 0.0
		allocated := testing.AllocsPerRun(200, func() {
			j := Job{News: sec(age), UnknownStart: unknown}
			gap := g.Next("model", j, Hint{Percent: 40})
			g.Expected("model", j, j.News+gap)
			g.Observe("model", j, Answer{Age: j.News + gap, Done: age > 60, OnTime: true})
			age = math.Mod(age+gap.Seconds(), 100)
		})
		if allocated > 0 {
			t.Errorf("unknown start %v: %v allocations per poll", unknown, allocated)
		}
	}
}

func BenchmarkPoll(b *testing.B) {
	for name, durations := range map[string]float64{"seconds": 20, "hours": 7200} {
		b.Run(name, func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			l := learned(DefaultConfig(), 1000, durations, 0.8, r)
			b.ReportAllocs()
			var age time.Duration
			end := durations
			for b.Loop() {
				j := Job{News: age}
				age += l.Next(j, Hint{})
				done := age.Seconds() >= end
				l.Observe(j, Answer{Age: age, Done: done, OnTime: true})
				if done {
					age, end = 0, durations*math.Exp(0.8*r.NormFloat64())
				}
			}
		})
	}
}

func BenchmarkExpected(b *testing.B) {
	l := learned(DefaultConfig(), 1000, 60, 0.8, rand.New(rand.NewPCG(1, 1)))
	for name, j := range map[string]Job{"known": {News: sec(30)}, "unknown": {News: sec(30), UnknownStart: true}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.Expected(j, sec(90))
			}
		})
	}
}
