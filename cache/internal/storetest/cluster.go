package storetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pollux/cache"
)

// lease is longer than any check takes, shortLease one that a check waits out.
const (
	lease      = time.Minute
	shortLease = 50 * time.Millisecond
)

// RunCluster runs all checks of a cache.Cluster of one process, each on an empty
// one from open, which RunCluster closes.
func RunCluster(t *testing.T, open func(t *testing.T) cache.Cluster) {
	for name, check := range map[string]func(*testing.T, cache.Cluster){
		"one poll at a time":              onePoll,
		"one of many polls":               oneOfMany,
		"a lease that ran out":            ranOut,
		"a lease that ran out, unchanged": ranOutUnchanged,
		"a new generation voids a lease":  voided,
		"fresh is not asked for":          freshStands,
		"what is newer comes along":       newerComes,
		"a look takes nothing":            looks,
		"budget":                          budget,
		"pause":                           pause,
		"state of the partition":          stateComes,
		"versions grow":                   versionsGrow,
		"commit later":                    commitLater,
		"alone":                           alone,
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t)
			defer func() {
				if err := c.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}()
			check(t, c)
		})
	}
}

// poll is a poll of the n-th task by somebody who has nothing.
func poll(n int) *cache.Poll {
	return &cache.Poll{Key: *Key(n), Credential: *Key(-1 - n%3), Lease: lease}
}

func begin(t testing.TB, c cache.Cluster, p *cache.Poll) *cache.Grant {
	t.Helper()
	g, err := c.Begin(context.Background(), p)
	if err != nil {
		t.Fatalf("Begin: %v", err)
	}
	return g
}

// granted is begin where a token must come.
func granted(t testing.TB, c cache.Cluster, p *cache.Poll) *cache.Grant {
	t.Helper()
	g := begin(t, c, p)
	if g.Token == 0 || g.Busy != 0 || g.Spent != 0 || g.Paused != 0 {
		t.Fatalf("Begin = %+v, want a token and no wait", g)
	}
	return g
}

// refused is begin where no token may come.
func refused(t testing.TB, c cache.Cluster, p *cache.Poll) *cache.Grant {
	t.Helper()
	g := begin(t, c, p)
	if g.Token != 0 {
		t.Fatalf("Begin = %+v, want no token", g)
	}
	return g
}

// said is the report of a poll that found e, nil for nothing new.
func said(p *cache.Poll, g *cache.Grant, e *cache.Entry) *cache.Report {
	r := &cache.Report{Key: p.Key, Credential: p.Credential, Generation: g.Generation, Token: g.Token, Budget: p.Budget}
	if e != nil {
		e.Generation, e.Version = g.Generation, g.Token
		r.Entry, r.ObservedAt, r.FreshUntil = e, e.ObservedAt, e.FreshUntil
	}
	return r
}

func commit(t testing.TB, c cache.Cluster, r *cache.Report) *cache.Entry {
	t.Helper()
	e, err := c.Commit(context.Background(), r)
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	return e
}

func forget(t testing.TB, c cache.Store, n int, generation uint64) uint64 {
	t.Helper()
	got, err := c.Delete(context.Background(), Key(n), generation)
	if err != nil {
		t.Fatalf("Delete: %v", err)
	}
	return got
}

func onePoll(t *testing.T, c cache.Cluster) {
	first := granted(t, c, poll(1))
	if g := refused(t, c, poll(1)); g.Busy <= 0 || g.Busy > lease {
		t.Errorf("a second poll is busy for %v, want up to %v", g.Busy, lease)
	}
	granted(t, c, poll(2)) // another task is nobody's business
	e := Running(1, 1)
	want(t, "Commit", commit(t, c, said(poll(1), first, e)), stored(e))
	second := poll(1)
	second.Version = e.Version
	g := granted(t, c, second)
	if g.Token <= first.Token {
		t.Errorf("token %d after %d", g.Token, first.Token)
	}
	if got := commit(t, c, said(second, g, nil)); got != nil {
		t.Errorf("Commit of nothing new = %+v", got)
	}
	granted(t, c, second)
	want(t, "Get", get(t, c, 1), stored(e))
}

