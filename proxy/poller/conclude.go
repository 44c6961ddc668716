package poller

import (
	"time"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
)

const (
	// defaultPause is how long a 429 without a usable Retry-After keeps a
	// credential from its upstream.
	defaultPause = 5 * time.Second
	// lostAfter polls in a row, over at least lostFor, must miss a task that was
	// known before those who follow it are told: one in between is a hiccup.
	lostAfter = 3
	lostFor   = 10 * time.Second
)

// conclude ends a flight whose poll the upstream answered.
func (p *Poller) conclude(f *flight, res *upstream.Response, v providers.Verdict, now time.Time) outcome {
	u, part := f.r.Upstream, f.r.Partition
	f.rec.answered(v, now)
	switch v.Kind {
	case providers.Answered:
		p.accepted(u, part, f.account, now)
		p.noteWord(f.r, v)
		return p.accept(f, res, v, now)
	case providers.NotFound:
		return p.lost(f, res, v, now)
	case providers.Unauthorized:
		refused := f.refusal(problem.Unauthorized, v.Status, res, v)
		p.suspend(u, part, refused.problem) // before anything of the partition is published
		if f.r.settle {
			p.settleWithout(f)
		}
		return p.refused(f, refused, now)
	case providers.Forbidden:
		refused := f.refusal(problem.Forbidden, v.Status, res, v)
		_, _ = p.learn(u, f.rec, fact{absent: &absence{generation: f.generation, version: f.version, alone: f.alone, why: refused.problem}})
		return p.refused(f, refused, now)
	case providers.Rejected:
		if f.r.settle {
			p.settleWithout(f) // or its followers would wait for an end for ever
		}
		if f.known != nil && u.Expiring(f.known) { // the last answer stands
			refused := f.refusal(problem.UpstreamRejected, v.Status, res, v)
			refused.final, refused.detail = false, problem.DetailStaleIfError
			return p.fallBack(f, refused)
		}
		return p.refused(f, f.refusal(problem.UpstreamRejected, v.Status, res, v), now)
	case providers.RateLimited:
		return p.fallBack(f, f.limited(res, v, now))
	}
	return p.fallBack(f, failureByVerdict(u, res, v))
}

// limited pauses the credential of a poll that met the upstream's rate limit.
func (f *flight) limited(res *upstream.Response, v providers.Verdict, now time.Time) failure {
	f.pause(res, v, now)
	limited := *rateLimited(f.r.Upstream, f.report.Pause, res.Code, "the upstream's rate limit is used up")
	limited.asked, limited.raw = true, f.r.Upstream.RawOf(res, v)
	return limited
}

// pause keeps the credential of a flight from its upstream, for as long as the
// 429 that v judges says.
func (f *flight) pause(res *upstream.Response, v providers.Verdict, now time.Time) {
	wait := defaultPause
	if asked, ok := providers.RetryAfter(res.Header.Get("Retry-After"), now); ok || v.RetryAfter > 0 { // 0 is a wish too
		wait = upstream.ClampRetryAfter(max(asked, v.RetryAfter))
	}
	f.r.Partition.Pause(now, wait)
	f.report.Pause = wait
}

// refusal is the failure of a poll that the upstream refused: no document is
// served in its place.
func (f *flight) refusal(kind problem.Type, status int, res *upstream.Response, v providers.Verdict) failure {
	u := f.r.Upstream
	why := &problem.Problem{Type: kind, Status: status, Upstream: u.Name, UpstreamStatus: res.Code, Detail: v.Reason}
	if v.Code != "" && !upstream.Reveals(f.credential, v.Code) {
		why.Detail += " (" + v.Code + ")"
	}
	if v.RetryAfter > 0 {
		why.RetryAfter = upstream.ClampRetryAfter(v.RetryAfter)
	}
	return failure{problem: why, asked: true, final: true, wait: why.RetryAfter, raw: u.RawOf(res, v)}
}

// refused ends a flight whose poll the upstream refused.
func (p *Poller) refused(f *flight, refused failure, now time.Time) outcome {
	f.rec.hold(f.r.Upstream, refused, now)
	return outcome{forwarded: true, Answer: Answer{Raw: refused.raw, Problem: refused.problem, Unconfirmed: refused.unconfirmed,
		Cache: problem.CacheStatus{Forward: f.forward, FwdStatus: refused.problem.UpstreamStatus}}}
}

