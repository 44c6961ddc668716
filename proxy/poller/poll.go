package poller

import (
	"context"
	"errors"
	"net/http"
	"time"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
	"pollux/proxy/trace"
)

// storeTimeout bounds one call of the store, so that a sick disk delays polls
// and does not stop them.
const storeTimeout = 2 * time.Second

// Cached answers a poll from memory, if memory holds an answer that is fresh
// and may be shown to the partition. It allocates nothing. key must not lie on
// the caller's stack if that promise is to hold.
func (p *Poller) Cached(u *upstream.Upstream, part *upstream.Partition, key *cache.ID, now time.Time) (Answer, bool) {
	e, ok := p.memory.Get(key)
	if !ok || !p.believed(e) {
		return Answer{}, false
	}
	a, ok := p.serveFresh(u, part, e, now)
	if ok {
		u.Metrics.Hits.Inc()
		if u.Config.Sweep > 0 {
			p.sweeps.Touch(key, now)
		}
	}
	return a, ok
}

// serveFresh serves e as a hit if it is fresh and part may see it.
func (p *Poller) serveFresh(u *upstream.Upstream, part *upstream.Partition, e *cache.Entry, now time.Time) (Answer, bool) {
	switch {
	case !e.Fresh(now), u.Outdated(e, now):
		return Answer{}, false
	case e.Missing:
		return missing(u, e, now), !part.Suspended()
	case !part.Authorized(u, now):
		return Answer{}, false
	}
	return Answer{Entry: e, Cache: hit(e, now)}, true
}

// missing is the answer about a task that the upstream has just denied.
func missing(u *upstream.Upstream, e *cache.Entry, now time.Time) Answer {
	left := e.FreshUntil.Sub(now)
	a := Answer{Problem: askAgain(u.Missing(e), left), Cache: hit(e, now), Age: e.Age(now), RetryAfter: left, Unconfirmed: e.Unconfirmed}
	if e.Native != nil {
		a.Raw = &upstream.Raw{Code: e.NativeCode, ContentType: e.NativeType, Body: e.Native}
	}
	return a
}

// outcome is what a flight ends with, for everybody who waited.
type outcome struct {
	Answer
	forwarded bool       // the upstream was asked
	poll      trace.Poll // by that; zero: it was not, or is not traced
}

// Poll answers r from the store or the upstream, once Cached could not.
// Everybody who asks for the same key at the same time shares one upstream
// poll. It returns when there is an answer or ctx ends; without an end of ctx, at
// the end of the upstream's timeout or of the engine at the latest.
func (p *Poller) Poll(ctx context.Context, r Request) Answer {
	switch {
	case r.Told != nil:
		return p.untilNow(r, time.Now())
	case r.OnlyIfCached:
		return p.onlyIfCached(r, time.Now())
	}
	out, led := p.join(ctx, r)
	if !led && out.forwarded {
		out.Cache.Collapsed = true
	}
	r.Asker.AnsweredBy(out.poll)
	r.Upstream.Metrics.Count(out.Cache, out.forwarded, led, out.Problem != nil)
	return out.Answer
}

// join waits for the flight of r's key, starting it if there is none. led says
// that this call started it. Who cannot leave flies it in its own goroutine, whose
// stack has grown to what that takes before.
func (p *Poller) join(ctx context.Context, r Request) (out outcome, led bool) {
	mine := &flight{r: r}
	fly := func() (any, error) {
		mine.out = p.fly(mine)
		return mine, nil
	}
	if ctx.Done() == nil {
		res, _, _ := p.flights.Do(string(r.Key[:]), fly)
		return res.(*flight).out, res == mine
	}
	select {
	case res := <-p.flights.DoChan(string(r.Key[:]), fly):
		return res.Val.(*flight).out, res.Val == mine
	case <-ctx.Done(): // the flight goes on, for others or for the store
		return outcome{Answer: Answer{Problem: &problem.Problem{Type: problem.UpstreamTimeout, Status: http.StatusGatewayTimeout,
			Upstream: r.Upstream.Name, Detail: "the caller stopped waiting"}}}, true
	}
}