func oneOfMany(t *testing.T, c cache.Cluster) {
	var tokens, unanswered atomic.Int64
	var polls sync.WaitGroup
	for range 32 {
		polls.Go(func() {
			switch g, err := c.Begin(context.Background(), poll(1)); {
			case errors.Is(err, cache.ErrUnavailable): // on a busy machine; it may have been granted
				unanswered.Add(1)
			case err != nil:
				t.Errorf("Begin: %v", err)
			case g.Token != 0:
				tokens.Add(1)
			}
		})
	}
	if polls.Wait(); tokens.Load() != 1 && !(tokens.Load() == 0 && unanswered.Load() > 0) {
		t.Errorf("%d of 32 polls at once were granted, want 1", tokens.Load())
	}
}

func ranOut(t *testing.T, c cache.Cluster) {
	p := poll(1)
	p.Lease = shortLease
	late := granted(t, c, p)
	time.Sleep(2 * shortLease)
	next := granted(t, c, poll(1))
	if _, err := c.Commit(context.Background(), said(p, late, Frozen(1, 1))); !errors.Is(err, cache.ErrSuperseded) {
		t.Errorf("Commit after a later grant: %v, want ErrSuperseded", err)
	}
	e := Running(1, 2)
	commit(t, c, said(poll(1), next, e))
	want(t, "Commit after a later Commit", commit(t, c, said(p, late, Frozen(1, 1))), stored(e))
	want(t, "Get", get(t, c, 1), stored(e))
}

// ranOutUnchanged: a poll that found nothing new is later all the same.
func ranOutUnchanged(t *testing.T, c cache.Cluster) {
	e := Running(1, 1)
	commit(t, c, said(poll(1), granted(t, c, poll(1)), e))
	p := poll(1)
	p.Lease, p.Version = shortLease, e.Version
	late := granted(t, c, p)
	time.Sleep(2 * shortLease)
	commit(t, c, said(p, granted(t, c, p), nil))
	want(t, "Commit of an older poll", commit(t, c, said(p, late, Running(1, 2))), stored(e))
	want(t, "Get", get(t, c, 1), stored(e))
}

func voided(t *testing.T, c cache.Cluster) {
	before := granted(t, c, poll(1))
	generation := forget(t, c, 1, before.Generation+1)
	if generation != before.Generation+1 {
		t.Errorf("Delete left generation %d behind, want %d", generation, before.Generation+1)
	}
	if _, err := c.Commit(context.Background(), said(poll(1), before, Frozen(1, 1))); !errors.Is(err, cache.ErrForgotten) {
		t.Errorf("Commit of what was forgotten: %v, want ErrForgotten", err)
	}
	want(t, "Get", get(t, c, 1), nil)
	before = granted(t, c, poll(2))
	forget(t, c, 2, before.Generation+1)
	p := poll(2)
	p.Generation = before.Generation + 1
	after := granted(t, c, p)
	if after.Generation != p.Generation {
		t.Errorf("generation %d granted, want %d", after.Generation, p.Generation)
	}
	e := Running(2, 1)
	want(t, "Commit in the new generation", commit(t, c, said(p, after, e)), stored(e))
	if again := forget(t, c, 2, 1); again <= after.Generation {
		t.Errorf("Delete left generation %d behind over one of %d", again, after.Generation)
	}
}

