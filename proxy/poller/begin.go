package poller

import (
	"context"
	"errors"
	"sync"
	"time"

	"pollux/cache"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
)

const (
	// leaseSlack is how much longer than the upstream's timeout a poll keeps
	// others from asking after its task.
	leaseSlack = time.Second
	// awaitFor is how long somebody else's poll is waited for until the store is
	// asked again: its end is told, unless the notice is lost.
	awaitFor = 250 * time.Millisecond
)

// answered ends a flight that need not ask: what it has is known meanwhile. It
// says nothing about the upstream.
type answered struct{ Answer }

func (*answered) Error() string { return "known meanwhile" }

// begin asks the store whether f may ask its upstream, and waits while somebody
// else does. A poll that is granted has a token, and owes the store a report.
// The error is *answered, a *failure or a *busyError.
func (p *Poller) begin(ctx context.Context, f *flight) error {
	u, part := f.r.Upstream, f.r.Partition
	force := f.r.NoCache || f.r.settle
	var ended chan struct{} // nil: nobody else was asking
	defer func() { p.arrivals.leave(&f.r.Key, ended) }()
	for {
		poll := p.pollOf(f)
		poll.Lease, poll.Budget, poll.Force = u.Config.Timeout+leaseSlack, u.Config.Rate.Budget(), force
		asked := time.Now()
		f.asked = asked
		g, err := p.store.Begin(ctx, poll)
		if err != nil {
			return p.beginAlone(ctx, f, err)
		}
		if g.Token != 0 {
			f.report = cache.Report{Key: poll.Key, Credential: poll.Credential, Generation: g.Generation, Token: g.Token, Budget: poll.Budget, Unsent: true}
		}
		p.takeIn(f, g, asked)
		f.forward = forward(f.known, f.r, time.Now())
		if a, ok := p.withoutAsking(f, time.Now()); ok {
			return &answered{p.shared(f, a)}
		}
		now := time.Now()
		switch {
		case g.Token != 0:
			part.Spent(poll.Budget, now)
			p.number(f)
		case g.Paused > 0:
			part.Pause(now, g.Paused)
			err = rateLimited(u, g.Paused, 0, "the upstream asked this credential to wait")
		case g.Spent > 0:
			part.Exhausted(poll.Budget, g.Spent, now)
			err = rateLimited(u, g.Spent, 0, "the budget of this credential (rate) is used up")
		case g.Busy > 0:
			if f.waited = true; ended != nil {
				if err = awaitEnd(ctx, ended, g.Busy); err != nil {
					return err
				}
				p.arrivals.leave(&f.r.Key, ended)
			}
			ended = p.arrivals.expect(&f.r.Key) // before asking again, or the end may come between
			continue
		default: // what stands is fresh, and not for this credential to be shown
			force = true
			continue
		}
		return err
	}
}

// awaitEnd waits for the end of somebody else's poll, which is busy for so long at
// most. The error is a *busyError.
func awaitEnd(ctx context.Context, ended <-chan struct{}, busy time.Duration) error {
	timer := time.NewTimer(min(busy, awaitFor))
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	case <-ctx.Done():
		return &busyError{elsewhere: true}
	}
	return nil
}

// pollOf is what the store is asked with about f's task: what f knows. What was
// known before a forget, or before a change that passed through meanwhile, is
// looked up again.
func (p *Poller) pollOf(f *flight) *cache.Poll {
	poll := &cache.Poll{Key: f.r.Key, Credential: f.r.Partition.Credential().ID}
	f.rec.mu.Lock()
	defer f.rec.mu.Unlock()
	if f.known != nil && f.known.Generation < f.rec.generation {
		f.known, _ = p.memory.Get(&f.rec.key)
	}
	if poll.Generation = f.rec.generation; f.known != nil {
		poll.Generation, poll.Version = max(poll.Generation, f.known.Generation), f.known.Version
	}
	return poll
}

// number notes under which generation and version f asks.
func (p *Poller) number(f *flight) {
	f.rec.mu.Lock()
	defer f.rec.mu.Unlock()
	if f.known != nil && f.known.Generation < f.rec.generation {
		f.known, _ = p.memory.Get(&f.rec.key)
	}
	if f.generation = max(f.rec.generation, f.report.Generation); f.known != nil {
		f.generation = max(f.generation, f.known.Generation)
	}
	if f.version, f.alone = f.report.Token, 0; f.version != 0 {
		f.report.Generation = f.generation
	} else { // without the store, which alone gives versions: after whatever is known, and is being asked
		newest := f.rec.asked
		if f.known != nil {
			newest = newest.orLater(number{f.known.Version, f.known.Alone})
		}
		f.version, f.alone = newest.version, newest.alone+1
	}
	f.rec.asked = f.rec.asked.orLater(number{f.version, f.alone})
}

// beginAlone lets f ask although the store does not answer, with a share of the
// budget.
func (p *Poller) beginAlone(ctx context.Context, f *flight, why error) error {
	if ctx.Err() != nil {
		return &busyError{elsewhere: true}
	}
	u := f.r.Upstream
	p.faults.storeErrors.WithLabelValues("begin").Inc()
	share := u.Config.Rate.Share(len(p.store.Members().All))
	if wait := f.r.Partition.Spend(share, time.Now()); wait > 0 {
		return rateLimited(u, wait, 0, "the budget of this credential (rate) is used up")
	}
	p.number(f)
	return nil
}

