package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pollux/cache"
)

// Replica is one process of a cluster, and its outbox.
type Replica interface {
	cache.Cluster
	cache.Outbox
	cache.Claims
	cache.Accounts
}

// RunReplicas runs all checks of a cluster of several processes. open joins one
// more to an empty cluster of its own for each check.
func RunReplicas(t *testing.T, open func(t *testing.T) (join func() Replica)) {
	RunSharing(t, func(t *testing.T) func() cache.Cluster {
		join := open(t)
		return func() cache.Cluster { return join() }
	})
	t.Run("one attempt", func(t *testing.T) { oneAttempt(t, open(t)) })
	t.Run("accounts", func(t *testing.T) { oneAccount(t, open(t)) })
	t.Run("one change", func(t *testing.T) { oneChange(t, open(t)) })
}

// RunSharing is RunReplicas without the checks of an outbox.
func RunSharing(t *testing.T, open func(t *testing.T) (join func() cache.Cluster)) {
	for name, check := range map[string]func(*testing.T, func() cache.Cluster){
		"one poll for all":         pollForAll,
		"what one found":           foundByOne,
		"forgotten by one":         forgottenByOne,
		"one budget, one pause":    sharedCredential,
		"notices":                  noticesComeOnce,
		"notices that are awaited": noticesAwaited,
		"slots":                    slots,
		"many writers of few keys": fewKeys,
	} {
		t.Run(name, func(t *testing.T) { check(t, open(t)) })
	}
}

func pollForAll(t *testing.T, join func() cache.Cluster) {
	a, b := join(), join()
	g := granted(t, a, poll(1))
	if g := refused(t, b, poll(1)); g.Busy <= 0 {
		t.Errorf("Begin of another replica = %+v, want it busy", g)
	}
	e := Running(1, 1)
	commit(t, a, said(poll(1), g, e))
	if g := granted(t, b, poll(1)); g.Entry == nil || g.Entry.ETag != e.ETag {
		t.Errorf("Begin after the Commit of another replica = %+v", g)
	}
}

func foundByOne(t *testing.T, join func() cache.Cluster) {
	a, b := join(), join()
	late := poll(1)
	late.Lease = shortLease
	first := granted(t, a, late)
	time.Sleep(2 * shortLease)
	second := granted(t, b, poll(1))
	e := Frozen(1, 2)
	commit(t, b, said(poll(1), second, e))
	want(t, "Commit of the replica that was late", commit(t, a, said(late, first, Running(1, 1))), stored(e))
	want(t, "Get of the other replica", get(t, a, 1), stored(e))
	state := cache.PartitionState{Upstream: "orq", Suspended: true}
	r := said(poll(4), granted(t, a, poll(4)), nil)
	r.State = &state
	commit(t, a, r)
	if g := granted(t, b, poll(4)); !g.Known || g.State != state {
		t.Errorf("a suspension that another replica met: %+v", g)
	}
}

func forgottenByOne(t *testing.T, join func() cache.Cluster) {
	a, b := join(), join()
	g := granted(t, a, poll(1))
	left := forget(t, b, 1, g.Generation+1)
	if _, err := a.Commit(context.Background(), said(poll(1), g, Frozen(1, 1))); !errors.Is(err, cache.ErrForgotten) {
		t.Errorf("Commit of what another replica forgot: %v, want ErrForgotten", err)
	}
	if again := granted(t, a, poll(1)); again.Generation != left {
		t.Errorf("generation %d granted, want the %d that was left behind", again.Generation, left)
	}
	if both := forget(t, a, 1, left); both <= left {
		t.Errorf("two replicas that forget leave %d and %d behind", left, both)
	}
}

func sharedCredential(t *testing.T, join func() cache.Cluster) {
	a, b := join(), join()
	p := poll(0)
	p.Budget = &cache.Budget{Requests: 1, Per: time.Hour, Burst: 4}
	for n := range 4 {
		p.Key = *Key(n)
		granted(t, []cache.Cluster{a, b}[n%2], p)
	}
	p.Key = *Key(9)
	for _, c := range []cache.Cluster{a, b} {
		if g := refused(t, c, p); g.Spent <= 0 {
			t.Errorf("a fifth request of four: %+v", g)
		}
	}
	q := poll(10)
	r := said(q, granted(t, a, q), nil)
	r.Pause = time.Minute
	commit(t, a, r)
	if g := refused(t, b, q); g.Paused <= 0 {
		t.Errorf("a pause that another replica was told: %+v", g)
	}
}

// hearing keeps what a replica heard.
type hearing struct {
	mu   sync.Mutex
	keys []cache.Notice
	lost int
}

