// Package clustertest is a store in memory that several replicas share, for
// tests of what they do through it: calls take time, replicas lose the store and
// find it again, and notices are late or cut. It keeps the contract of
// cache.Cluster as the real ones do, and runs in the time of testing/synctest.
package clustertest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"pollux/cache"
)

const (
	// ownEvery is how often a replica hears of itself, and silence how long it
	// may hear nothing before notices do not flow.
	ownEvery = 300 * time.Millisecond
	silence  = 800 * time.Millisecond
)

// Faults are how long calls and notices take, each time anew; nil: no time.
type Faults struct {
	Call, Notice func() time.Duration
}

// Shared is what replicas share. It is safe for concurrent use.
type Shared struct {
	faults Faults

	mu          sync.Mutex // guards what follows, also of the replicas
	version     uint64
	entries     map[cache.ID]*cache.Entry
	forgotten   map[cache.ID]uint64
	polls       map[cache.ID]*poll
	credentials map[cache.ID]*credential
	states      map[cache.ID]cache.PartitionState
	replicas    []*Replica
	joined      int
}

// poll is who asks about a task, and when it was last asked.
type poll struct {
	token, generation uint64
	until             time.Time
	fetched, fresh    time.Time
	awaited           bool
}

type credential struct{ due, paused time.Time }

// New returns an empty store.
func New(faults Faults) *Shared {
	none := func() time.Duration { return 0 }
	if faults.Call == nil {
		faults.Call = none
	}
	if faults.Notice == nil {
		faults.Notice = none
	}
	return &Shared{
		faults: faults, entries: map[cache.ID]*cache.Entry{}, forgotten: map[cache.ID]uint64{}, polls: map[cache.ID]*poll{},
		credentials: map[cache.ID]*credential{}, states: map[cache.ID]cache.PartitionState{},
	}
}

// Replica is one process's way to the store. It implements cache.Cluster.
type Replica struct {
	shared *Shared
	id     string
	wake   chan struct{} // of capacity 1: something is queued
	ended  chan struct{}
	stop   chan struct{}
	close  sync.Once

	// Guarded by Shared.mu:
	queued             []func(away bool) // writes, in the order of the calls
	closed             bool
	away, cut, missing bool
	inbox              []cache.Notice
	own                bool // a notice of its own is in the inbox
	at                 time.Time
	heard              func([]cache.Notice, bool)
}

var _ cache.Cluster = (*Replica)(nil)

// Join adds a replica, which must be closed.
func (s *Shared) Join() *Replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &Replica{shared: s, id: fmt.Sprint(s.joined), wake: make(chan struct{}, 1), ended: make(chan struct{}), stop: make(chan struct{}), at: time.Now()}
	s.joined++
	s.replicas = append(s.replicas, r)
	go r.run()
	return r
}

// run writes what is queued and hears notices.
func (r *Replica) run() {
	defer close(r.ended)
	next := time.NewTimer(r.shared.faults.Notice())
	defer next.Stop()
	own := time.NewTicker(ownEvery)
	defer own.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-r.wake:
			time.Sleep(r.shared.faults.Call())
			r.shared.mu.Lock()
			r.flush()
			r.shared.mu.Unlock()
		case <-own.C:
			r.shared.mu.Lock()
			r.own = true
			r.shared.mu.Unlock()
		case <-next.C:
			r.hear()
			next.Reset(max(time.Millisecond, r.shared.faults.Notice()))
		}
	}
}

func (r *Replica) hear() {
	s := r.shared
	s.mu.Lock()
	news, own, heard := r.inbox, r.own, r.heard
	if r.inbox, r.own = nil, false; r.cut {
		r.missing = r.missing || len(news) > 0 || own
	}
	if r.cut || r.away || len(news) == 0 && !own {
		r.missing = r.missing || r.away && len(news) > 0
		s.mu.Unlock()
		return
	}
	lost := r.missing
	r.missing, r.at = false, time.Now()
	s.mu.Unlock()
	if heard != nil && (lost || len(news) > 0) {
		heard(news, lost)
	}
}

// Lose takes the store from the replica, or gives it back.
func (r *Replica) Lose(lost bool) {
	r.shared.mu.Lock()
	defer r.shared.mu.Unlock()
	r.away, r.missing = lost, true
}

// Cut has the replica hear nothing, until it is whole again.
func (r *Replica) Cut(cut bool) {
	r.shared.mu.Lock()
	defer r.shared.mu.Unlock()
	r.cut = cut
	r.missing = true
}

// Away reports whether the store was lost.
func (r *Replica) Away() bool {
	r.shared.mu.Lock()
	defer r.shared.mu.Unlock()
	return r.away
}

// call does f, after a time, unless the store is lost.
func (r *Replica) call(ctx context.Context, f func()) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.stop:
		return cache.ErrUnavailable
	case <-time.After(r.shared.faults.Call()):
	}
	r.shared.mu.Lock()
	defer r.shared.mu.Unlock()
	if r.away {
		return cache.ErrUnavailable
	}
	f()
	return nil
}