// look takes in what the store has of f's task, and asks nobody else.
func (p *Poller) look(f *flight) {
	f.looked = true
	ctx, cancel := context.WithTimeout(p.base, storeTimeout)
	defer cancel()
	asked := time.Now()
	g, err := p.store.Begin(ctx, p.pollOf(f))
	if err != nil {
		if !errors.Is(err, cache.ErrUnavailable) {
			p.faults.storeErrors.WithLabelValues("get").Inc()
		}
		return
	}
	p.takeIn(f, g, asked)
}

// lookApart is look for who is no flight. If somebody else forgot the task, a poll
// under way is for those who asked before; a flight that finds that asks anew.
func (p *Poller) lookApart(f *flight) {
	before := f.rec.age()
	if p.look(f); f.rec.age() > before {
		p.flights.Forget(string(f.r.Key[:]))
	}
}

// takeIn learns what the store said when it was asked about f's task.
func (p *Poller) takeIn(f *flight, g *cache.Grant, asked time.Time) {
	f.looked = true
	u := f.r.Upstream
	if g.Known {
		p.stateHeard(u, f.r.Partition.Credential(), g.State, asked)
	}
	f.rec.mu.Lock()
	void := g.Generation > f.rec.generation && (f.known == nil || g.Generation > f.known.Generation)
	f.rec.mu.Unlock()
	var e *cache.Entry
	if g.Entry != nil {
		r := f.r
		if r.Reference.Values == nil { // nobody asked: a notice came
			r.Reference.Values = g.Entry.Values
		}
		e = p.current(r, g.Entry)
	}
	switch {
	case e != nil:
		observedAt(e, g)
		e.LookedAt = asked
		f.known, _ = p.learn(u, f.rec, fact{entry: e, stored: true})
	case void:
		f.known, _ = p.learn(u, f.rec, fact{absent: &absence{generation: g.Generation, elsewhere: true, why: forgotten}})
	case f.known != nil && written(f.known):
		confirmed := func(known *cache.Entry) (*cache.Entry, bool) {
			if known == nil || known.NewerThan(f.known) {
				return nil, false
			}
			next := *known
			next.LookedAt = asked
			if !known.Missing && g.FreshUntil.After(known.FreshUntil) && !known.Frozen {
				observedAt(&next, g)
			}
			return &next, false
		}
		if f.known.Frozen && p.believed(f.known) || !g.FreshUntil.After(f.known.FreshUntil) && p.believed(f.known) {
			return
		}
		f.known, _ = p.learn(u, f.rec, fact{revise: confirmed, basis: f.known, stored: true})
	}
}

// observedAt takes the times of the last answer into e, which brought nothing else.
// If that is not the one e came with, what the upstream asked for then is over.
func observedAt(e *cache.Entry, g *cache.Grant) {
	if g.ObservedAt.Sub(e.ObservedAt) > time.Millisecond { // a column has microseconds
		e.Asked = 0
	}
	e.ObservedAt, e.FreshUntil = g.ObservedAt, g.FreshUntil
}

// shared says that a was had from somebody else's poll, if f waited for one.
func (p *Poller) shared(f *flight, a Answer) Answer {
	if f.waited && a.Entry != nil {
		p.leased.inc()
		a.Cache = problem.CacheStatus{Forward: f.forward, Stored: a.Entry.Stored, Collapsed: true}
	}
	return a
}

// stateHeard takes in what the store knows of a credential.
func (p *Poller) stateHeard(u *upstream.Upstream, part *upstream.Partition, state cache.PartitionState, now time.Time) {
	suspended, resumed := part.Hear(u, state, now)
	if len(suspended) > 0 {
		p.tellSuspended(suspended, alreadyRefused(u))
	}
	p.tellResumed(resumed)
}

// alreadyRefused is what is said of a credential that the upstream refused to
// another replica, or for another task.
func alreadyRefused(u *upstream.Upstream) *problem.Problem {
	return &problem.Problem{Type: problem.Unauthorized, Status: 401, Upstream: u.Name, Detail: "the upstream refused this credential"}
}

// arrivals are polls that wait until somebody else's poll of their task has
// ended.
type arrivals struct {
	mu    sync.Mutex // guards byKey
	byKey map[cache.ID][]chan struct{}
}

// expect returns a channel that is closed at the next end of a poll of the task.
// It must be left.
func (a *arrivals) expect(key *cache.ID) chan struct{} {
	ended := make(chan struct{})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.byKey[*key] = append(a.byKey[*key], ended)
	return ended
}

// leave ends an expectation; nil is none.
func (a *arrivals) leave(key *cache.ID, ended chan struct{}) {
	if ended == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	waiting := a.byKey[*key]
	for i, other := range waiting {
		if other == ended {
			waiting = append(waiting[:i], waiting[i+1:]...)
			break
		}
	}
	if len(waiting) == 0 {
		delete(a.byKey, *key)
	} else {
		a.byKey[*key] = waiting
	}
}

// wake ends the waiting for polls of the task.
func (a *arrivals) wake(key *cache.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ended := range a.byKey[*key] {
		close(ended)
	}
	delete(a.byKey, *key)
}
