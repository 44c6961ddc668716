// Package storetest checks what every cache.Store must do.
package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pollux/cache"
)

// Key returns the n-th of a family of distinct keys.
func Key(n int) *cache.ID {
	var id cache.ID
	binary.BigEndian.PutUint64(id[8:], uint64(n)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(id[24:], uint64(n))
	return &id
}

// Running returns an entry under Key(n) with every member set, told apart from
// others by version.
func Running(n, version int) *cache.Entry {
	at := time.Date(2025, 10, 22, 10, 30, 0, 123456789, time.UTC)
	text := fmt.Sprintf("task %d, version %d", n, version)
	return &cache.Entry{
		Key: *Key(n), Partition: *Key(-1 - n%3),
		Upstream: "shannon", Provider: "shannon", Revision: "r1", Ref: "shannon/task-1?user_id=u", Values: []string{"task-1", "", "u"},
		TaskID: fmt.Sprintf("task-%d", n), Status: "in_progress", NativeStatus: "RUNNING", SettleStep: 1,
		Document: []byte(`{"object":"task","text":"` + text + `"}`), Digest: [16]byte{1, 2, byte(version)},
		ETag: fmt.Sprintf(`W/"%d"`, version), NativeETag: fmt.Sprintf(`W/"n%d"`, version),
		Native: []byte(`{"native":"` + text + `"}`), NativeType: "application/json", NativeCode: 200,
		History:   []cache.Change{{Status: "queued", NativeStatus: "QUEUED", At: at}, {Status: "in_progress", NativeStatus: "RUNNING", At: at.Add(time.Second)}},
		CreatedAt: at, UpdatedAt: at.Add(2 * time.Second), FirstSeen: at.Add(time.Second),
		ObservedAt: at.Add(3 * time.Second), FreshUntil: at.Add(5 * time.Second), Asked: 2 * time.Second,
		ErrorCode: "code", Model: "model",
	}
}

// Frozen is Running after its end.
func Frozen(n, version int) *cache.Entry {
	e := Running(n, version)
	e.Status, e.NativeStatus, e.Terminal, e.Frozen = "completed", "COMPLETED", true, true
	e.CompletedAt, e.Asked = e.UpdatedAt, 0
	return e
}

// stored is e as Get returns it.
func stored(e *cache.Entry) *cache.Entry {
	c := *e
	c.Stored = true
	return &c
}

// Run runs all checks, each against a store of its own from open, which is empty
// and which Run closes.
func Run(t *testing.T, open func(t *testing.T) cache.Store) {
	for name, check := range map[string]func(*testing.T, cache.Store){
		"nothing is not found":             nothing,
		"entries come back whole":          roundTrip,
		"sizes":                            sizes,
		"frozen stands":                    frozenStands,
		"the newest stands":                newest,
		"late writes after a delete":       lateWrites,
		"writes keep their order":          order,
		"delete":                           deletes,
		"partitions":                       partitions,
		"the clock may be set back":        future,
		"a context that is over":           contextOver,
		"one key, many writers":            oneKey,
		"many keys, many callers":          manyKeys,
		"any sequence, against a model":    model,
		"closed stores refuse and survive": closed,
	} {
		t.Run(name, func(t *testing.T) {
			store := open(t)
			defer func() {
				if err := store.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}()
			check(t, store)
		})
	}
}

func get(t testing.TB, store cache.Store, n int) *cache.Entry {
	t.Helper()
	e, err := store.Get(context.Background(), Key(n))
	if err != nil && !errors.Is(err, cache.ErrNotFound) {
		t.Fatalf("Get(%d): %v", n, err)
	}
	return e
}

func put(t testing.TB, store cache.Store, e *cache.Entry) *cache.Entry {
	t.Helper()
	got, err := store.Put(context.Background(), e)
	if err != nil {
		t.Fatalf("Put(%s, %s): %v", e.TaskID, e.ETag, err)
	}
	return got
}

func want(t testing.TB, what string, got, want *cache.Entry) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s = %+v, want %+v", what, got, want)
	}
}

func nothing(t *testing.T, store cache.Store) {
	if _, err := store.Get(context.Background(), Key(1)); !errors.Is(err, cache.ErrNotFound) {
		t.Errorf("Get of an empty store: %v, want ErrNotFound", err)
	}
	if _, err := store.Partition(context.Background(), Key(1)); !errors.Is(err, cache.ErrNotFound) {
		t.Errorf("Partition of an empty store: %v, want ErrNotFound", err)
	}
	if err := store.Healthy(); err != nil {
		t.Errorf("Healthy: %v", err)
	}
}

