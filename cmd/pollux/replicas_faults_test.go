package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

const (
	// behindAtMost is how far a replica may be behind another one: ten times what
	// is promised, on a machine that does other things too.
	behindAtMost = 10 * time.Second
	// lifetimeOfFaults is how long an answer is fresh below, longer than replicas
	// may be behind: otherwise they could be without hearing of each other.
	lifetimeOfFaults = time.Minute
	// catchingUp is how long after a fault a replica may be behind by a lifetime.
	catchingUp = 5 * time.Second
)

// reading is a poll of a task that a replica answered with its n-th news.
type reading struct {
	task, replica string
	client        int
	call, end     time.Time
	n             int
}

// wentBack returns a reading that says something older than one that had ended,
// of the same group, lag before it began, and that one; nil if none does. It
// finds what porcupine would search for: without it, a history that is in order
// is decided at once, and one that is not hardly ever.
func wentBack(readings []*reading, group func(*reading) string, lag func(*reading) time.Duration) (r, before *reading) {
	ended, begun := slices.Clone(readings), slices.Clone(readings)
	slices.SortFunc(ended, func(a, b *reading) int { return a.end.Compare(b.end) })
	slices.SortFunc(begun, func(a, b *reading) int { return a.call.Add(-lag(a)).Compare(b.call.Add(-lag(b))) })
	newest := map[string]*reading{} // of what ended so far
	for _, r := range begun {
		for len(ended) > 0 && ended[0].end.Before(r.call.Add(-lag(r))) {
			if before := newest[group(ended[0])]; before == nil || ended[0].n > before.n {
				newest[group(ended[0])] = ended[0]
			}
			ended = ended[1:]
		}
		if before := newest[group(r)]; before != nil && before.n > r.n {
			return r, before
		}
	}
	return nil, nil
}

// step is what a reading means: that its n may be read, and, once it was, that
// nothing older may be. Told apart, the two have porcupine decide at once.
type step struct {
	*reading
	done bool
}

// onlyForward is the specification of a task: what is read never goes back. Each
// group of readings is a history of its own.
func onlyForward(group func(*reading) string) porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) (groups [][]porcupine.Operation) {
			byGroup := map[string][]porcupine.Operation{}
			for _, op := range history {
				key := group(op.Input.(step).reading)
				byGroup[key] = append(byGroup[key], op)
			}
			for _, g := range byGroup {
				groups = append(groups, g)
			}
			return groups
		},
		Init: func() any { return 0 },
		Step: func(state, input, _ any) (bool, any) {
			s, newest := input.(step), state.(int)
			if s.done {
				return true, max(newest, s.n)
			}
			return s.n >= newest, newest
		},
	}
}

const clock = "15:04:05.000"

func (f fault) String() string {
	return fmt.Sprintf("%s from %s to %s", f.name, f.begin.Format(clock), f.end.Format(clock))
}

// fault is a time in which a replica may be behind by a lifetime.
type fault struct {
	name       string
	begin, end time.Time
}

