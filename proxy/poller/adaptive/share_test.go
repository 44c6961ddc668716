package adaptive

import (
	"errors"
	"math"
	"testing"
	"time"
)

// TestShare: what several processes have learned apart comes to what one would
// have learned from all, however often they share it.
func TestShare(t *testing.T) {
	fresh := func() *Groups { return NewGroups(DefaultConfig(), MaxGroups, func() float64 { return 0.5 }) }
	ends := func(g *Groups, name string, n int, after time.Duration) {
		for i := range n {
			end := after/2 + after*time.Duration(i*7%20)/20 // spread around it
			var j Job
			for ; j.News+after/6 < end; j.News += after / 6 {
				g.Observe(name, j, Answer{Age: j.News + after/6, OnTime: true})
			}
			g.Observe(name, j, Answer{Age: end, Done: true, Completed: end, OnTime: true})
		}
	}
	var account []byte
	share := func(g *Groups) {
		t.Helper()
		sum, err := g.Share(account)
		if err != nil {
			t.Fatal(err)
		}
		account = sum
	}
	sum := func(h *[bins]float64) (n float64) {
		for _, v := range h {
			n += v
		}
		return n
	}
	a, b, one := fresh(), fresh(), fresh()
	for range 5 {
		for _, g := range []*Groups{a, b} {
			ends(g, "m", 20, time.Minute)
			share(g)
			share(g) // nothing counts twice
		}
		ends(one, "m", 20, time.Minute)
		ends(one, "m", 20, time.Minute)
	}
	share(a)
	late := fresh()
	share(late)
	want := &one.Learner("m").state
	for name, g := range map[string]*Groups{"one of two": a, "who came late": late} {
		got := &g.Learner("m").state
		if n, m := sum(&got.events), sum(&want.events); math.Abs(n-m) > 0.1*m {
			t.Errorf("%s: %v tasks have ended, want %v", name, n, m)
		}
		if got, want := g.Learner("m").Price(), one.Learner("m").Price(); got < want/2 || got > want*2 {
			t.Errorf("%s: a poll costs %v, want %v", name, got, want)
		}
		job := Job{}
		if got, want := g.Reaches("m", job, 1), one.Reaches("m", job, 1); math.Abs(got.Seconds()-want.Seconds()) > 0.1*want.Seconds() {
			t.Errorf("%s: one end is to be expected after %v, want %v", name, got, want)
		}
	}
	t.Run("what one forgets", func(t *testing.T) {
		before := b.Learner("m").state.events[binAt(60)]
		ends(a, "m", 40, 2*time.Second) // the alarm drops what was learned of a minute
		share(a)
		share(b)
		if n := b.Learner("m").state.events[binAt(60)]; n > before/3 {
			t.Errorf("%v ends after a minute of %v are still known to the other, want few", n, before)
		}
	})
	t.Run("damaged", func(t *testing.T) {
		if _, err := b.Share([]byte("no account")); !errors.Is(err, ErrDamaged) {
			t.Errorf("Share of a damaged account: %v", err)
		}
	})
}
