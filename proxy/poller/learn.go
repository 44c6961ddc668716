package poller

import (
	"context"
	"errors"
	"math/bits"
	"time"

	"github.com/zeebo/xxh3"

	"pollux/cache"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
)

// persistUnchanged is how old the store's copy of an unchanged task may get, so
// that a restart does not make answers look much older than they are. What the
// upstream asked for after one is to be kept through it, from persistWish on, where
// the store has the time of an answer nowhere else.
const (
	persistUnchanged = 2 * time.Minute
	persistWish      = 30 * time.Second
)

// fact is something that became known of a task, whoever found it: a poll, a
// read of the store, a create that passed, a settling step, a forget. Exactly
// one of entry, revise and absent is set.
type fact struct {
	entry *cache.Entry // what is known now, with the generation and version it was asked under
	// revise makes the entry that follows from what stands, nil if none does.
	// raise voids whatever was asked before.
	revise func(known *cache.Entry) (next *cache.Entry, raise bool)
	absent *absence // nothing is known any more

	basis  *cache.Entry     // what stands if memory has lost it; nil: nothing
	report *cache.Report    // of the poll that found it, which the store was not given yet; nil: none did
	stored bool             // entry is the store's own
	lost   *problem.Problem // of an entry that is Missing: what observers are told; nil: nothing
}

// absence is why nothing is known any more.
type absence struct {
	generation, version, alone uint64 // it was asked under
	raise                      bool   // voids whatever was asked before, instead
	elsewhere                  bool   // another process did, in generation, and the store knows
	why                        *problem.Problem
}

// errVoid is returned by learn for a fact that is not newer than what is known.
var errVoid = errors.New("what is known is newer")

// learn is the one way in for facts. It drops what is not newer than what
// stands and what must not replace it, makes a terminal document durable, puts
// it in memory, and tells the observers if they do not know it yet. It returns
// what stands afterwards, nil if nothing does; errVoid says that the fact was
// dropped, any other error that the store did not forget.
//
// Nothing else writes entries to memory or the store, or tells observers.
func (p *Poller) learn(u *upstream.Upstream, rec *record, f fact) (standing *cache.Entry, err error) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	known := p.standing(rec, f.basis)
	if f.absent != nil {
		return p.learnAbsence(rec, known, f.absent)
	}
	next := f.entry
	if f.revise != nil {
		var raise bool
		if next, raise = f.revise(known); raise {
			p.raise(rec)
		}
		if next == nil {
			return known, nil
		}
		next.Generation = rec.generation
	}
	if next.Generation < rec.generation || known != nil && known.NewerThan(next) {
		return known, errVoid
	}
	if f.stored && f.entry != nil && staysAlone(known, next) {
		return known, errVoid
	}
	rec.generation = next.Generation
	if f.entry != nil && !f.stored && next.Version < rec.hinted {
		u.Doubted(next)
	}
	if next.Missing {
		return p.learnMissing(u, rec, known, next, f.lost), nil
	}
	if f.entry != nil && !f.stored {
		rec.failed, rec.losses = nil, losses{} // the upstream has answered
	}
	if kept := p.mustStand(u, known, next); kept != nil {
		next = kept
	}
	if !f.stored {
		if next, err = p.persist(known, next, f.report); err != nil {
			return known, errVoid // forgotten meanwhile, by another process
		}
		p.tracker.Learn(known, next)
		if next.Settled() && (known == nil || !known.Settled()) {
			p.tracer.Ended(next)
		}
	} else if f.entry != nil {
		p.tracker.Heard(next)
	}
	p.memory.Put(next, p.keep(u, next, time.Now()))
	p.tell(rec, next)
	return next, nil
}

// staysAlone reports whether known, learnt without the store, stays although the
// store has next. Others may have asked for that before: known gets a version
// first (regain).
func staysAlone(known, next *cache.Entry) bool {
	return known != nil && known.Alone > 0 && known.Generation == next.Generation && (known.Terminal || !next.Terminal)
}

// raise voids whatever was asked before: such polls answer their callers and
// teach nothing, and the next caller starts another one.
func (p *Poller) raise(rec *record) {
	rec.generation++
	rec.losses = losses{}
	if rec.failed != nil && !rec.failed.wished {
		rec.failed = nil
	}
	p.flights.Forget(string(rec.key[:]))
}