// flight is one poll that everybody who asks meanwhile waits for. It belongs to
// one goroutine, and what it came to is read once that is done.
type flight struct {
	out     outcome
	r       Request
	rec     *record
	known   *cache.Entry // before the upstream is asked; nil: nothing
	forward problem.Forward
	asking  *trace.Asking // nil: it is not traced

	report     cache.Report         // of the poll that the store granted; without a Token it granted none, or has the report
	looked     bool                 // the store was asked what stands
	waited     bool                 // for a poll of somebody else
	asked      time.Time            // when the store last was
	credential providers.Credential // with which the upstream is asked
	account    [16]byte             // of that, where Pollux holds it

	generation, version, alone uint64 // under which it is asked, as in cache.Entry

	repeats bool // the answer is the one that is known, byte for byte

	listing *page // what is asked for in place of the task; nil: the task
}

// fly is a flight from start to end. It runs on its own context: a caller who
// leaves ends it for nobody.
func (p *Poller) fly(f *flight) (out outcome) {
	r := &f.r
	f.rec = p.records.pin(&r.Key)
	defer p.records.unpin(f.rec)
	defer func() {
		if v := recover(); v != nil { // it would end the process: singleflight panics again in a goroutine of its own
			p.faults.roots.Caught("poll of "+r.Upstream.Name, v)
			out = outcome{Answer: Answer{Problem: &problem.Problem{Type: problem.AboutBlank, Status: http.StatusInternalServerError, Upstream: r.Upstream.Name}}}
		}
	}()
	defer p.done(f)
	if f.known, _ = p.memory.Get(&r.Key); f.known != nil && !p.believed(f.known) {
		p.look(f)
	}
	now := time.Now()
	p.sweepAlong(r, f.known, now)
	if a, ok := p.withoutAsking(f, now); ok {
		return outcome{Answer: a}
	}
	f.forward = forward(f.known, *r, now)
	defer func() { out.poll = f.asking.Last() }()
	res, v, err := p.ask(f)
	if err == nil {
		return p.conclude(f, res, v, time.Now())
	}
	if known, ok := errors.AsType[*answered](err); ok {
		return outcome{Answer: known.Answer}
	}
	if !f.looked { // nothing is asked or spent, and what stands may do
		p.look(f)
		if a, ok := p.withoutAsking(f, time.Now()); ok {
			return outcome{Answer: a}
		}
	}
	return p.fallBack(f, failureOf(r.Upstream, err))
}

// done gives the store the report that f still owes it.
func (p *Poller) done(f *flight) {
	if f.report.Token != 0 && f.report.Unsent {
		f.r.Partition.Unspent(f.report.Budget)
	}
	p.release(&f.report)
}

// withoutAsking answers a flight with what is fresh, or with what the last poll
// brought if that is too recent for another one.
func (p *Poller) withoutAsking(f *flight, now time.Time) (Answer, bool) {
	u, part, known := f.r.Upstream, f.r.Partition, f.known
	if known != nil && !f.r.settle {
		recent := known.Age(now) < u.Provider.Poll.Min && known.NativeCode != 0
		if !f.r.NoCache || recent || f.rec.heeds(now) || known.Age(now) < known.Asked {
			if a, ok := p.serveFresh(u, part, known, now); ok {
				return a, true
			}
		}
		if f.r.NoCache && recent && !known.Missing && part.Authorized(u, now) {
			return Answer{Entry: known, Cache: hit(known, now)}, true
		}
	}
	if failed := f.rec.held(now); failed != nil && part.Paused(now) == 0 {
		return p.answerHeld(f, failed, now), true
	}
	return Answer{}, false
}

