package poller

import (
	"context"
	"time"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/problem"
)

const (
	// persistUnchanged is how old the store's copy of an unchanged task may
	// get, so that a restart does not make answers look much older than they are.
	persistUnchanged = 30 * time.Second
)

// conclude ends a flight whose poll the upstream answered.
func (p *Poller) conclude(f *flight, r Request, known *cache.Entry, fwd problem.Forward, res *response, v providers.Verdict, now time.Time) outcome {
	u, part := r.Upstream, r.Partition
	out := outcome{forwarded: true, Answer: Answer{Raw: rawOf(res, v), Cache: problem.CacheStatus{Forward: fwd}}}
	refuse := func(kind problem.Type, status int) outcome {
		out.Problem = &problem.Problem{Type: kind, Status: status, Upstream: u.Name, UpstreamStatus: res.code, Detail: v.Reason}
		if v.Code != "" && !reveals(u.credential(r.Credential), v.Code) {
			out.Problem.Detail += " (" + v.Code + ")"
		}
		out.Cache.FwdStatus = res.code
		return out
	}
	if refused := v.Kind == providers.Unauthorized || v.Kind == providers.Rejected; refused && r.settle && known != nil && known.Settling {
		p.settleWithout(f, r, known) // or its followers would wait for an end for ever
	}
	switch v.Kind {
	case providers.Answered:
		part.succeeded(u, p.store, now)
		p.noteWord(r, v)
		return p.accept(f, r, known, v, out, now)
	case providers.Unauthorized:
		out = refuse(problem.Unauthorized, v.Status)
		p.suspend(u, part, out.Problem)
		return out
	case providers.Forbidden:
		out = refuse(problem.Forbidden, v.Status)
		p.drop(f, r, out.Problem)
		return out
	case providers.NotFound:
		return p.lost(f, r, known, out, res.code, now)
	case providers.Rejected:
		return refuse(problem.UpstreamRejected, v.Status)
	case providers.RateLimited:
		wait := defaultPause
		if asked, ok := providers.RetryAfter(res.header.Get("Retry-After"), now); ok { // 0 is a wish too
			wait = clampRetryAfter(asked)
		}
		part.pause(now, wait)
		failed := *rateLimited(u, wait, res.code, "the upstream's rate limit is used up")
		failed.asked, failed.raw = true, out.Raw
		return p.fallBack(f, r, known, failed)
	}
	return p.fallBack(f, r, known, failureByVerdict(u, res, v))
}

// defaultPause is how long a 429 without a usable Retry-After keeps a
// credential from its upstream.
const defaultPause = 5 * time.Second

// accept publishes a good answer.
func (p *Poller) accept(f *flight, r Request, known *cache.Entry, v providers.Verdict, out outcome, now time.Time) outcome {
	if known != nil && known.Missing {
		known = nil
	}
	if known != nil && known.Settling && !v.Task.Status.Terminal() {
		r.Upstream.metrics.regressions.Inc()
		out.Entry = p.settleWithout(f, r, known)
		return out
	}
	next := p.render(r, known, v, rawEntry{code: out.Raw.Code, contentType: out.Raw.ContentType, body: out.Raw.Body}, now)
	entry, fenced := p.publish(f, r, known, next)
	out.Entry = entry
	switch {
	case entry.Terminal && !entry.Stored:
		out.Cache.Detail = problem.DetailNotStored
	case !fenced:
		out.Cache.Stored = true
	}
	if entry.Settling && !fenced {
		p.scheduleSettling(r, entry)
	}
	return out
}

// publish makes e what is known of its task, unless something that must stand
// is known already, and returns what stands. Durable first when terminal, then
// memory, then whoever watches.
func (p *Poller) publish(f *flight, r Request, known, e *cache.Entry) (standing *cache.Entry, fenced bool) {
	s := p.flights.stripe(&e.Key)
	s.Lock()
	defer s.Unlock()
	if f.fenced {
		return e, true
	}
	if latest, ok := p.memory.Get(&e.Key); ok {
		known = latest
	}
	if kept := p.mustStand(r.Upstream, known, e); kept != nil {
		p.memory.Put(kept, p.keep(r.Upstream, kept, e.ObservedAt))
		return kept, false
	}
	e = p.persist(e)
	p.memory.Put(e, p.keep(r.Upstream, e, e.ObservedAt))
	p.tellPublished(e)
	return e, false
}