// standing is what memory has of the key or, where it has lost it, basis. What
// was known before a forget does not stand.
func (p *Poller) standing(rec *record, basis *cache.Entry) *cache.Entry {
	known, ok := p.memory.Get(&rec.key)
	if !ok {
		known = basis
	}
	if known == nil || known.Generation < rec.generation {
		return nil
	}
	rec.generation = known.Generation
	return known
}

// mustStand returns what has to stay instead of next: a terminal document is
// never replaced by one that is not, nor a frozen one by anything of its
// generation, unless the provider is reopenable. It returns nil if next may replace known.
func (p *Poller) mustStand(u *upstream.Upstream, known, next *cache.Entry) *cache.Entry {
	if known == nil || known.Missing || !known.Terminal || u.Provider.Reopenable || known.Generation < next.Generation {
		return nil
	}
	if !known.Frozen && next.Terminal && !(u.Expiring(known) && lacks(next, known)) {
		return nil // settling may change the document, its status included
	}
	if u.Expiring(known) {
		stands := *known
		stands.ObservedAt, stands.LookedAt = next.ObservedAt, next.LookedAt
		stands.Version, stands.Alone = next.Version, next.Alone
		stands.FreshUntil = next.ObservedAt.Add(u.Config.Freshness.Reopenable)
		return &stands
	}
	if known.Digest != next.Digest {
		u.Metrics.Regressions.Inc()
		return known
	}
	confirmed := *known
	confirmed.ObservedAt, confirmed.LookedAt = next.ObservedAt, next.LookedAt
	confirmed.Version, confirmed.Alone = next.Version, next.Alone
	return &confirmed
}

// learnMissing notes that the upstream does not know the task.
func (p *Poller) learnMissing(u *upstream.Upstream, rec *record, known, next *cache.Entry, lost *problem.Problem) *cache.Entry {
	if known != nil && !known.Missing {
		_ = p.erase(rec, 0) // counted there; memory has the news all the same
	}
	p.memory.Put(next, p.keep(u, next, time.Now()))
	if lost != nil {
		p.tellLost(rec, lost)
	}
	return next
}

// learnAbsence forgets what is known.
func (p *Poller) learnAbsence(rec *record, known *cache.Entry, a *absence) (*cache.Entry, error) {
	left := uint64(0) // leaves nothing behind in the store
	switch {
	case a.raise:
		p.raise(rec)
		left = rec.generation
	case a.generation < rec.generation, known != nil && known.NewerThan(&cache.Entry{Generation: a.generation, Version: a.version, Alone: a.alone}):
		return known, errVoid
	case a.elsewhere:
		rec.generation = a.generation
		p.drop(&rec.key)
		p.memory.Delete(&rec.key)
		p.tellLost(rec, a.why)
		return nil, nil
	}
	p.memory.Delete(&rec.key)
	err := p.erase(rec, left)
	p.tellLost(rec, a.why)
	return nil, err
}

// erase removes the task from the store, and from whatever would write it
// again. generation is left behind in the store.
func (p *Poller) erase(rec *record, generation uint64) error {
	p.drop(&rec.key)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.base), storeTimeout)
	defer cancel()
	left, err := p.store.Delete(ctx, &rec.key, generation)
	if err != nil {
		p.faults.storeErrors.WithLabelValues("delete").Inc()
		return err
	}
	rec.generation = max(rec.generation, left)
	return nil
}

// drop ends what Pollux would do by itself for a task of which nothing is known.
func (p *Poller) drop(key *cache.ID) {
	p.settling.Cancel(key)
	p.unstored.remove(key)
	p.tracker.Forget(key)
}