// forward says why the upstream is asked.
func forward(known *cache.Entry, r Request, now time.Time) problem.Forward {
	switch {
	case known == nil || known.Missing:
		return problem.FwdMiss
	case r.NoCache && known.Fresh(now):
		return problem.FwdRequest
	}
	return problem.FwdStale
}

// known returns what memory or else the store has of a task, nil if neither
// has. What only the store had becomes known that way.
func (p *Poller) known(rec *record, r Request) *cache.Entry {
	f := &flight{r: r, rec: rec}
	if f.known, _ = p.memory.Get(&r.Key); f.known == nil || !p.believed(f.known) {
		p.lookApart(f)
	}
	return f.known
}

// current brings an entry that an older provider file mapped up to date, from
// the native body beside it. It returns nil for an entry that the file of
// today cannot read, or that is not what was asked for.
func (p *Poller) current(r Request, e *cache.Entry) *cache.Entry {
	u := r.Upstream
	if e.Key != r.Key || e.Upstream != u.Name || len(r.Reference.Values) != len(u.Provider.Params) {
		return nil
	}
	if e.Revision == u.Provider.Revision || e.NativeCode == 0 { // nothing was mapped yet
		return e
	}
	header := http.Header{"Content-Type": {e.NativeType}}
	for _, h := range e.NativeHeader {
		header[h.Name] = append(header[h.Name], h.Value)
	}
	v := u.Provider.Judge(r.Reference, e.NativeCode, header, e.Native, e.ObservedAt)
	switch {
	case v.Kind != providers.Answered:
		return nil
	case v.WantsResult: // which is not stored apart: what the older file made of it stands
		return e
	}
	next := p.render(r, e, v, rawEntry{code: e.NativeCode, contentType: e.NativeType, header: e.NativeHeader, body: e.Native}, e.ObservedAt)
	next.Generation, next.Version = e.Generation, e.Version
	next.Stored, next.SettleStep, next.Polls = e.Stored, e.SettleStep, e.Polls
	next.Frozen = next.Terminal && !u.Provider.Reopenable && (e.Frozen || next.Frozen)
	next.Settling = next.Terminal && !next.Frozen && !u.Provider.Reopenable
	return next
}

// onlyIfCached serves what is stored, fresh or not, and never asks.
func (p *Poller) onlyIfCached(r Request, now time.Time) Answer {
	rec := p.records.pin(&r.Key)
	defer p.records.unpin(rec)
	e := p.known(rec, r)
	if e != nil && !e.Missing && r.Partition.Authorized(r.Upstream, now) {
		r.Upstream.Metrics.Hits.Inc()
		a, _ := standing(rec, r, e, now)
		return a
	}
	return Answer{Problem: &problem.Problem{Type: problem.NotCached, Status: http.StatusGatewayTimeout, Upstream: r.Upstream.Name,
		Detail: "nothing is stored that may be served, and only-if-cached forbids asking"}}
}

// untilNow is the answer for who has waited for news of a task: what is known, as
// long as a poll that fails may be answered with it. The poll that began the wait
// was counted.
func (p *Poller) untilNow(r Request, now time.Time) Answer {
	if r.Partition.Suspended() {
		return Answer{Problem: alreadyRefused(r.Upstream)}
	}
	e := r.Told
	if known, ok := p.memory.Get(&r.Key); ok && !known.Missing {
		e = known
	}
	rec := p.records.pin(&r.Key)
	defer p.records.unpin(rec)
	a, why := standing(rec, r, e, now)
	if why != nil && !why.final && !why.unconfirmed && !r.Partition.MayFallBack(r.Upstream, e, now) {
		a.Entry, a.Problem, a.Cache = nil, why.problem, problem.CacheStatus{Detail: why.detail}
		if why.detail == problem.DetailStaleIfError { // nothing is served in its place
			a.Cache.Detail = problem.NoDetail
		}
	}
	return a
}

