package adaptive

import (
	"fmt"
	"math"
	"testing"
)

// teach lets a group see n tasks that ended at about an age.
func teach(g *Groups, name string, n int, age float64) {
	for i := range n {
		from := age * (0.9 + 0.02*float64(i%10))
		g.Observe(name, Job{}, Answer{Age: sec(from)})
		g.Observe(name, Job{News: sec(from)}, Answer{Age: sec(from * 1.05), Done: true, OnTime: true})
	}
}

func TestGroupsLearnApart(t *testing.T) {
	g := NewGroups(DefaultConfig(), 10, middle)
	teach(g, "quick", 100, 5)
	teach(g, "slow", 1500, 500) // so many that what the group started from counts no more
	quick, slow := g.Next("quick", Job{}, Hint{}), g.Next("slow", Job{}, Hint{})
	if quick > sec(10) || slow < 4*quick {
		t.Errorf("first polls after %v and %v, want about 5 s, and much more", quick, slow)
	}
	if got := g.Learner("quick").state.events; sum(got) < 80 || sum(got) > 100 {
		t.Errorf("the group counts %v tasks, want nearly 100", sum(got))
	}
}

func TestNewGroupStartsFromItsUpstream(t *testing.T) {
	g := NewGroups(DefaultConfig(), 10, middle)
	cold := g.Learner("before anything")
	teach(g, "known", 200, 500)
	fresh := g.Learner("fresh")
	if got := sum(fresh.state.events); got < seedTasks-0.01 || got > seedTasks+0.01 {
		t.Errorf("a new group starts from %v tasks, want %d", got, seedTasks)
	}
	if a, b := cold.Next(Job{}, Hint{}), fresh.Next(Job{}, Hint{}); 2*b < 3*a {
		t.Errorf("first poll after %v, without an upstream %v: nothing was taken over", b, a)
	}
	if fresh.state.prior <= prior || fresh.state.prior >= prior+coldPrior {
		t.Errorf("prior of %v tasks in a group that starts from some", fresh.state.prior)
	}
}

func TestGroupsAreBounded(t *testing.T) {
	g := NewGroups(DefaultConfig(), 3, middle)
	oldest := g.Learner("a")
	for _, name := range []string{"b", "c", "a", "d"} {
		g.Learner(name)
	}
	if len(g.byName) != 3 {
		t.Fatalf("%d groups, want 3", len(g.byName))
	}
	if g.Learner("a") != oldest {
		t.Error("the group used last but one was dropped")
	}
	for i := range 100 {
		g.Learner(fmt.Sprint("attempt", i))
	}
	if len(g.byName) != 3 || g.Learner("a") == oldest {
		t.Errorf("%d groups, want 3 without the one not used for long", len(g.byName))
	}
}

func TestTasksWithoutAGroupShareTheUpstream(t *testing.T) {
	for _, g := range []*Groups{NewGroups(DefaultConfig(), 3, middle), NewGroups(DefaultConfig(), 0, middle)} {
		if g.Learner("") != g.upstream || len(g.byName) != 0 {
			t.Error("the empty name is a group of its own")
		}
		g.Observe("", Job{}, Answer{Age: sec(5), Done: true})
		if got := sum(g.upstream.state.events); math.Abs(got-fade) > 1e-9 {
			t.Errorf("one task counts as %v", got)
		}
	}
	if g := NewGroups(DefaultConfig(), 0, middle); g.Learner("model") != g.upstream {
		t.Error("a limit of 0 learns groups apart")
	}
}

func TestGroupsSurviveARestart(t *testing.T) {
	g := NewGroups(DefaultConfig(), 5, middle)
	teach(g, "quick", 50, 5)
	teach(g, "slow", 50, 500)
	teach(g, "slower", 50, 5000)
	kept, err := g.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	again := NewGroups(DefaultConfig(), 2, middle)
	if err := again.UnmarshalBinary(kept); err != nil {
		t.Fatal(err)
	}
	if len(again.byName) != 2 {
		t.Errorf("%d groups restored, want the 2 used last", len(again.byName))
	}
	for _, name := range []string{"slow", "slower", ""} {
		got, want := again.Learner(name).state.hazard[40], g.Learner(name).state.hazard[40]
		if diff := got/want - 1; diff > 1e-5 || diff < -1e-5 {
			t.Errorf("group %q: hazard %v restored, %v kept", name, got, want)
		}
	}
	for _, cut := range []int{0, 3, 500, 757, 800, len(kept) - 1} {
		before := len(again.byName)
		if err := again.UnmarshalBinary(kept[:cut]); err == nil || len(again.byName) != before {
			t.Errorf("%d of %d bytes: error %v, %d groups", cut, len(kept), err, len(again.byName))
		}
	}
}