// accept learns a good answer.
func (p *Poller) accept(f *flight, res *upstream.Response, v providers.Verdict, now time.Time) outcome {
	out := outcome{forwarded: true, Answer: Answer{Raw: f.r.Upstream.RawOf(res, v), Cache: problem.CacheStatus{Forward: f.forward}}}
	known := f.before()
	if known != nil && known.Settling && !v.Task.Status.Terminal() {
		f.r.Upstream.Metrics.Regressions.Inc()
		out.Entry = p.settleWithout(f)
		return out
	}
	if known != nil && known.Frozen && v.WantsResult && v.Task.NativeStatus == known.NativeStatus {
		out.Entry = p.confirm(f, now) // its result was not asked for again
		out.Cache.Stored = out.Entry.Stored
		return out
	}
	var next *cache.Entry
	if f.repeats {
		next = p.repeat(f.r.Upstream, f.known, out.Raw.Header, v.RetryAfter, now)
	} else {
		next = p.render(f.r, known, v, rawEntry{code: res.Code, contentType: out.Raw.ContentType, header: out.Raw.Header, body: res.Body}, now)
		next.Judged = !next.Terminal && !v.UnknownWord && v.RuleErrors == 0 && f.r.Upstream.Provider.Result == nil
	}
	next.Generation, next.Version, next.Alone = f.generation, f.version, f.alone
	next.LookedAt = f.asked
	if until := p.sweeps.FreshUntil(&f.r.Key, now); until.After(next.FreshUntil) && f.r.Upstream.Sweeps(next) {
		next.FreshUntil = until
	}
	entry, err := p.learn(f.r.Upstream, f.rec, fact{entry: next, basis: f.known, report: &f.report})
	if entry == nil || entry.Missing { // it was forgotten meanwhile: the answer is for those who asked before
		entry = next
	}
	out.Entry = entry
	switch {
	case entry.Terminal && !entry.Stored:
		out.Cache.Detail = problem.DetailNotStored
	case err == nil:
		out.Cache.Stored = true
	}
	if entry.Settling && err == nil {
		p.scheduleSettling(f.r, entry)
	}
	return out
}

// confirm notes that the upstream says what is known for good.
func (p *Poller) confirm(f *flight, now time.Time) *cache.Entry {
	again := func(known *cache.Entry) (*cache.Entry, bool) {
		if known == nil || !known.Frozen {
			return nil, false
		}
		next := *known
		next.ObservedAt = now
		return &next, false
	}
	standing, _ := p.learn(f.r.Upstream, f.rec, fact{revise: again, basis: f.known, report: &f.report})
	if standing == nil { // it was forgotten meanwhile: the answer is for those who asked before
		return f.known
	}
	return standing
}

// before is what was known of the task before this flight asked, over answers
// in between that missed it.
func (f *flight) before() *cache.Entry {
	if f.known == nil || !f.known.Missing {
		return f.known
	}
	f.rec.mu.Lock()
	defer f.rec.mu.Unlock()
	return f.rec.losses.before
}

// lost ends a flight whose task the upstream does not know. A terminal document
// stays, though a suspended partition is not shown it; another one is dropped,
// and remembered as gone for a while.
func (p *Poller) lost(f *flight, res *upstream.Response, v providers.Verdict, now time.Time) outcome {
	u, code := f.r.Upstream, res.Code
	out := outcome{forwarded: true, Answer: Answer{Raw: u.RawOf(res, v), Cache: problem.CacheStatus{Forward: f.forward, FwdStatus: code}}}
	known := f.known
	wait := time.Duration(0)
	if v.RetryAfter > 0 {
		wait = upstream.ClampRetryAfter(v.RetryAfter)
	}
	denied := failure{problem: upstream.SaidWith(u.NotFound, code), asked: true, final: true, raw: out.Raw, wait: wait}
	switch {
	case known != nil && known.Terminal && f.r.Partition.ExcusedAfterLoss():
		if u.Expiring(known) {
			out.Entry = p.standOn(f)
		} else {
			out.Entry = p.settleWithout(f)
		}
		if out.Entry == nil {
			out.Entry = known
		}
		out.Cache.Detail = problem.DetailGoneUpstream
		denied.final = false
		f.rec.hold(u, denied, now)
		return out
	case known != nil && known.Terminal:
		return p.refused(f, denied, now)
	case unconfirmed(known, now):
		denied.unconfirmed = true
		return p.refused(f, denied, now)
	}
	gone := known != nil && (!known.Missing || known.Gone)
	tombstone := &cache.Entry{
		Key: f.r.Key, Partition: f.r.Partition.ID, Upstream: u.Name, Missing: true, NativeCode: code, Gone: gone,
		Generation: f.generation, Version: f.version, Alone: f.alone,
		ObservedAt: now, FreshUntil: now.Add(max(u.Config.Freshness.NotFound, u.Provider.Poll.Min, wait)),
	}
	if out.Raw != nil && len(out.Raw.Body) <= maxHeldBody {
		tombstone.Native, tombstone.NativeType = append([]byte{}, out.Raw.Body...), out.Raw.ContentType
	}
	missed := fact{entry: tombstone, basis: known}
	tombstone.Unconfirmed = gone && !f.rec.missed(known, now)
	if gone && !tombstone.Unconfirmed {
		missed.lost = u.Missing(tombstone)
	}
	out.Problem, out.RetryAfter, out.Unconfirmed = askAgain(u.Missing(tombstone), wait), wait, tombstone.Unconfirmed
	_, _ = p.learn(u, f.rec, missed)
	if f.r.Partition.Suspended() { // it is shown nothing that is stored, but is not to ask at once again
		f.rec.hold(u, denied, now)
	}
	return out
}

// missed counts a poll that did not find a task that was known, and reports
// whether it can be taken for lost.
func (rec *record) missed(known *cache.Entry, now time.Time) bool {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	l := &rec.losses
	if l.n == 0 {
		l.since = now
	}
	if !known.Missing {
		l.before = known
	}
	l.n++
	return l.n >= lostAfter && now.Sub(l.since) >= lostFor
}