// standing is the answer that e makes, fresh or not, without a poll, and what
// keeps a newer one from being had; nil: nothing does.
func standing(rec *record, r Request, e *cache.Entry, now time.Time) (Answer, *failure) {
	a := Answer{Entry: e, Cache: hit(e, now)}
	if e.Fresh(now) || !a.Cache.HasTTL {
		return a, nil
	}
	why := obstacle(rec, r, e, now)
	if why != nil {
		a.Cache.Detail, a.RetryAfter = why.detail, why.problem.RetryAfter
	}
	return a, why
}

// obstacle is what a poll of r would fail with before it asked, or else what the
// last one failed with, unless e was found since, elsewhere maybe; nil is neither.
func obstacle(rec *record, r Request, e *cache.Entry, now time.Time) *failure {
	u, part, failed := r.Upstream, r.Partition, rec.trouble()
	if failed != nil && failed.at.Before(e.ObservedAt) {
		failed = nil
	}
	if wait := part.Paused(now); wait > 0 {
		return rateLimited(u, wait, 0, "the upstream asked this credential to wait")
	}
	if failed != nil && now.Before(failed.until) {
		why := failed.failure
		why.problem, why.detail = failed.left(now), problem.DetailHeld
		return &why
	}
	if wait := u.LeftAlone(part, now); wait > 0 {
		why := failureOf(u, &upstream.OpenError{RetryAfter: wait})
		return &why
	}
	if wait := part.Short(u.Config.Rate.Budget(), now); wait > 0 {
		return rateLimited(u, wait, 0, "the budget of this credential (rate) is used up")
	}
	if failed == nil {
		return nil
	}
	why, said := failed.failure, *failed.problem
	said.RetryAfter = 0 // that is over
	why.problem = &said
	return &why
}

// ask sends the poll through pause, breakers and budget, in this order, and
// judges the answer. The error is a *failure, *fetchError, *openError or
// *busyError.
func (p *Poller) ask(f *flight) (*upstream.Response, providers.Verdict, error) {
	u, part := f.r.Upstream, f.r.Partition
	if wait := part.Paused(time.Now()); wait > 0 {
		return nil, providers.Verdict{}, rateLimited(u, wait, 0, "the upstream asked this credential to wait")
	}
	var res *upstream.Response
	var verdict providers.Verdict
	err := u.Guard(part, func() error {
		var err error
		res, verdict, err = p.fetchAndJudge(f)
		return err
	})
	if err != nil && res != nil {
		err = nil // an answer came; the error was for the breakers
	}
	return res, verdict, err
}

func (p *Poller) fetchAndJudge(f *flight) (*upstream.Response, providers.Verdict, error) {
	u, r := f.r.Upstream, f.r
	ctx, cancel := context.WithTimeout(p.base, u.Config.Timeout) // of waiting and asking together
	defer cancel()
	if err := p.begin(ctx, f); err != nil {
		return nil, providers.Verdict{}, err
	}
	slot, err := u.InFlight.Acquire(ctx, &r.Partition.Credential().ID)
	if err != nil {
		return nil, providers.Verdict{}, &busyError{}
	}
	defer slot.Release()
	reg := p.registry.Load()
	if wait := r.Partition.Missed(reg.missesPerSecond, reg.missesBurst, time.Now()); wait > 0 {
		return nil, providers.Verdict{}, rateLimited(u, wait, 0, "this credential causes more upstream polls than limits.misses_per_partition allows")
	}
	if r.spent != nil {
		r.spent()
	}
	f.asking = p.tracer.Polling(&r.Key, f.known, u.Name, u.Provider.Poll.Request.Path(), r.Asker)
	ctx = trace.With(ctx, f.asking)
	res, v, took, err := p.send(ctx, f)
	if err == nil && f.report.Token == 0 && p.store.Healthy() == nil { // it is back: others may have asked since, so this answer gets no version
		u.Judged(v, took)
		if err := p.begin(ctx, f); err != nil {
			return nil, providers.Verdict{}, err
		}
		res, v, took, err = p.send(ctx, f)
	}
	if err == nil && v.Kind == providers.Unauthorized && u.Renews(f.credential) {
		res, v, took, err = p.sendAgain(ctx, f, res, v, took)
	}
	if err != nil {
		if fetch, ok := errors.AsType[*upstream.FetchError](err); ok && fetch.Timeout && took < u.Config.Timeout/2 {
			return nil, providers.Verdict{}, &busyError{} // it had waited for longer than it asked
		}
		return nil, providers.Verdict{}, err
	}
	if v.WantsResult && (f.known == nil || !f.known.Frozen) {
		v = p.withResult(ctx, f, res, v)
	}
	u.Judged(v, took)
	switch {
	case v.ServerFault:
		return res, v, upstream.ErrServer
	case v.Kind == providers.RateLimited:
		return res, v, upstream.ErrNeutral
	}
	return res, v, nil
}