func (h *hearing) heard(news []cache.Notice, lost bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keys = append(h.keys, news...)
	if lost {
		h.lost++
	}
}

func (h *hearing) all() []cache.Notice {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.keys)
}

func noticesComeOnce(t *testing.T, join func() cache.Cluster) {
	a, b := join(), join()
	var atA, atB hearing
	a.Listen(atA.heard)
	b.Listen(atB.heard)
	Eventually(t, "both know of each other", func() bool { return len(a.Members().All) == 2 && len(b.Members().All) == 2 })
	const n = 150
	var writers sync.WaitGroup
	for i := range n {
		writers.Go(func() {
			if _, err := a.Put(context.Background(), numbered(Running(i, 1), 1, uint64(i+1))); err != nil {
				t.Errorf("Put: %v", err)
			}
		})
	}
	writers.Wait()
	forget(t, a, 0, 5)
	Eventually(t, "all is heard", func() bool { return len(atB.all()) >= n+1 })
	seen := map[cache.Notice]int{}
	for _, notice := range atB.all() {
		seen[notice]++
	}
	for i := range n {
		if got := seen[cache.Notice{Key: *Key(i), Generation: 1, Version: uint64(i + 1)}]; got != 1 {
			t.Errorf("task %d was heard of %d times, want once", i, got)
		}
	}
	if last := atB.all()[n]; last != (cache.Notice{Key: *Key(0), Generation: 5}) {
		t.Errorf("the last notice is %+v, want that of the forgotten task", last)
	}
	if own := atA.all(); len(own) > 0 {
		t.Errorf("a replica heard %d notices of its own", len(own))
	}
	if !a.Current() || !b.Current() {
		t.Error("notices do not flow")
	}
}

// noticesAwaited: who was told that somebody else asks hears of the end of that
// poll, also if it found nothing new; and replicas hear of what became of a
// credential.
func noticesAwaited(t *testing.T, join func() cache.Cluster) {
	a, b := join(), join()
	var atB hearing
	b.Listen(atB.heard)
	Eventually(t, "both know of each other", func() bool { return len(a.Members().All) == 2 && len(b.Members().All) == 2 })
	e := Running(1, 1)
	commit(t, a, said(poll(1), granted(t, a, poll(1)), e))
	again := poll(1)
	again.Version = e.Version
	commit(t, a, said(again, granted(t, a, again), nil)) // nobody waits
	g := granted(t, a, again)
	refused(t, b, again)
	refused(t, b, again)
	commit(t, a, said(again, g, nil))
	a.PutPartition(Key(-7), cache.PartitionState{Upstream: "orq", Suspended: true})
	want := []cache.Notice{{Key: *Key(1), Version: e.Version}, {Key: *Key(1), Version: g.Token}, {Key: *Key(-7)}}
	Eventually(t, "all is heard", func() bool { return len(atB.all()) >= len(want) })
	if got := atB.all(); !slices.Equal(got, want) {
		t.Errorf("heard %v, want %v", got, want)
	}
}

func slots(t *testing.T, join func() cache.Cluster) {
	a, b := join(), join()
	Eventually(t, "slots are shared", func() bool {
		return len(a.Members().All) == 2 && len(b.Members().All) == 2 && a.Members().Owned()+b.Members().Owned() == cache.Slots
	})
	for n := range 100 {
		if a.Members().Owns(Key(n)) == b.Members().Owns(Key(n)) {
			t.Fatalf("key %d has two owners, or none", n)
		}
	}
	if err := b.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	Eventually(t, "who stays takes over", func() bool { return a.Members().Owned() == cache.Slots })
}