func freshStands(t *testing.T, c cache.Cluster) {
	e := Running(1, 1)
	e.ObservedAt = time.Now().UTC()
	e.FreshUntil = e.ObservedAt.Add(time.Hour)
	commit(t, c, said(poll(1), granted(t, c, poll(1)), e))
	// Alone what runs is fresh only as long as the process knows it to be, or the
	// upstream asked for.
	if _, one := c.(*cache.Solo); !one {
		g := refused(t, c, poll(1))
		if g.Entry == nil || g.Entry.ETag != e.ETag || time.Until(g.FreshUntil) < time.Minute || time.Since(g.ObservedAt) > time.Minute {
			t.Errorf("Begin where an hour is left = %+v, %+v", g, g.Entry)
		}
		p := poll(1)
		p.Version = e.Version
		if g := refused(t, c, p); g.Entry != nil || time.Until(g.FreshUntil) < time.Minute {
			t.Errorf("Begin of who has what stands = %+v", g)
		}
	}
	p := poll(1)
	p.Force = true
	granted(t, c, p)
	asked := Running(4, 1)
	asked.ObservedAt, asked.Asked = time.Now().UTC(), time.Hour
	asked.FreshUntil = asked.ObservedAt.Add(time.Hour)
	commit(t, c, said(poll(4), granted(t, c, poll(4)), asked))
	if g := refused(t, c, poll(4)); g.Entry == nil || g.Entry.Asked < time.Minute || time.Until(g.FreshUntil) < time.Minute {
		t.Errorf("Begin where the upstream asked for an hour = %+v, %+v", g, g.Entry)
	}
	ended := Running(3, 1)
	ended.Terminal, ended.ObservedAt, ended.Asked = true, time.Now().UTC(), 0
	ended.FreshUntil = ended.ObservedAt.Add(time.Hour)
	commit(t, c, said(poll(3), granted(t, c, poll(3)), ended))
	if g := refused(t, c, poll(3)); g.Entry == nil || time.Until(g.FreshUntil) < time.Minute {
		t.Errorf("Begin where what ended is good for an hour = %+v, %+v", g, g.Entry)
	}
	done := Frozen(2, 1)
	commit(t, c, said(poll(2), granted(t, c, poll(2)), done))
	if g := refused(t, c, poll(2)); g.Entry == nil || !g.Entry.Frozen {
		t.Errorf("Begin where a frozen entry stands = %+v", g)
	}
}

func newerComes(t *testing.T, c cache.Cluster) {
	if g := begin(t, c, poll(1)); g.Entry != nil || !g.ObservedAt.IsZero() {
		t.Errorf("Begin where nothing stands = %+v", g)
	} else {
		commit(t, c, said(poll(1), g, Running(1, 1)))
	}
	g := granted(t, c, poll(1))
	if g.Entry == nil || g.Entry.ETag != `W/"1"` {
		t.Errorf("Begin of who has nothing: %+v", g)
	}
	p := poll(1)
	p.Generation, p.Version = g.Entry.Generation, g.Entry.Version
	commit(t, c, said(p, g, nil))
	if g := granted(t, c, p); g.Entry != nil {
		t.Errorf("Begin of who has what stands brings %+v", g.Entry)
	}
}

// looks: a poll without a lease learns what stands, and of which generation,
// whether it is fresh or somebody asks.
func looks(t *testing.T, c cache.Cluster) {
	look := *poll(1)
	look.Lease, look.Budget = 0, &cache.Budget{Requests: 1, Per: time.Hour}
	if g := refused(t, c, &look); g.Entry != nil || g.Busy > 0 {
		t.Errorf("a look where nothing stands = %+v", g)
	}
	spend := look
	spend.Key, spend.Lease = *Key(4), lease
	granted(t, c, &spend) // the look has spent nothing
	g := granted(t, c, poll(1))
	e := Running(1, 1)
	e.ObservedAt = time.Now().UTC()
	e.FreshUntil = e.ObservedAt.Add(time.Hour)
	if g := refused(t, c, &look); g.Busy > 0 {
		t.Errorf("a look while somebody asks = %+v", g)
	}
	commit(t, c, said(poll(1), g, e))
	_, one := c.(*cache.Solo)
	if g := refused(t, c, &look); g.Entry == nil || g.Entry.ETag != e.ETag || !one && time.Until(g.FreshUntil) < time.Minute {
		t.Errorf("a look at what stands = %+v", g)
	}
	late := look
	late.Generation = 7 // it was declared void here, and nobody else knows
	if g := refused(t, c, &late); g.Entry != nil || g.Generation != 7 {
		t.Errorf("a look past what stands = %+v", g)
	}
	left := forget(t, c, 1, 1)
	if !one {
		if g := refused(t, c, &look); g.Entry != nil || g.Generation != left {
			t.Errorf("a look at what was forgotten = %+v, want generation %d", g, left)
		}
	}
}

