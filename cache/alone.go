package cache

import (
	"context"
	"maps"
	"sync"
	"time"
)

const (
	// sweepEvery is how often what is over is dropped from the tables of a Solo.
	sweepEvery = time.Minute
	// lateFor is how long after its lease a poll may still come to an end.
	lateFor = time.Hour
	// maxCredentials bounds the partitions of which a Solo remembers the state;
	// the store has it too. One takes some 200 bytes.
	maxCredentials = 1 << 17
)

// Solo is the Cluster of one process: what several would have to agree on is in
// its memory. It is safe for concurrent use.
type Solo struct {
	Store
	members *Members

	mu          sync.Mutex // guards what follows
	version     uint64     // the last one given
	leases      map[ID]lease
	credentials map[ID]*credential
	swept       time.Time
}

// lease is who may ask after a task.
type lease struct {
	token, generation uint64
	until             time.Time // zero: given back
	overtook          bool      // an older one ran out, whose holder may still come
}

// credential is what a Solo knows of a partition.
type credential struct {
	due, paused time.Time // of the budget, and until when the upstream wants no polls
	state       PartitionState
	known       bool // there is a state
	asked       bool // the store was asked for it
}

var _ Cluster = (*Solo)(nil)

// Alone returns the cluster of the one process that uses store, whose Index and
// Outbox remain store's. Versions are the microseconds of the clock, or what
// comes after the last one, in the store too, if that is later.
func Alone(store Store) *Solo {
	s := &Solo{
		Store:   store,
		members: NewMembers("self", []Member{{ID: "self", Started: time.Now()}}),
		leases:  map[ID]lease{}, credentials: map[ID]*credential{}, swept: time.Now(),
	}
	if numbered, ok := store.(interface{ LastVersion() uint64 }); ok {
		s.version = numbered.LastVersion()
	}
	return s
}

// Begin implements Cluster. Only a caller that has nothing costs a look at the
// store: whoever has something has the newest there is.
func (s *Solo) Begin(ctx context.Context, p *Poll) (*Grant, error) {
	g := &Grant{Generation: p.Generation}
	if p.Version == 0 {
		e, err := s.Get(ctx, &p.Key)
		switch {
		case err == nil && e.Generation >= p.Generation:
			g.Entry, g.Generation, g.ObservedAt, g.FreshUntil = e, e.Generation, e.ObservedAt, e.FreshUntil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		} // a store that cannot be read has nothing
	}
	state, known := s.state(ctx, &p.Credential)
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now)
	c := s.credential(&p.Credential)
	if !c.asked {
		c.state, c.known, c.asked = state, known, true
	}
	g.State, g.Known = c.state, c.known
	if g.Entry != nil { // however the clock was set when it was written
		s.version = max(s.version, g.Entry.Version)
	}
	held := s.leases[p.Key]
	switch g.Paused, g.Busy = max(0, c.paused.Sub(now)), 0; {
	case p.Lease == 0:
		return g, nil
	case g.Entry != nil && g.Entry.Fresh(now) && !p.Force, g.Paused > 0:
		return g, nil
	case held.generation >= g.Generation && now.Before(held.until):
		g.Busy = held.until.Sub(now)
		return g, nil
	}
	if p.Budget != nil {
		if c.due, g.Spent = p.Budget.Spend(c.due, now); g.Spent > 0 {
			return g, nil
		}
	}
	g.Token = s.next(now)
	s.leases[p.Key] = lease{token: g.Token, generation: g.Generation, until: now.Add(p.Lease), overtook: held.token != 0}
	return g, nil
}

// state asks the store what it knows of a partition, once.
func (s *Solo) state(ctx context.Context, id *ID) (PartitionState, bool) {
	s.mu.Lock()
	c := s.credentials[*id]
	asked := c != nil && c.asked
	s.mu.Unlock()
	if asked {
		return PartitionState{}, false
	}
	state, err := s.Partition(ctx, id)
	return state, err == nil
}

// credential returns what is known of a partition, to be changed. mu is held.
func (s *Solo) credential(id *ID) *credential {
	c := s.credentials[*id]
	if c == nil {
		if len(s.credentials) >= maxCredentials {
			for other := range s.credentials {
				delete(s.credentials, other)
				break
			}
		}
		c = &credential{}
		s.credentials[*id] = c
	}
	return c
}

// next returns the next version. mu is held.
func (s *Solo) next(now time.Time) uint64 {
	s.version = max(s.version+1, uint64(max(0, now.UnixMicro())))
	return s.version
}

// sweep drops what is over, now and then. mu is held.
func (s *Solo) sweep(now time.Time) {
	if now.Sub(s.swept) < sweepEvery {
		return
	}
	s.swept = now
	maps.DeleteFunc(s.leases, func(_ ID, l lease) bool {
		return now.Sub(time.UnixMicro(int64(l.token))) > lateFor && now.After(l.until)
	})
	maps.DeleteFunc(s.credentials, func(_ ID, c *credential) bool { return now.After(c.due) && now.After(c.paused) })
}

// finish does what a report says beside its entry, and reports whether that is
// of the newest poll.
func (s *Solo) finish(r *Report) (newest bool) {
	now := time.Now()
	if r.State != nil {
		s.PutPartition(&r.Credential, *r.State)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.credential(&r.Credential); r.Pause > 0 || r.Unsent && r.Budget != nil {
		if until := now.Add(r.Pause); r.Pause > 0 && until.After(c.paused) {
			c.paused = until
		}
		if r.Unsent && r.Budget != nil {
			c.due = c.due.Add(-r.Budget.Interval())
		}
	}
	held, ok := s.leases[r.Key]
	if ok && held.token == r.Token {
		if held.until = (time.Time{}); held.overtook {
			s.leases[r.Key] = held
		} else {
			delete(s.leases, r.Key)
		}
	}
	return !ok || r.Token == 0 || held.token <= r.Token
}

// Commit implements Cluster.
func (s *Solo) Commit(ctx context.Context, r *Report) (*Entry, error) {
	newest := s.finish(r)
	switch {
	case r.Entry == nil:
		return nil, nil
	case newest:
		return s.Put(ctx, r.Entry)
	}
	stands, err := s.Get(ctx, &r.Key)
	if err != nil {
		return nil, ErrSuperseded
	}
	return stands, nil
}

// CommitLater implements Cluster.
func (s *Solo) CommitLater(r *Report) {
	if s.finish(r) && r.Entry != nil {
		s.PutLater(r.Entry)
	}
}

// PutPartition queues the state of a partition.
func (s *Solo) PutPartition(id *ID, state PartitionState) {
	s.mu.Lock()
	c := s.credential(id)
	c.state, c.known, c.asked = state, true, true
	s.mu.Unlock()
	s.Store.PutPartition(id, state)
}

// Next implements Cluster.
func (s *Solo) Next(context.Context) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next(time.Now()), nil
}

// Listen implements Cluster: there is nobody to be heard.
func (*Solo) Listen(func([]Notice, bool)) {}

// Current implements Cluster: nobody else changes anything.
func (*Solo) Current() bool { return true }

// Lags implements Cluster: there is nobody to hear of.
func (s *Solo) Lags() map[string]time.Duration { return nil }

// Members implements Cluster.
func (s *Solo) Members() *Members { return s.members }