func roundTrip(t *testing.T, store cache.Store) {
	settling := Running(2, 1)
	settling.Status, settling.Terminal, settling.Settling, settling.SettleStep, settling.Asked = "completed", true, true, 2, 0
	bare := &cache.Entry{Key: *Key(3), Partition: *Key(4), Status: "queued"}
	for n, e := range []*cache.Entry{Frozen(0, 1), Running(1, 1), settling, bare} {
		before := *e
		want(t, "Put", put(t, store, e), stored(e))
		want(t, "Put's argument", e, &before)
		want(t, "Get", get(t, store, n), stored(e))
	}
	want(t, "Get of another key", get(t, store, 9), nil)
}

func sizes(t *testing.T, store cache.Store) {
	for n, size := range []int{1, 100, 511, 512, 513, 5_000, 1 << 20, 9 << 20} {
		e := Frozen(n, 1)
		e.Native = []byte(strings.Repeat("0123456789 héllo", size/16+1)[:size])
		e.Document = bytes.Clone(e.Native)
		for i := range e.Document { // incompressible enough
			e.Document[i] = byte(i * i * (i >> 3) >> 5)
		}
		put(t, store, e)
		want(t, fmt.Sprintf("Get of %d bytes", size), get(t, store, n), stored(e))
	}
}

func frozenStands(t *testing.T, store cache.Store) {
	put(t, store, Running(1, 1))
	want(t, "Put running over running", put(t, store, Running(1, 2)), stored(Running(1, 2)))
	want(t, "Put frozen over running", put(t, store, Frozen(1, 3)), stored(Frozen(1, 3)))
	want(t, "Put running over frozen", put(t, store, Running(1, 4)), stored(Frozen(1, 3)))
	want(t, "Get", get(t, store, 1), stored(Frozen(1, 3)))
	want(t, "Put frozen over frozen", put(t, store, Frozen(1, 5)), stored(Frozen(1, 3)))
	reopened := numbered(Running(1, 6), 1, 0)
	want(t, "Put of a later generation", put(t, store, reopened), stored(reopened))
	want(t, "Get", get(t, store, 1), stored(reopened))
}

// numbered is e with a generation and a version.
func numbered(e *cache.Entry, generation, version uint64) *cache.Entry {
	e.Generation, e.Version = generation, version
	return e
}

// newest: by generation and version, whoever comes last.
func newest(t *testing.T, store cache.Store) {
	stands := numbered(Running(1, 1), 2, 50)
	put(t, store, stands)
	want(t, "Put of an older version", put(t, store, numbered(Running(1, 2), 2, 49)), stored(stands))
	want(t, "Put of an older generation", put(t, store, numbered(Frozen(1, 3), 1, 99)), stored(stands))
	store.PutLater(numbered(Frozen(1, 4), 1, 99))
	same := numbered(Running(1, 5), 2, 50)
	want(t, "Put of the same version", put(t, store, same), stored(same))
	next := numbered(Running(1, 6), 3, 1)
	want(t, "Put of a later generation", put(t, store, next), stored(next))
	want(t, "Get", get(t, store, 1), stored(next))
}

// lateWrites: a forgotten task stays forgotten, whatever was under way.
func lateWrites(t *testing.T, store cache.Store) {
	ctx := context.Background()
	put(t, store, numbered(Running(1, 1), 1, 9))
	if generation := forget(t, store, 1, 2); generation != 2 {
		t.Errorf("Delete leaves generation %d, want 2", generation)
	}
	if _, err := store.Put(ctx, numbered(Frozen(1, 2), 1, 10)); !errors.Is(err, cache.ErrForgotten) {
		t.Errorf("Put of an older generation: %v, want ErrForgotten", err)
	}
	store.PutLater(numbered(Frozen(1, 3), 1, 11))
	put(t, store, Running(2, 1)) // what was called before is done
	want(t, "Get of the forgotten", get(t, store, 1), nil)
	if generation := forget(t, store, 1, 2); generation != 3 {
		t.Errorf("Delete over generation 2 leaves %d, want 3", generation)
	}
	put(t, store, numbered(Running(3, 1), 7, 1))
	if generation := forget(t, store, 3, 2); generation != 8 {
		t.Errorf("Delete of an entry of generation 7 leaves %d, want 8", generation)
	}
	again := numbered(Running(1, 4), 3, 1)
	want(t, "Put of the generation left behind", put(t, store, again), stored(again))
}