// mustStand returns what has to stay instead of next: a terminal document is
// never replaced by one that is not, nor a frozen one by anything, unless the
// provider is reopenable. It returns nil if next may replace known.
func (p *Poller) mustStand(u *Upstream, known, next *cache.Entry) *cache.Entry {
	if known == nil || known.Missing || !known.Terminal || u.Provider.Reopenable {
		return nil
	}
	if !known.Frozen && next.Terminal {
		return nil // settling may change the document, its status included
	}
	if known.Digest != next.Digest {
		u.metrics.regressions.Inc()
		return known
	}
	confirmed := *known
	confirmed.ObservedAt = next.ObservedAt
	return &confirmed
}

// persist gives e to the store: a terminal one durably, another when it changed
// or the store's copy gets old. It returns what stands.
func (p *Poller) persist(e *cache.Entry) *cache.Entry {
	changed := !e.PersistedAt.After(e.UpdatedAt)
	if !e.Terminal {
		if changed || e.ObservedAt.Sub(e.PersistedAt) > persistUnchanged {
			e.PersistedAt = e.ObservedAt
			p.store.PutLater(e)
		}
		return e
	}
	if e.Stored && !changed && !e.Frozen && e.ObservedAt.Sub(e.PersistedAt) < persistUnchanged {
		return e // a reopenable task, confirmed
	}
	e.PersistedAt = e.ObservedAt
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.base), storeTimeout)
	defer cancel()
	stored, err := p.store.Put(ctx, e)
	if err != nil {
		p.metrics.storeErrors.WithLabelValues("put").Inc()
		kept := *e
		kept.Stored = false
		p.unstored.add(&kept)
		return &kept
	}
	return stored
}

// keep is how long memory keeps an entry that is not frozen.
func (p *Poller) keep(u *Upstream, e *cache.Entry, now time.Time) time.Duration {
	d := e.FreshUntil.Sub(now)
	if e.Missing && !e.Gone {
		return max(time.Millisecond, d)
	}
	return max(d, 0) + max(u.Config.StaleIfError, time.Minute)
}

// lost ends a flight whose task the upstream does not know. A terminal document
// stays, though a suspended partition is not shown it; another one is dropped,
// and remembered as gone for a while. code is how the upstream said so.
func (p *Poller) lost(f *flight, r Request, known *cache.Entry, out outcome, code int, now time.Time) outcome {
	u := r.Upstream
	out.Cache.FwdStatus = code
	if known != nil && known.Terminal {
		if !r.Partition.excusedAfterLoss() {
			out.Problem = saidWith(u.notFound, code)
			return out
		}
		if known.Settling {
			known = p.settleWithout(f, r, known)
		}
		out.Entry = known
		out.Cache.Forward, out.Cache.Detail = problem.FwdStale, problem.DetailGoneUpstream
		return out
	}
	if unconfirmed(known, now) {
		out.Problem = saidWith(u.notFound, code)
		return out
	}
	tombstone := &cache.Entry{
		Key: r.Key, Partition: r.Partition.ID, Upstream: u.Name, Missing: true, NativeCode: code,
		Gone:       known != nil && (!known.Missing || known.Gone),
		ObservedAt: now, FreshUntil: now.Add(u.Config.Freshness.NotFound),
	}
	s := p.flights.stripe(&r.Key)
	s.Lock()
	defer s.Unlock()
	if !f.fenced {
		if tombstone.Gone && !known.Missing {
			p.remove(&r.Key)
		}
		p.memory.Put(tombstone, p.keep(u, tombstone, now))
		p.tellLost(&r.Key, u.missing(tombstone))
	}
	out.Problem = u.missing(tombstone)
	return out
}

// excusedAfterLoss: a suspended partition is shown nothing; for any other the
// upstream's "no such task" is an answer to its credential.
func (part *Partition) excusedAfterLoss() bool {
	return !part.suspended.Load() && part.lastSuccess.Load() != 0
}

// drop forgets what the partition has of the task, from within its flight.
func (p *Poller) drop(f *flight, r Request, why *problem.Problem) {
	s := p.flights.stripe(&r.Key)
	s.Lock()
	defer s.Unlock()
	if !f.fenced {
		p.remove(&r.Key) // a store that cannot delete is counted there; memory forgets all the same
		p.tellLost(&r.Key, why)
	}
}