// persist gives e to the store: a terminal one durably, another when it changed
// or the store's copy gets old. report is that of the poll that found it, which
// the store then has, nil if none did. It returns what stands. The error is
// cache.ErrForgotten.
func (p *Poller) persist(known, e *cache.Entry, report *cache.Report) (*cache.Entry, error) {
	changed := !e.PersistedAt.After(e.UpdatedAt) || known != nil && known.Frozen != e.Frozen
	old := e.ObservedAt.Sub(e.PersistedAt) > persistUnchanged
	raised := known != nil && known.Generation != e.Generation
	r := &cache.Report{Key: e.Key, Generation: e.Generation}
	if report != nil {
		*r = *report
		report.Token = 0
	}
	r.ObservedAt, r.FreshUntil = e.ObservedAt, e.FreshUntil
	if e.Alone > 0 { // it gets a version first
		if !e.Stored || changed {
			e = p.hold(e)
		}
		return e, nil
	}
	if !e.Terminal || raised && e.Stored && !changed {
		if _, alone := p.store.(*cache.Solo); changed || old || raised || alone && e.Asked >= persistWish {
			e.PersistedAt = e.ObservedAt
			r.Entry, r.Lost = e, p.onLost
		}
		p.commitLater(r)
		return e, nil
	}
	if e.Stored && !changed && (e.Frozen || !old) { // confirmed
		p.commitLater(r)
		return e, nil
	}
	e.PersistedAt = e.ObservedAt
	r.Entry = e
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.base), storeTimeout)
	defer cancel()
	stored, err := p.store.Commit(ctx, r)
	p.arrivals.wake(&e.Key)
	switch {
	case errors.Is(err, cache.ErrForgotten):
		return nil, err
	case errors.Is(err, cache.ErrSuperseded): // a later poll finds it too
		kept := *e
		kept.Stored = false
		return &kept, nil
	case err != nil:
		p.faults.storeErrors.WithLabelValues("put").Inc()
		kept := *e
		kept.Stored = false
		p.unstored.add(&kept)
		return &kept, nil
	}
	p.unstored.remove(&e.Key)
	if stored.LookedAt.Before(e.LookedAt) {
		again := *stored
		again.LookedAt = e.LookedAt
		stored = &again
	}
	return stored, nil
}

// hold is e, learnt without the store, until that is back.
func (p *Poller) hold(e *cache.Entry) *cache.Entry {
	kept := *e
	kept.Stored, kept.PersistedAt = false, time.Time{}
	if e.Terminal {
		p.unstored.add(&kept)
	}
	p.unwritten(&e.Key)
	return &kept
}

// unwritten notes that the store lacks what memory has under key. It returns at
// once.
func (p *Poller) unwritten(key *cache.ID) {
	p.owed.add(key)
	if p.store.Healthy() == nil { // else that it is back is told
		p.rereads.add(*key)
	}
}

// commitLater gives the store a report that need not be durable.
func (p *Poller) commitLater(r *cache.Report) {
	p.store.CommitLater(r)
	p.arrivals.wake(&r.Key)
}

// release ends a poll that the store granted and that has taught nothing, or
// was not made.
func (p *Poller) release(r *cache.Report) {
	if r.Token == 0 {
		return
	}
	last := *r // the store may come to it later
	p.commitLater(&last)
	r.Token = 0
}

// keep is how long memory keeps an entry that is not frozen.
func (p *Poller) keep(u *upstream.Upstream, e *cache.Entry, now time.Time) time.Duration {
	d := e.FreshUntil.Sub(now)
	if e.Missing && !e.Gone {
		return max(time.Millisecond, d)
	}
	return max(d, 0) + max(u.Config.StaleIfError, time.Minute)
}

// tell tells the observers of e, unless they know it. A partition that is
// suspended is told nothing: what it has not seen comes with the next fact.
func (p *Poller) tell(rec *record, e *cache.Entry) {
	what := toldOf(e)
	if rec.told == what || p.suspended(&e.Partition) {
		return
	}
	rec.told = what
	for _, o := range p.observers {
		o.Published(e)
	}
}

// tellLost tells the observers that nothing is known any more, unless they
// know it.
func (p *Poller) tellLost(rec *record, why *problem.Problem) {
	if rec.told == toldLost {
		return
	}
	rec.told = toldLost
	for _, o := range p.observers {
		o.Lost(&rec.key, why)
	}
}

// toldOf identifies what observers can tell apart: the document with its native
// body, and whether it can still change.
func toldOf(e *cache.Entry) told {
	h := xxh3.HashString(e.NativeETag) ^ bits.RotateLeft64(xxh3.HashString(e.Status), 1)
	if e.Frozen {
		h++
	}
	return max(toldEntry, told(h))
}
