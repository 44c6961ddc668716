package schedule

import (
	"context"
	"sync"
	"time"

	"pollux/cache"
)

// Slots bounds what is under way at once, and keeps a share of it free for
// owners that have nothing under way. It is safe for concurrent use.
type Slots struct {
	limit int

	mu      sync.Mutex // guards what follows
	running int
	owners  map[cache.ID]*claimant // that have something under way, or wait
	turn    []*claimant            // that wait, in turn
	recent  [2]visit               // of different owners, the latest first
}

// claimant is an owner.
type claimant struct {
	id      cache.ID
	running int
	waiting []chan struct{} // closed when a slot is theirs
	queued  bool            // among those that wait in turn
}

type visit struct {
	id cache.ID
	at time.Time
}

// companyFor is how long one who came counts as company: while an owner is
// alone, it may have all slots.
const companyFor = time.Minute

// NewSlots returns limit slots, at least one.
func NewSlots(limit int) *Slots {
	return &Slots{limit: max(1, limit), owners: map[cache.ID]*claimant{}}
}

// Slot is one of Slots that is taken.
type Slot struct {
	slots *Slots
	owner *claimant
}

// Acquire takes a slot for an owner, waiting until there is one or ctx ends. If
// it returns no error, the slot must be released, once.
func (s *Slots) Acquire(ctx context.Context, id *cache.ID) (Slot, error) {
	s.mu.Lock()
	c := s.owners[*id]
	if c == nil {
		c = &claimant{id: *id}
		s.owners[*id] = c
	}
	alone := s.visited(id, time.Now())
	slot := Slot{s, c}
	if len(c.waiting) == 0 && s.running < s.limit && (alone || fair(c.running, s.running, s.limit)) {
		c.running++
		s.running++
		s.mu.Unlock()
		return slot, nil
	}
	given := make(chan struct{})
	if c.waiting = append(c.waiting, given); !c.queued {
		c.queued = true
		s.turn = append(s.turn, c)
	}
	s.mu.Unlock()
	select {
	case <-given:
		return slot, nil
	case <-ctx.Done():
		return Slot{}, s.abandon(c, given, ctx.Err())
	}
}

// visited notes that an owner came, and reports whether it was the only one
// lately.
func (s *Slots) visited(id *cache.ID, now time.Time) (alone bool) {
	if s.recent[0].id != *id {
		s.recent[1] = s.recent[0]
	}
	s.recent[0] = visit{*id, now}
	return s.recent[1].at.IsZero() || now.Sub(s.recent[1].at) > companyFor
}

// abandon ends a wait. A slot that was given meanwhile goes to the next.
func (s *Slots) abandon(c *claimant, given chan struct{}, why error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, w := range c.waiting {
		if w == given {
			c.waiting = append(c.waiting[:i], c.waiting[i+1:]...)
			s.forget(c)
			return why
		}
	}
	s.end(c)
	return why
}

// Release gives the slot back.
func (t Slot) Release() {
	t.slots.mu.Lock()
	defer t.slots.mu.Unlock()
	t.slots.end(t.owner)
}

// end gives a slot that is free again to those who wait, in turn.
func (s *Slots) end(c *claimant) {
	c.running--
	s.running--
	s.forget(c)
	alone := s.recent[1].at.IsZero() || time.Since(s.recent[1].at) > companyFor
	for range len(s.turn) {
		if s.running >= s.limit {
			return
		}
		next := s.turn[0]
		s.turn = s.turn[1:]
		if len(next.waiting) > 0 && (alone || fair(next.running, s.running, s.limit)) {
			close(next.waiting[0])
			next.waiting = next.waiting[1:]
			next.running++
			s.running++
		}
		if next.queued = len(next.waiting) > 0; next.queued {
			s.turn = append(s.turn, next)
		}
	}
}

// forget drops an owner that has nothing under way and waits for nothing.
func (s *Slots) forget(c *claimant) {
	if c.running == 0 && len(c.waiting) == 0 && s.owners[c.id] == c {
		delete(s.owners, c.id)
	}
}