// TestReplicasFaults polls three replicas while now one, now another, or the
// database, is in trouble. On each replica a task never goes back, and across
// them it is behind by a second at most, or by a lifetime while notices are cut:
// the readings of all are linearizable, each begun earlier by that much.
func TestReplicasFaults(t *testing.T) {
	t.Parallel()
	s := newReplicas(t, 3, ", freshness: {in_progress: 1m}")
	s.upstream.news.Store(true)
	var mu sync.Mutex // guards what follows
	var readings []*reading
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var clients sync.WaitGroup
	for c := range 6 {
		rnd := rand.New(rand.NewPCG(1, uint64(c)))
		clients.Go(func() {
			for i := c; ctx.Err() == nil; i++ {
				mu.Lock()
				replica := s.all[c%len(s.all)]
				mu.Unlock()
				r := &reading{task: fmt.Sprintf("task-%d", i%8), replica: replica.base, client: c, call: time.Now()}
				var header []string
				if rnd.IntN(4) == 0 {
					header = []string{"Cache-Control", "no-cache"}
				}
				code, body, _, err := replica.ask(ctx, http.MethodGet, "/v1/tasks/up/"+r.task, "a", header...)
				if ctx.Err() != nil {
					return
				}
				found := newsNumber.FindStringSubmatch(body)
				if err != nil || code != http.StatusOK || found == nil {
					t.Errorf("poll of %s at %s: %d %s %v", r.task, r.replica, code, body, err)
					continue
				}
				r.end = time.Now()
				r.n, _ = strconv.Atoi(found[1])
				mu.Lock()
				readings = append(readings, r)
				mu.Unlock()
				time.Sleep(30 * time.Millisecond)
			}
		})
	}
	faults := s.befall(ctx, time.Now().Add(time.Duration(rounds(t, 5))*4*time.Second))
	time.Sleep(behindAtMost + catchingUp)
	stop()
	clients.Wait()
	if len(readings) < 500 {
		t.Fatalf("%d readings", len(readings))
	}
	check := func(name string, group func(*reading) string, lag func(*reading) time.Duration) {
		t.Logf("%s: %d readings, %d faults", name, len(readings), len(faults))
		if r, before := wentBack(readings, group, lag); r != nil {
			t.Errorf("%s: %s at %s said %d at %v, and had %v before at %s said %d; faults: %v", name, r.task, r.replica, r.n,
				r.call.Format(clock), r.call.Sub(before.end), before.replica, before.n, faults)
			return
		}
		var history []porcupine.Operation
		for _, r := range readings {
			end := r.end.UnixNano()
			history = append(history,
				porcupine.Operation{ClientId: r.client, Input: step{r, false}, Call: r.call.Add(-lag(r)).UnixNano(), Return: end},
				porcupine.Operation{ClientId: r.client, Input: step{r, true}, Call: end - 1, Return: end})
		}
		if !porcupine.CheckOperations(onlyForward(group), history) {
			t.Errorf("%s: it does not, by porcupine", name)
		}
	}
	check("on each replica a task never goes back", func(r *reading) string { return r.task + " " + r.replica },
		func(*reading) time.Duration { return 0 })
	check("across replicas it is behind by little", func(r *reading) string { return r.task },
		func(r *reading) time.Duration {
			if slices.ContainsFunc(faults, func(f fault) bool { return r.end.After(f.begin) && r.call.Before(f.end.Add(catchingUp)) }) {
				return lifetimeOfFaults + behindAtMost
			}
			return behindAtMost
		})
	t.Logf("caught up %v after a fault at the latest", caughtUp(readings, faults).Round(time.Millisecond))
}

// caughtUp is how long after the end of the last fault before it a reading was
// behind by more than a second, at most.
func caughtUp(readings []*reading, faults []fault) (most time.Duration) {
	first := map[string][]time.Time{} // by task: when something as new as its index had been read
	for _, r := range readings {
		at := first[r.task]
		for len(at) <= r.n {
			at = append(at, time.Time{})
		}
		for n := r.n; n >= 0 && (at[n].IsZero() || r.end.Before(at[n])); n-- {
			at[n] = r.end
		}
		first[r.task] = at
	}
	for _, r := range readings {
		newer := first[r.task][r.n:]
		if len(newer) < 2 || r.call.Sub(newer[1]) < time.Second {
			continue
		}
		for _, f := range slices.Backward(faults) {
			if f.begin.Before(r.end) {
				most = max(most, r.call.Sub(f.end))
				break
			}
		}
	}
	return most
}

// befall has faults happen one after the other until a time, and returns them.
func (s *replicaSet) befall(ctx context.Context, until time.Time) (all []fault) {
	rnd := rand.New(rand.NewPCG(2, uint64(numberFrom(s.t, "POLLUX_SEED", 3))))
	for time.Now().Before(until) && ctx.Err() == nil {
		f := fault{begin: time.Now()}
		long := time.Duration(500+rnd.IntN(2000)) * time.Millisecond
		switch r := s.all[rnd.IntN(len(s.all))]; rnd.IntN(5) {
		case 0:
			f.name = "one cut off"
			r.link.Cut(true)
			time.Sleep(long)
			r.link.Cut(false)
		case 1:
			f.name = "notices cut"
			s.database.Exec(s.t, "postgres", `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'`)
		case 2:
			f.name = "database frozen"
			_ = s.database.Signal(syscall.SIGSTOP)
			time.Sleep(long)
			_ = s.database.Signal(syscall.SIGCONT)
		case 3:
			f.name = "one frozen"
			_ = r.process.Process.Signal(syscall.SIGSTOP)
			time.Sleep(long)
			_ = r.process.Process.Signal(syscall.SIGCONT)
		case 4:
			f.name = "one slow"
			r.link.Slow(400 * time.Millisecond)
			time.Sleep(long)
			r.link.Slow(0)
		}
		f.end = time.Now()
		all = append(all, f)
		time.Sleep(time.Duration(rnd.IntN(1500)) * time.Millisecond)
	}
	return all
}