func order(t *testing.T, store cache.Store) {
	for n := range 50 {
		store.PutLater(Running(n, 1))
		store.PutLater(Running(n, 2))
		put(t, store, Frozen(n, 3))
		want(t, "Get", get(t, store, n), stored(Frozen(n, 3)))
		store.PutLater(Running(n, 4))
	}
	put(t, store, Running(100, 1)) // everything before is settled now
	for n := range 50 {
		want(t, "Get after a late running entry", get(t, store, n), stored(Frozen(n, 3)))
	}
}

func deletes(t *testing.T, store cache.Store) {
	ctx := context.Background()
	if _, err := store.Delete(ctx, Key(1), 0); err != nil {
		t.Errorf("Delete of nothing: %v", err)
	}
	put(t, store, Frozen(1, 1))
	put(t, store, Frozen(2, 1))
	store.PutLater(Frozen(1, 2))
	if _, err := store.Delete(ctx, Key(1), 0); err != nil {
		t.Errorf("Delete: %v", err)
	}
	want(t, "Get of the deleted", get(t, store, 1), nil)
	want(t, "Get of the other", get(t, store, 2), stored(Frozen(2, 1)))
	want(t, "Put after Delete", put(t, store, Running(1, 3)), stored(Running(1, 3)))
	want(t, "Get", get(t, store, 1), stored(Running(1, 3)))
}

func partitions(t *testing.T, store cache.Store) {
	at := time.Date(2025, 10, 22, 10, 30, 0, 123456789, time.UTC)
	states := []cache.PartitionState{
		{Upstream: "orq", LastSuccess: at},
		{Upstream: "orq", LastSuccess: at.Add(time.Minute), Suspended: true},
		{Upstream: "orq", Suspended: true},
		{Upstream: "orq", LastSuccess: at.Add(time.Hour)},
		{Upstream: "orq", LastSuccess: at, Credential: [16]byte{1}, Of: *Key(9)},
	}
	for i, state := range states {
		store.PutPartition(Key(1), state)
		for _, when := range []string{"queued", "written"} {
			got, err := store.Partition(context.Background(), Key(1))
			if err != nil || got != state {
				t.Errorf("Partition, state %d, %s: %+v, %v, want %+v", i, when, got, err, state)
			}
			put(t, store, Running(1, i))
		}
	}
	if _, err := store.Partition(context.Background(), Key(2)); !errors.Is(err, cache.ErrNotFound) {
		t.Errorf("Partition of another: %v, want ErrNotFound", err)
	}
}

func future(t *testing.T, store cache.Store) {
	e := Running(1, 1)
	e.ObservedAt = time.Now().Add(time.Hour)
	e.FreshUntil = e.ObservedAt.Add(time.Hour)
	put(t, store, e)
	got := get(t, store, 1)
	if now := time.Now(); got.ObservedAt.After(now) || got.FreshUntil.After(now) || got.Fresh(now) {
		t.Errorf("an entry from the future came back observed at %v, fresh until %v; now is %v", got.ObservedAt, got.FreshUntil, now)
	}
	store.PutPartition(Key(1), cache.PartitionState{Upstream: "orq", LastSuccess: time.Now().Add(time.Hour)})
	put(t, store, e)
	state, err := store.Partition(context.Background(), Key(1))
	for until := time.Now().Add(5 * time.Second); err == nil && state.LastSuccess.After(time.Now()) && time.Now().Before(until); {
		time.Sleep(time.Millisecond) // what is on its way is as it was put
		state, err = store.Partition(context.Background(), Key(1))
	}
	if err != nil || state.LastSuccess.After(time.Now()) {
		t.Errorf("a success in the future came back as %v, %v", state.LastSuccess, err)
	}
}

func contextOver(t *testing.T, store cache.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	put(t, store, Running(1, 1))
	cancel()
	if _, err := store.Get(ctx, Key(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v, want %v", err, context.Canceled)
	}
	if _, err := store.Put(ctx, Running(1, 2)); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v, want %v", err, context.Canceled)
	}
	if _, err := store.Delete(ctx, Key(1), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Delete: %v, want %v", err, context.Canceled)
	}
	want(t, "Get", get(t, store, 1), stored(Running(1, 1)))
}

