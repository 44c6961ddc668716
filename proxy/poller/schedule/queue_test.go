package schedule

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pollux/cache"
)

// bench is a queue of names, of which those in hang take as long as that says.
type bench struct {
	*Queue[string]
	mu    sync.Mutex
	calls map[string][]time.Duration // since the start
}

// run runs a queue until the test ends. took is how long a call takes.
func run(t *testing.T, rules Rules[string], took func(name string) time.Duration) *bench {
	b := &bench{Queue: New(rules), calls: map[string][]time.Duration{}}
	ctx, stop := context.WithCancel(t.Context())
	start := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Run(ctx, func(f func()) { go f() }, func(_ context.Context, name string, _ time.Duration) {
			b.mu.Lock()
			b.calls[name] = append(b.calls[name], time.Since(start))
			b.mu.Unlock()
			time.Sleep(took(name))
		})
	}()
	t.Cleanup(func() { stop(); <-done })
	return b
}

func (b *bench) plan(name, lane string, owner byte, due time.Time) {
	key := cache.ID{}
	copy(key[:], name)
	b.Add(Call[string]{Key: key, Lane: lane, Owner: cache.ID{owner}, Due: due, Value: name})
}

// at is when a name was called, as text.
func (b *bench) at(name string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprint(b.calls[name])
}

func slots(n int) func(string) int { return func(string) int { return n } }

func TestCallsComeAtTheirTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, Rules[string]{Slots: slots(4)}, func(string) time.Duration { return 0 })
		now := time.Now()
		b.plan("late", "u", 1, now.Add(3*time.Second))
		b.plan("soon", "u", 1, now.Add(time.Second))
		b.plan("moved", "u", 1, now.Add(time.Second))
		b.plan("moved", "u", 1, now.Add(2*time.Second))
		b.plan("dropped", "u", 1, now.Add(2*time.Second))
		b.Cancel(&cache.ID{'d', 'r', 'o', 'p', 'p', 'e', 'd'})
		time.Sleep(time.Minute)
		for name, want := range map[string]string{"late": "[3s]", "soon": "[1s]", "moved": "[2s]", "dropped": "[]"} {
			if got := b.at(name); got != want {
				t.Errorf("%s was called at %s, want %s", name, got, want)
			}
		}
		if b.Len() != 0 || len(b.lanes) != 0 {
			t.Errorf("%d calls and %d lanes are left", b.Len(), len(b.lanes))
		}
	})
}

// TestOneLaneDelaysNoOther: a thousand calls that hang take the slots of their
// own lane.
func TestOneLaneDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, Rules[string]{Slots: slots(8)}, func(name string) time.Duration {
			if name[0] == 'h' {
				return 10 * time.Second
			}
			return 0
		})
		for i := range 1000 {
			b.plan(fmt.Sprintf("h%d", i), "hanging", 1, time.Now())
		}
		b.plan("other", "well", 1, time.Now().Add(time.Second))
		time.Sleep(5 * time.Second)
		if got := b.at("other"); got != "[1s]" {
			t.Errorf("the other lane's call was made at %s, want [1s]", got)
		}
	})
}

// TestOneOwnerDelaysNoOther: however many calls of a few owners hang, another of
// the same lane finds a slot.
func TestOneOwnerDelaysNoOther(t *testing.T) {
	for _, hanging := range []int{1, 2, 3} {
		synctest.Test(t, func(t *testing.T) {
			b := run(t, Rules[string]{Slots: slots(48)}, func(name string) time.Duration {
				if name[0] == 'h' {
					return 10 * time.Second
				}
				return 0
			})
			for owner := range hanging {
				for i := range 100 {
					b.plan(fmt.Sprintf("h%d-%d", owner, i), "u", byte(owner), time.Now())
				}
			}
			b.plan("other", "u", 0xff, time.Now().Add(time.Second))
			time.Sleep(5 * time.Second)
			if got := b.at("other"); got != "[1s]" {
				t.Errorf("beside %d owners that hang, a call was made at %s, want [1s]", hanging, got)
			}
		})
	}
}

// TestMostUrgentFirst: while an owner may make one call a second, those that age
// ten times as fast come ten times as often, and none starves.
func TestMostUrgentFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		last := map[string]time.Time{}
		life := func(name string) time.Duration {
			if name[0] == 'f' {
				return time.Second
			}
			return 10 * time.Second
		}
		var b *bench
		made := time.Time{}
		rules := Rules[string]{
			Slots: slots(100),
			Wait: func(_ string, now time.Time) time.Duration {
				if wait := made.Add(time.Second).Sub(now); wait > 0 {
					return wait
				}
				made = now
				return 0
			},
			Urgency: func(name string, now time.Time) float64 {
				mu.Lock()
				defer mu.Unlock()
				return float64(now.Sub(last[name])) / float64(life(name))
			},
			Reaches: func(name string, urgency float64) time.Time {
				mu.Lock()
				defer mu.Unlock()
				return last[name].Add(time.Duration(urgency * float64(life(name))))
			},
		}
		b = run(t, rules, func(name string) time.Duration {
			mu.Lock()
			last[name] = time.Now()
			mu.Unlock()
			b.plan(name, "u", 1, time.Now().Add(life(name)))
			return 0
		})
		start := time.Now()
		for i := range 20 {
			for _, kind := range []string{"fast", "slow"} {
				name := fmt.Sprintf("%s%d", kind, i)
				mu.Lock()
				last[name] = start
				mu.Unlock()
				b.plan(name, "u", 1, start)
			}
		}
		time.Sleep(4000 * time.Second)
		b.mu.Lock()
		defer b.mu.Unlock()
		counts := map[byte]int{}
		least := 1 << 30
		for name, calls := range b.calls {
			counts[name[0]] += len(calls)
			least = min(least, len(calls))
		}
		if ratio := float64(counts['f']) / float64(counts['s']); ratio < 5 || ratio > 15 || least < 5 || counts['f']+counts['s'] < 3900 {
			t.Errorf("calls %v, the rarest %d times, want fast ones ten times as often as slow ones", counts, least)
		}
	})
}

func TestOneCallOfAKeyAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, Rules[string]{Slots: slots(4)}, func(string) time.Duration { return 5 * time.Second })
		b.plan("a", "u", 1, time.Now())
		time.Sleep(time.Second)
		b.plan("a", "u", 1, time.Now())
		time.Sleep(time.Minute)
		if got := b.at("a"); got != "[0s 5s]" {
			t.Errorf("called at %s, want the second time once the first has returned", got)
		}
	})
}

// BenchmarkChoose: the cost of the next call hardly grows with how many wait.
func BenchmarkChoose(b *testing.B) {
	for _, waiting := range []int{100, 10_000, 100_000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			q := New(Rules[int]{Slots: slots(1 << 20)})
			now := time.Now()
			key := func(i int) (id cache.ID) { copy(id[:], fmt.Sprint(i)); return id }
			for i := range waiting {
				q.Add(Call[int]{Key: key(i), Lane: "u", Due: now.Add(-time.Duration(i)), Value: i})
			}
			i := waiting
			for b.Loop() {
				p, _ := q.next(now)
				q.done(p)
				i++
				q.Add(Call[int]{Key: key(i), Lane: "u", Due: now.Add(-time.Duration(i)), Value: i})
			}
		})
	}
}
