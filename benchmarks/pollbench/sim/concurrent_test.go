package sim

import (
	"container/heap"
	"math"
	"slices"
	"testing"
	"time"

	"pollux/proxy/poller/adaptive"
)

// task is one of many that run at the same time.
type task struct {
	group         string
	start, length float64
	asked, due    float64 // instants
}

func (t *task) job() adaptive.Job { return adaptive.Job{News: seconds(t.asked - t.start)} }
func (t *task) end() float64      { return t.start + t.length }

// answer observes a poll at an instant, and reports whether the task ended.
func (t *task) answer(g *adaptive.Groups, now float64, onTime bool) (done bool) {
	done = t.end() <= now
	g.Observe(t.group, t.job(), adaptive.Answer{Age: seconds(now - t.start), Done: done, OnTime: onTime})
	t.asked = now
	return done
}

type byDue []*task

func (q byDue) Len() int           { return len(q) }
func (q byDue) Less(i, j int) bool { return q[i].due < q[j].due }
func (q byDue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *byDue) Push(x any)        { *q = append(*q, x.(*task)) }
func (q *byDue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}

// TestDrift speeds tasks up from 60 s to 20 s while one starts each second.
// The first sixty or so are lost: they start before any late poll can tell.
func TestDrift(t *testing.T) {
	const before, after, price = 1000, 400, 2.0
	c := adaptive.DefaultConfig()
	c.PollPrice = price * time.Second
	slow, fast := normalAbove(60, 10, 5), normalAbove(20, 10.0/3, 5)
	optimum := OptimumFor(fast.Durations(1, 20_000), adaptive.Delay{Absolute: price * time.Second}, 1, adaptive.Delay{})
	best := math.Inf(1) // of polls + delay / price
	for z := leastZ; z < 10; z *= 1.01 {
		polls, _ := optimum.Polls(z)
		best = min(best, polls+z)
	}
	for seed := range uint64(5) {
		g := SplitMix64(seed)
		learned := adaptive.NewGroups(c, 0, g.Float64)
		var queue byDue
		number := map[*task]int{}
		plan := func(k *task) {
			k.due = k.asked + learned.Next("", k.job(), adaptive.Hint{}).Seconds()
			heap.Push(&queue, k)
		}
		cost, started := 0.0, 0
		for started < before+after || len(queue) > 0 {
			if started < before+after && (len(queue) == 0 || queue[0].due >= float64(started)) {
				law := slow
				if started >= before {
					law = fast
				}
				k := &task{start: float64(started), asked: float64(started), length: law.Draw(&g)}
				number[k] = started - before
				started++
				plan(k)
				continue
			}
			k := heap.Pop(&queue).(*task)
			done := k.answer(learned, k.due, true)
			if n := number[k]; n >= 200 && n < 300 {
				cost += 0.01
				if done {
					cost += 0.01 * (k.due - k.end()) / price
				}
			}
			if !done {
				plan(k)
			}
		}
		t.Logf("seed %d: cost %.2f, optimum %.2f", seed, cost, best)
		if cost > 1.5*best {
			t.Errorf("seed %d: tasks 200 to 300 after the change cost %.2f, want at most 1.5 times %.2f", seed, cost, best)
		}
	}
}

// shared polls tasks of five kinds with a budget that is far too small, always
// the one that first finds first, and returns the mean delay in targets. Tasks
// that nobody noticed by the end count with their delay so far.
func shared(seed uint64, horizon float64, first func(g *adaptive.Groups, running []*task, now float64) int) (z float64) {
	const arrivals, budget = 2.4, 5.5 // per second
	g := SplitMix64(seed)
	jitter := SplitMix64(seed + 1)
	learned := adaptive.NewGroups(adaptive.DefaultConfig(), 10, jitter.Float64)
	var running []*task
	late := func(k *task, now float64) float64 { return (now - k.end()) / tau(ReferenceTarget, k.length) }
	counted, next := 0, 0.0
	for now := 0.0; now < horizon; now += 1 / budget {
		for ; next <= now; next -= math.Log(g.Float64()) / arrivals {
			law := Laws[int(g.Float64()*5)]
			running = append(running, &task{group: law.Name, start: next, asked: next, length: law.Draw(&g)})
		}
		if len(running) == 0 {
			continue
		}
		i := first(learned, running, now)
		if k := running[i]; k.answer(learned, now, false) {
			running = slices.Delete(running, i, i+1)
			if k.start > horizon/4 {
				z += late(k, now)
				counted++
			}
		}
	}
	for _, k := range running {
		if k.start > horizon/4 && k.end() < horizon {
			z += late(k, horizon)
			counted++
		}
	}
	return z / float64(counted)
}

func TestSharedBudget(t *testing.T) {
	horizon := 2000.0
	if testing.Short() {
		horizon = 600
	}
	index := shared(42, horizon, func(g *adaptive.Groups, running []*task, now float64) (best int) {
		most := -1.0
		for i, k := range running {
			if a := g.Expected(k.group, k.job(), seconds(now-k.start)); a > most {
				most, best = a, i
			}
		}
		return best
	})
	roundRobin := shared(42, horizon, func(_ *adaptive.Groups, running []*task, _ float64) (best int) {
		for i, k := range running {
			if k.asked < running[best].asked {
				best = i
			}
		}
		return best
	})
	t.Logf("mean delay in targets: %.2f by expected delay, %.2f in turn", index, roundRobin)
	if index > roundRobin/2 {
		t.Errorf("by expected delay z = %.2f, in turn %.2f: want at most half", index, roundRobin)
	}
}