// later queues f. The lock is held.
func (r *Replica) later(f func(away bool)) {
	r.queued = append(r.queued, f)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// flush does what is queued. The lock is held.
func (r *Replica) flush() {
	for _, f := range r.queued {
		f(r.away || r.closed)
	}
	r.queued = nil
}

// now does f after what is queued, at once: the engine waits for it with the lock
// of a task held, for which others wait, and synctest's time would stand still.
func (r *Replica) now(ctx context.Context, f func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.shared.mu.Lock()
	defer r.shared.mu.Unlock()
	r.flush()
	if r.away || r.closed {
		return cache.ErrUnavailable
	}
	f()
	return nil
}

// notify tells all replicas but the source. The lock is held.
func (s *Shared) notify(source *Replica, n cache.Notice) {
	for _, r := range s.replicas {
		if r != source {
			r.inbox = append(r.inbox, n)
		}
	}
}

func (s *Shared) pollOf(key *cache.ID) *poll {
	p := s.polls[*key]
	if p == nil {
		p = &poll{}
		s.polls[*key] = p
	}
	return p
}

func (s *Shared) credentialOf(id *cache.ID) *credential {
	c := s.credentials[*id]
	if c == nil {
		c = &credential{}
		s.credentials[*id] = c
	}
	return c
}

func stored(e *cache.Entry) *cache.Entry {
	c := *e
	c.Stored = true
	return &c
}

// Begin implements cache.Cluster.
func (r *Replica) Begin(ctx context.Context, q *cache.Poll) (g *cache.Grant, err error) {
	err = r.call(ctx, func() { g = r.shared.begin(q) })
	return g, err
}

func (s *Shared) begin(q *cache.Poll) *cache.Grant {
	now, p, c := time.Now(), s.pollOf(&q.Key), s.credentialOf(&q.Credential)
	g := &cache.Grant{Generation: max(q.Generation, s.forgotten[q.Key])}
	g.State, g.Known = s.states[q.Credential], false
	if _, known := s.states[q.Credential]; known {
		g.Known = true
	}
	e := s.entries[q.Key]
	fresh := false
	if e != nil {
		g.Generation = max(g.Generation, e.Generation)
		if cmp.Or(cmp.Compare(e.Generation, q.Generation), cmp.Compare(e.Version, q.Version)) > 0 {
			g.Entry = stored(e)
			g.ObservedAt, g.FreshUntil = e.ObservedAt, e.FreshUntil
		}
		if !p.fetched.IsZero() && p.generation == g.Generation {
			g.ObservedAt, g.FreshUntil = p.fetched, p.fresh
			fresh = now.Before(p.fresh)
		}
		fresh = fresh || e.Frozen && e.Generation == g.Generation
	}
	switch g.Paused = max(0, c.paused.Sub(now)); {
	case fresh && !q.Force && q.Lease > 0, q.Lease == 0:
		g.Paused = 0
		return g
	case g.Paused > 0:
		return g
	case now.Before(p.until) && p.generation >= g.Generation:
		g.Busy, p.awaited = p.until.Sub(now), true
		return g
	}
	if q.Budget != nil {
		if c.due, g.Spent = q.Budget.Spend(c.due, now); g.Spent > 0 {
			return g
		}
	}
	s.version++
	g.Token = s.version
	p.token, p.generation, p.until, p.awaited = g.Token, g.Generation, now.Add(q.Lease), false
	return g
}

// commit does what a report says. The lock is held.
func (s *Shared) commit(source *Replica, r *cache.Report) (*cache.Entry, error) {
	now, p, c := time.Now(), s.pollOf(&r.Key), s.credentialOf(&r.Credential)
	if r.State != nil {
		s.states[r.Credential] = *r.State
		s.notify(source, cache.Notice{Key: r.Credential})
	}
	if until := now.Add(r.Pause); r.Pause > 0 && until.After(c.paused) {
		c.paused = until
	}
	if r.Unsent && r.Budget != nil {
		c.due = c.due.Add(-r.Budget.Interval())
	}
	late := r.Token > 0 && r.Token < p.token
	if p.token == r.Token {
		p.until = time.Time{}
	}
	if !late && !r.ObservedAt.IsZero() {
		p.fetched, p.fresh, p.generation = r.ObservedAt, r.FreshUntil, max(p.generation, r.Generation)
	}
	if p.awaited && r.Token == p.token {
		s.notify(source, cache.Notice{Key: r.Key, Generation: r.Generation, Version: r.Token})
	}
	e, stands := r.Entry, s.entries[r.Key]
	switch {
	case e == nil:
		return nil, nil
	case stands != nil && (late || !stands.GivesWayTo(e)):
		return stored(stands), nil
	case e.Generation < s.forgotten[r.Key]:
		return nil, cache.ErrForgotten
	case late:
		return nil, cache.ErrSuperseded
	}
	kept := *e
	s.entries[r.Key] = &kept
	s.notify(source, cache.Notice{Key: r.Key, Generation: e.Generation, Version: e.Version})
	return stored(&kept), nil
}

// Commit implements cache.Cluster.
func (r *Replica) Commit(ctx context.Context, report *cache.Report) (e *cache.Entry, err error) {
	if failed := r.now(ctx, func() { e, err = r.shared.commit(r, report) }); failed != nil {
		return nil, failed
	}
	return e, err
}

// CommitLater implements cache.Cluster.
func (r *Replica) CommitLater(report *cache.Report) {
	r.shared.mu.Lock()
	defer r.shared.mu.Unlock()
	r.later(func(away bool) {
		if away {
			go report.Drop() // the lock is held
		} else {
			_, _ = r.shared.commit(r, report)
		}
	})
}

func ofEntry(e *cache.Entry) *cache.Report {
	return &cache.Report{Key: e.Key, Generation: e.Generation, Entry: e}
}

// Put implements cache.Store.
func (r *Replica) Put(ctx context.Context, e *cache.Entry) (*cache.Entry, error) {
	return r.Commit(ctx, ofEntry(e))
}

// PutLater implements cache.Store.
func (r *Replica) PutLater(e *cache.Entry) { r.CommitLater(ofEntry(e)) }

// Get implements cache.Store.
func (r *Replica) Get(ctx context.Context, key *cache.ID) (e *cache.Entry, err error) {
	err = r.call(ctx, func() {
		if there := r.shared.entries[*key]; there != nil {
			e = stored(there)
		}
	})
	if err == nil && e == nil {
		err = cache.ErrNotFound
	}
	return e, err
}

// Delete implements cache.Store.
func (r *Replica) Delete(ctx context.Context, key *cache.ID, generation uint64) (left uint64, err error) {
	err = r.now(ctx, func() {
		s := r.shared
		least := s.forgotten[*key]
		if e := s.entries[*key]; e != nil {
			least = max(least, e.Generation)
		}
		if left = generation; generation > 0 {
			if least >= generation {
				left = least + 1
			}
			s.forgotten[*key] = max(s.forgotten[*key], left)
		}
		p := s.pollOf(key)
		p.until, p.fetched, p.fresh = time.Time{}, time.Time{}, time.Time{}
		delete(s.entries, *key)
		s.notify(r, cache.Notice{Key: *key, Generation: left})
	})
	return left, err
}

// Partition implements cache.Store.
func (r *Replica) Partition(ctx context.Context, id *cache.ID) (state cache.PartitionState, err error) {
	known := false
	if err = r.call(ctx, func() { state, known = r.shared.states[*id] }); err == nil && !known {
		err = cache.ErrNotFound
	}
	return state, err
}

// PutPartition implements cache.Store.
func (r *Replica) PutPartition(id *cache.ID, state cache.PartitionState) {
	r.shared.mu.Lock()
	defer r.shared.mu.Unlock()
	if !r.away {
		r.shared.states[*id] = state
		r.shared.notify(r, cache.Notice{Key: *id})
	}
}

// Next implements cache.Cluster.
func (r *Replica) Next(ctx context.Context) (version uint64, err error) {
	err = r.call(ctx, func() {
		r.shared.version++
		version = r.shared.version
	})
	return version, err
}

// Listen implements cache.Cluster.
func (r *Replica) Listen(heard func([]cache.Notice, bool)) {
	r.shared.mu.Lock()
	defer r.shared.mu.Unlock()
	r.heard = heard
}

// Current implements cache.Cluster.
func (r *Replica) Current() bool {
	r.shared.mu.Lock()
	defer r.shared.mu.Unlock()
	return !r.missing && time.Since(r.at) < silence
}

// Members implements cache.Cluster.
func (r *Replica) Members() *cache.Members {
	r.shared.mu.Lock()
	defer r.shared.mu.Unlock()
	var all []cache.Member
	for _, other := range r.shared.replicas {
		all = append(all, cache.Member{ID: other.id})
	}
	return cache.NewMembers(r.id, all)
}

// Lags implements cache.Cluster: nobody measures them.
func (r *Replica) Lags() map[string]time.Duration { return nil }

// Healthy implements cache.Store.
func (r *Replica) Healthy() error {
	if r.Away() {
		return cache.ErrUnavailable
	}
	return nil
}

// Close implements cache.Store.
func (r *Replica) Close() error {
	r.close.Do(func() {
		close(r.stop)
		r.shared.mu.Lock()
		defer r.shared.mu.Unlock()
		r.flush()
		r.closed = true
		r.shared.replicas = slices.DeleteFunc(r.shared.replicas, func(other *Replica) bool { return other == r })
	})
	<-r.ended
	return nil
}