// oneKey lets running entries race with a frozen one: from the moment that its
// Put returned, nothing else is seen.
func oneKey(t *testing.T, store cache.Store) {
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 20 {
				if w%2 == 0 {
					store.PutLater(Running(1, i))
				} else if _, err := store.Put(context.Background(), Running(1, i)); err != nil {
					t.Errorf("Put: %v", err)
				}
			}
		})
	}
	put(t, store, Frozen(1, 99))
	for range 50 {
		want(t, "Get after the frozen Put", get(t, store, 1), stored(Frozen(1, 99)))
	}
	writers.Wait()
	want(t, "Get at the end", get(t, store, 1), stored(Frozen(1, 99)))
}

func manyKeys(t *testing.T, store cache.Store) {
	var callers sync.WaitGroup
	for c := range 16 {
		callers.Go(func() {
			for i := range 20 {
				n := c*1000 + i
				if _, err := store.Put(context.Background(), Frozen(n, c)); err != nil {
					t.Errorf("Put: %v", err)
					return
				}
				want(t, "Get", get(t, store, n), stored(Frozen(n, c)))
			}
		})
	}
	callers.Wait()
}

// model compares any sequence of calls with a map.
func model(t *testing.T, store cache.Store) {
	base := 0
	rapid.Check(t, func(rt *rapid.T) {
		base += 10 // fresh keys for each sequence
		known, left := map[int]*cache.Entry{}, map[int]uint64{}
		for range rapid.IntRange(1, 12).Draw(rt, "calls") {
			n := base + rapid.IntRange(0, 2).Draw(rt, "key")
			e := Running(n, rapid.IntRange(0, 1000).Draw(rt, "text"))
			if rapid.Bool().Draw(rt, "frozen") {
				e = Frozen(n, rapid.IntRange(0, 1000).Draw(rt, "text"))
			}
			e.Generation, e.Version = rapid.Uint64Range(0, 2).Draw(rt, "generation"), rapid.Uint64Range(0, 3).Draw(rt, "version")
			stands := known[n] != nil && !known[n].GivesWayTo(e)
			late := !stands && e.Generation < left[n]
			switch rapid.SampledFrom([]string{"put", "put", "later", "delete", "get"}).Draw(rt, "call") {
			case "put":
				if late {
					if _, err := store.Put(context.Background(), e); !errors.Is(err, cache.ErrForgotten) {
						rt.Fatalf("Put of generation %d after a Delete of %d: %v", e.Generation, left[n], err)
					}
					break
				}
				if !stands {
					known[n] = e
				}
				want(t, "Put", put(t, store, e), stored(known[n]))
			case "later":
				if !stands && !late {
					known[n] = e
				}
				store.PutLater(e)
				put(t, store, Running(base+5, 0))
			case "delete":
				generation := rapid.Uint64Range(0, 2).Draw(rt, "left")
				expected := generation
				if floor := max(left[n], generationOf(known[n])); generation > 0 && floor >= generation {
					expected = floor + 1
				}
				if got := forget(t, store, n, generation); got != expected {
					rt.Fatalf("Delete leaves generation %d, want %d", got, expected)
				}
				left[n] = max(left[n], expected)
				delete(known, n)
			}
			var expected *cache.Entry
			if known[n] != nil {
				expected = stored(known[n])
			}
			want(t, "Get", get(t, store, n), expected)
			if t.Failed() {
				rt.FailNow()
			}
		}
	})
}

func generationOf(e *cache.Entry) uint64 {
	if e == nil {
		return 0
	}
	return e.Generation
}

func closed(t *testing.T, store cache.Store) {
	ctx := context.Background()
	put(t, store, Running(1, 1))
	if err := store.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := store.Get(ctx, Key(1)); err == nil {
		t.Error("Get after Close: no error")
	}
	if _, err := store.Put(ctx, Running(1, 2)); err == nil {
		t.Error("Put after Close: no error")
	}
	if _, err := store.Delete(ctx, Key(1), 0); err == nil {
		t.Error("Delete after Close: no error")
	}
	store.PutLater(Running(1, 3))
	store.PutPartition(Key(1), cache.PartitionState{Upstream: "orq"})
}