func budget(t *testing.T, c cache.Cluster) {
	p := poll(0)
	p.Budget = &cache.Budget{Requests: 1, Per: time.Hour, Burst: 3}
	var grants []*cache.Grant
	for range 3 {
		p.Key = *Key(len(grants))
		grants = append(grants, granted(t, c, p))
	}
	p.Key = *Key(3)
	if g := refused(t, c, p); g.Spent < 50*time.Minute || g.Spent > time.Hour || g.Busy != 0 {
		t.Errorf("a fourth request of three: %+v", g)
	}
	busy := *p
	busy.Key = *Key(0)
	if g := refused(t, c, &busy); g.Busy == 0 || g.Spent != 0 {
		t.Errorf("a poll that somebody else makes: %+v, want it busy before it is spent", g)
	}
	other := *p
	other.Key, other.Credential = *Key(50), *Key(-50)
	granted(t, c, &other)
	unsent := said(p, grants[2], nil)
	unsent.Key, unsent.Unsent = *Key(2), true
	commit(t, c, unsent)
	granted(t, c, p)
	p.Key = *Key(4)
	refused(t, c, p)
}

func pause(t *testing.T, c cache.Cluster) {
	p := poll(0)
	r := said(p, granted(t, c, p), nil)
	r.Pause = time.Minute
	commit(t, c, r)
	p.Key = *Key(3)
	if g := refused(t, c, p); g.Paused < 50*time.Second || g.Paused > time.Minute {
		t.Errorf("Begin in a pause of a minute: %+v", g)
	}
	r = &cache.Report{Key: *Key(9), Credential: p.Credential, Pause: time.Millisecond}
	commit(t, c, r)
	if g := refused(t, c, p); g.Paused < 50*time.Second {
		t.Errorf("a shorter pause cut the longer one to %v", g.Paused)
	}
	p.Credential = *Key(-60)
	granted(t, c, p)
}

func stateComes(t *testing.T, c cache.Cluster) {
	p := poll(1)
	g := granted(t, c, p)
	if g.Known {
		t.Errorf("a state that nobody told: %+v", g.State)
	}
	r := said(p, g, nil)
	r.State = &cache.PartitionState{Upstream: "orq", Suspended: true, Credential: [16]byte{1, 2}}
	commit(t, c, r)
	if g := granted(t, c, p); !g.Known || g.State != *r.State {
		t.Errorf("Begin brings %v %+v, want %+v", g.Known, g.State, *r.State)
	}
	p = poll(2)
	c.PutPartition(&p.Credential, cache.PartitionState{Upstream: "vessl"})
	put(t, c, Running(7, 1)) // it is written now
	if g := granted(t, c, p); !g.Known || g.State.Upstream != "vessl" {
		t.Errorf("Begin after PutPartition brings %v %+v", g.Known, g.State)
	}
}

func versionsGrow(t *testing.T, c cache.Cluster) {
	var last uint64
	for n := range 20 {
		g := granted(t, c, poll(n))
		v, err := c.Next(context.Background())
		if err != nil || g.Token <= last || v <= g.Token {
			t.Fatalf("token %d, then version %d, %v, after %d", g.Token, v, err, last)
		}
		last = v
	}
}

func commitLater(t *testing.T, c cache.Cluster) {
	g := granted(t, c, poll(1))
	e := Running(1, 1)
	c.CommitLater(said(poll(1), g, e))
	for deadline := time.Now().Add(20 * time.Second); get(t, c, 1) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("what CommitLater was given is never there")
		}
	}
	want(t, "Get", get(t, c, 1), stored(e))
	p := poll(1)
	p.Version = e.Version
	granted(t, c, p) // the lease is given back
}

func alone(t *testing.T, c cache.Cluster) {
	if !c.Current() {
		t.Error("notices do not flow in a cluster that nobody cut")
	}
	m := c.Members()
	if len(m.All) != 1 || m.Owned() != cache.Slots || !m.Owns(Key(5)) {
		t.Errorf("members %+v own %d of %d slots", m.All, m.Owned(), cache.Slots)
	}
}