// send makes the request of f and judges its answer.
func (p *Poller) send(ctx context.Context, f *flight) (res *upstream.Response, v providers.Verdict, took time.Duration, err error) {
	u, r := f.r.Upstream, f.r
	if f.credential, err = u.Authorize(ctx, r.Credential); err != nil {
		return nil, v, 0, withoutToken(err)
	}
	f.account = u.Account(f.credential)
	req, err := f.request(ctx)
	if err != nil {
		return nil, v, 0, &upstream.FetchError{Reason: "build the upstream's request: a value cannot stand in its URL"}
	}
	r.trace(req.Header)
	f.report.Unsent = false
	return u.Poll(r.Partition, req, f.judge)
}

// sendAgain makes the request once more after an answer that refuses an access
// token, if another one is to be had.
func (p *Poller) sendAgain(ctx context.Context, f *flight, res *upstream.Response, v providers.Verdict, took time.Duration) (*upstream.Response, providers.Verdict, time.Duration, error) {
	u := f.r.Upstream
	fresh, err := u.Authorize(ctx, f.r.Credential)
	switch {
	case err != nil:
		return nil, providers.Verdict{}, 0, withoutToken(err)
	case fresh.Equal(f.credential):
		return res, v, took, nil
	}
	u.Judged(v, took)
	if !p.spendAlso(ctx, f) {
		return nil, providers.Verdict{}, 0, rateLimited(u, time.Second, 0, "the budget of this credential (rate) is used up")
	}
	return p.send(ctx, f)
}

func (f *flight) request(ctx context.Context) (*http.Request, error) {
	u := f.r.Upstream
	if f.listing != nil {
		return u.Provider.SweepRequest(ctx, u.Base, f.r.Reference, f.listing.cursor, f.credential)
	}
	return u.Provider.PollRequest(ctx, u.Base, f.r.Reference, f.credential)
}

func (f *flight) judge(res *upstream.Response) providers.Verdict {
	if f.listing != nil {
		return f.listing.judge(f.r.Upstream, f.r.Reference, res)
	}
	if f.repeats = f.repeated(res); f.repeats {
		return repetition(f.known, f.r.Upstream.Provider.Wait(res.Header, res.Body, time.Now()))
	}
	return f.r.Upstream.Judge(f.r.Reference, res)
}

// busyError: max_in_flight requests were under way for the whole timeout.
// Or, elsewhere, another process asked for as long.
type busyError struct{ elsewhere bool }

func (*busyError) Error() string { return "too many upstream polls under way" }

// hit is how an entry that is served without asking is described.
func hit(e *cache.Entry, now time.Time) problem.CacheStatus {
	switch {
	case e.Terminal && !e.Stored:
		return problem.CacheStatus{Forward: problem.Hit, Detail: problem.DetailNotStored}
	case e.Frozen:
		return problem.CacheStatus{Forward: problem.Hit, Detail: problem.DetailTerminal}
	}
	return problem.CacheStatus{Forward: problem.Hit, HasTTL: true, TTL: e.FreshUntil.Sub(now)}
}
