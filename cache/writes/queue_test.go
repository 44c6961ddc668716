package writes

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"pollux/cache"
)

type write struct {
	size    int
	awaited bool
}

func (w write) Size() int     { return w.size }
func (w write) Awaited() bool { return w.awaited }

func key(n int) *cache.ID {
	var id cache.ID
	binary.LittleEndian.PutUint64(id[:], uint64(n))
	return &id
}

func TestQueueIsBounded(t *testing.T) {
	q := New[write](time.Millisecond, 0)
	for range maxQueued + 10 {
		q.Offer(write{})
	}
	if n := q.Dropped.Load(); n != 10 {
		t.Errorf("%d of %d offers beyond the limit were dropped", n, 10)
	}
	for range maxQueued {
		q.Took(<-q.Ops)
	}
	for range 3 {
		q.Offer(write{size: maxQueuedBytes / 2})
	}
	if n := len(q.Ops); n != 2 {
		t.Errorf("%d values of half the limit are queued, want 2", n)
	}
	for len(q.Ops) > 0 {
		q.Took(<-q.Ops)
	}
	if n := q.bytes.Load(); n != 0 {
		t.Errorf("an empty queue holds %d bytes", n)
	}
	for n := range maxStates + 5 {
		q.PutState(key(n), cache.PartitionState{})
	}
	if n := len(q.states); n != maxStates {
		t.Errorf("%d partitions are pending, want %d", n, maxStates)
	}
}

func TestPartitionsSurviveAFailedWrite(t *testing.T) {
	q := New[write](time.Millisecond, 0)
	state := func(upstream string) cache.PartitionState { return cache.PartitionState{Upstream: upstream} }
	q.PutState(key(1), state("old"))
	q.PutState(key(2), state("kept"))
	q.TakeStates()
	q.PutState(key(1), state("new"))
	q.SettleStates(false)
	for n, want := range map[int]string{1: "new", 2: "kept"} {
		if got, ok := q.State(key(n)); !ok || got.Upstream != want {
			t.Errorf("State(%d) = %v, %v, want %s", n, got, ok, want)
		}
	}
	q.TakeStates()
	q.SettleStates(true)
	if _, ok := q.State(key(1)); ok || len(q.TakeStates()) > 0 {
		t.Error("a written partition is still pending")
	}
}

func TestGather(t *testing.T) {
	stop := make(chan struct{})
	for name, c := range map[string]struct {
		first     []write
		queued    []write
		want      int
		most      int
		mostBytes int
	}{
		"nothing":                     {nil, nil, 0, 10, 10},
		"all that is queued":          {[]write{{1, true}}, []write{{1, false}, {1, true}}, 3, 10, 10},
		"no more than may be":         {[]write{{1, true}}, []write{{1, true}, {1, true}}, 2, 2, 10},
		"no more bytes than may be":   {[]write{{8, true}}, []write{{2, true}, {1, true}}, 2, 10, 10},
		"what nobody waits for, soon": {[]write{{1, false}}, []write{{1, false}}, 2, 10, 10},
	} {
		q := New[write](time.Millisecond, 0)
		for _, w := range c.queued {
			q.Ops <- w
		}
		if batch := q.Gather(c.first, c.most, c.mostBytes, stop); len(batch) != c.want {
			t.Errorf("%s: %d writes, want %d", name, len(batch), c.want)
		}
	}
}

// TestGatherPaces lets callers come one by one, and counts who shares a batch.
func TestGatherPaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New[write](time.Hour, 3*time.Millisecond)
		stop := make(chan struct{})
		gather := func(wait time.Duration, callers int) {
			t.Helper()
			began := time.Now()
			batch := q.Gather([]write{q.Took(<-q.Ops)}, 10, 100, stop)
			if got := time.Since(began); got != wait || len(batch) != callers {
				t.Errorf("%d callers share a batch that was open for %v, want %d and %v", len(batch), got, callers, wait)
			}
		}
		come := func(callers int) {
			for range callers {
				q.Ops <- write{1, true}
			}
		}
		come(crowd - 1)
		gather(0, crowd-1)
		come(crowd) // right after a few
		gather(0, crowd)
		time.Sleep(time.Millisecond)
		come(1) // a crowd goes on
		go func() {
			time.Sleep(time.Millisecond)
			come(crowd)
			time.Sleep(2 * time.Millisecond)
			come(1)
		}()
		gather(2*time.Millisecond, crowd+1)
		gather(3*time.Millisecond, 1) // and is over
		come(1)
		gather(0, 1)
		come(crowd)
		gather(0, crowd)
		close(stop)
		come(1)
		gather(0, 1)
	})
}