func oneAttempt(t *testing.T, join func() Replica) {
	a, b := join(), join()
	ctx := context.Background()
	if err := a.PutWebhook(ctx, cache.Webhook{ID: "w", Value: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	a.OnPut(func(*cache.Entry) []cache.Delivery {
		return []cache.Delivery{{ID: "d", Webhook: "w", Payload: []byte("p"), State: []byte("s")}}
	})
	b.OnPut(func(*cache.Entry) []cache.Delivery {
		return []cache.Delivery{{ID: "d", Webhook: "w", Payload: []byte("p"), State: []byte("s")}}
	})
	put(t, a, numbered(Running(1, 1), 0, 1))
	put(t, b, numbered(Frozen(1, 2), 0, 2))
	_, deliveries, err := b.Webhooks(ctx)
	if err != nil || len(deliveries) != 1 {
		t.Fatalf("%d deliveries, %v, want 1", len(deliveries), err)
	}
	claim := func(o cache.Claims, attempt int, hold time.Duration, want bool) {
		t.Helper()
		if got, err := o.Claim(ctx, "d", attempt, hold); err != nil || got != want {
			t.Errorf("Claim of attempt %d = %v, %v, want %v", attempt, got, err, want)
		}
	}
	claim(a, 1, time.Minute, true)
	claim(b, 1, time.Minute, false)
	claim(b, 2, shortLease, true)
	claim(a, 1, time.Minute, false)
	time.Sleep(2 * shortLease)
	claim(a, 2, time.Minute, true)
	claim(a, 3, time.Minute, true)
}

// oneChange: of two replicas that change what they have read of a webhook, the
// second is told, and nobody brings back what has ended.
func oneChange(t *testing.T, join func() Replica) {
	a, b := join(), join()
	ctx := context.Background()
	if err := a.PutWebhook(ctx, cache.Webhook{ID: "w", Value: []byte("first")}); err != nil {
		t.Fatal(err)
	}
	swap := func(r Replica, before, after string, want bool) {
		t.Helper()
		if got, err := r.SwapWebhook(ctx, sha256.Sum256([]byte(before)), cache.Webhook{ID: "w", Value: []byte(after)}); err != nil || got != want {
			t.Errorf("SwapWebhook of %s by %s = %v, %v, want %v", before, after, got, err, want)
		}
	}
	swap(a, "first", "second", true)
	swap(b, "first", "third", false)
	if w, _, err := b.Webhook(ctx, "w"); err != nil || string(w.Value) != "second" {
		t.Errorf("what stands is %q, %v", w.Value, err)
	}
	swap(b, "second", "third", true)
	if err := a.DeleteWebhook(ctx, "w"); err != nil {
		t.Fatal(err)
	}
	swap(b, "third", "fourth", false)
	if webhooks, _, err := b.Webhooks(ctx); err != nil || len(webhooks) != 0 {
		t.Errorf("%d webhooks after the end of the only one, %v", len(webhooks), err)
	}
}

// oneAccount: what replicas add to an account at the same time is all in it.
func oneAccount(t *testing.T, join func() Replica) {
	replicas, ctx := []Replica{join(), join(), join()}, context.Background()
	var adding sync.WaitGroup
	for _, r := range replicas {
		adding.Go(func() {
			for range 10 {
				if err := r.Account(ctx, "n", func(kept []byte) ([]byte, error) { return append(kept, 'x'), nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	adding.Wait()
	refused := errors.New("no change")
	err := replicas[0].Account(ctx, "n", func(kept []byte) ([]byte, error) {
		if len(kept) != 30 {
			t.Errorf("30 additions came to %q", kept)
		}
		return nil, refused
	})
	if !errors.Is(err, refused) {
		t.Errorf("Account = %v, want what change returned", err)
	}
	_ = replicas[1].Account(ctx, "other", func(kept []byte) ([]byte, error) {
		if kept != nil {
			t.Errorf("an account that nobody changed is %q", kept)
		}
		return kept, nil
	})
}

// fewKeys: batches of several replicas over the same keys do not wait for each
// other in a circle, and the newest stands in the end.
func fewKeys(t *testing.T, join func() cache.Cluster) {
	replicas := []cache.Cluster{join(), join(), join()}
	const keys, rounds = 20, 30
	var writers sync.WaitGroup
	for i, c := range replicas {
		for w := range 4 {
			writers.Go(func() {
				for round := range rounds {
					n := (round*7 + w*3 + i) % keys
					version := uint64(round*100 + w*10 + i + 1)
					r := &cache.Report{Key: *Key(n), Credential: *Key(-1 - n%3), Entry: numbered(Running(n, int(version)), 0, version), Pause: time.Nanosecond}
					r.State = &cache.PartitionState{Upstream: fmt.Sprint(i)}
					if _, err := c.Commit(context.Background(), r); err != nil {
						t.Errorf("Commit: %v", err)
					}
				}
			})
		}
	}
	writers.Wait()
	for n := range keys {
		newest := uint64(0)
		for i := range replicas {
			for w := range 4 {
				for round := range rounds {
					if (round*7+w*3+i)%keys == n {
						newest = max(newest, uint64(round*100+w*10+i+1))
					}
				}
			}
		}
		for _, c := range replicas {
			if e := get(t, c, n); newest > 0 && (e == nil || e.Version != newest) {
				t.Errorf("task %d ended as %+v, want version %d", n, e, newest)
			}
		}
	}
}

// Eventually waits until done, for longer than anything takes on a busy machine.
func Eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not yet", what)
		}
	}
}
