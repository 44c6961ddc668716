package poller

import (
	"context"
	"encoding/base64"
	"slices"
	"time"

	"github.com/zeebo/xxh3"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/problem"
)

const (
	// maxHistory bounds the status changes kept of one task; the oldest but
	// the first go.
	maxHistory = 100
	// persistUnchanged is how old the store's copy of an unchanged task may
	// get, so that a restart does not make answers look much older than they are.
	persistUnchanged = 30 * time.Second
)

// conclude ends a flight whose poll the upstream answered.
func (p *Poller) conclude(f *flight, r Request, known *cache.Entry, fwd problem.Forward, res *response, v providers.Verdict, now time.Time) outcome {
	u, part := r.Upstream, r.Partition
	out := outcome{forwarded: true, Answer: Answer{Raw: rawOf(res), Cache: problem.CacheStatus{Forward: fwd}}}
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

// rawEntry is the native side of an entry.
type rawEntry struct {
	code        int
	contentType string
	body        []byte
}

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

// render makes the entry of an answer. An answer whose digest is the known
// one's changes nothing but its age: document, validator and history stay.
func (p *Poller) render(r Request, known *cache.Entry, v providers.Verdict, raw rawEntry, now time.Time) *cache.Entry {
	u, task := r.Upstream, v.Task
	e := &cache.Entry{
		Key: r.Key, Partition: r.Partition.ID, Upstream: u.Name, Provider: u.Provider.Name, Revision: u.Provider.Revision,
		Ref: u.Name + "/" + u.Parser.Format(r.Reference), Values: r.Reference.Values,
		TaskID: task.ID, Status: string(task.Status), NativeStatus: task.NativeStatus, Terminal: task.Status.Terminal(),
		Digest: v.Digest, Native: raw.body, NativeType: raw.contentType, NativeCode: raw.code,
		CreatedAt: task.CreatedAt, CompletedAt: task.CompletedAt, UpdatedAt: changeTime(now), FirstSeen: now, ObservedAt: now,
	}
	if task.Model != nil {
		e.Model = *task.Model
	}
	if task.Error != nil && task.Error.Code != nil {
		e.ErrorCode = *task.Error.Code
	}
	if known != nil {
		e.FirstSeen, e.Submitted, e.History, e.PersistedAt = known.FirstSeen, known.Submitted, known.History, known.PersistedAt
	}
	if known != nil && known.Digest == e.Digest && known.Document != nil && known.Revision == e.Revision {
		e.UpdatedAt, e.Document, e.ETag, e.Stored = known.UpdatedAt, known.Document, known.ETag, known.Stored
	} else {
		task.Upstream, task.Provider = u.Name, u.Provider.Name
		if task.UpdatedAt.IsZero() { // unless the file trusts the upstream's own
			task.UpdatedAt = e.UpdatedAt
		}
		e.Document = task.AppendJSON(nil)
		e.ETag = validator(xxh3.Hash128(e.Document).Bytes())
	}
	e.NativeETag = nativeValidator(e.ETag, v.NativeDigest)
	if e.Polls = 1; known != nil {
		e.Polls += known.Polls
	}
	if n := len(e.History); n == 0 || e.History[n-1].Status != e.Status || e.History[n-1].NativeStatus != e.NativeStatus {
		e.History = append(slices.Clip(e.History), cache.Change{Status: e.Status, NativeStatus: e.NativeStatus, At: now, Poll: e.Polls})
		if len(e.History) > maxHistory {
			e.History = slices.Delete(e.History, 1, 2)
		}
	}
	e.FreshUntil = now.Add(u.pollAgain(known, e, &task, v.RetryAfter, now))
	p.settleState(u, known, e, v.Settled, now)
	return e
}

// changeTime is the moment of a change as documents and lists tell it.
func changeTime(now time.Time) time.Time { return now.UTC().Truncate(time.Microsecond) }

func validator(digest [16]byte) string {
	return `W/"` + base64.RawURLEncoding.EncodeToString(digest[:]) + `"`
}

// nativeValidator changes when the document does, and when the native body
// does in more than its volatile fields.
func nativeValidator(etag string, digest [16]byte) string {
	h := xxh3.New()
	_, _ = h.WriteString(etag)
	_, _ = h.Write(digest[:])
	return validator(h.Sum128().Bytes())
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

// remove deletes key from every tier. The stripe must be locked.
func (p *Poller) remove(key *cache.ID) error {
	p.memory.Delete(key)
	p.settling.cancel(key)
	p.unstored.remove(key)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.base), storeTimeout)
	defer cancel()
	_, err := p.store.Delete(ctx, key, 0)
	if err != nil {
		p.metrics.storeErrors.WithLabelValues("delete").Inc()
	}
	return err
}

// Forget drops the task everywhere it is stored. A poll under way answers its
// callers and stores nothing. The error is the store's: the task is then
// forgotten in memory only.
func (p *Poller) Forget(key *cache.ID) error {
	s := p.flights.stripe(key)
	s.Lock()
	defer s.Unlock()
	p.flights.fence(s, key)
	err := p.remove(key)
	p.tellLost(key, forgotten)
	return err
}

// Freshen makes the next poll of the task ask the upstream: after a cancel or
// a continue passed through, whichever scoping parameters either named. What is
// known stays as a fallback; a poll under way stores nothing, since it may have
// asked before. A frozen document stays.
func (p *Poller) Freshen(r Request) {
	p.freshen(r)
	for _, sibling := range p.siblings(r) {
		p.freshen(sibling)
	}
}

func (p *Poller) freshen(r Request) {
	s := p.flights.stripe(&r.Key)
	s.Lock()
	defer s.Unlock()
	p.flights.fence(s, &r.Key)
	e := p.load(r)
	switch {
	case e == nil || e.Frozen:
		return
	case e.Missing:
		p.memory.Delete(&r.Key)
		return
	}
	now := time.Now()
	stale := *e
	stale.FreshUntil = now
	p.memory.Put(&stale, p.keep(r.Upstream, &stale, now))
	p.store.PutLater(&stale)
}

// maxSiblings bounds the references under which one task is looked for.
const maxSiblings = 32

// siblings are the other references under which the partition polled r's task:
// the same id, with other scoping parameters.
func (p *Poller) siblings(r Request) []Request {
	u := r.Upstream
	if !slices.ContainsFunc(u.Provider.Params, func(p providers.Param) bool { return !p.Task }) {
		return nil
	}
	ctx, cancel := context.WithTimeout(p.base, storeTimeout)
	defer cancel()
	rows, _, err := p.Index().List(ctx, &cache.Query{
		Sight: cache.Sight{Partitions: []cache.ID{r.Partition.ID}}, Upstreams: []string{u.Name},
		TaskID: u.Parser.TaskID(r.Reference), Order: cache.ByUpdated, Descending: true, Limit: maxSiblings,
	})
	if err != nil {
		p.metrics.storeErrors.WithLabelValues("list").Inc()
	}
	var others []Request
	for _, row := range rows {
		if row.Key != r.Key && u.sameTask(row.Values, r.Reference.Values) {
			sibling := r
			sibling.Key, sibling.Reference = row.Key, providers.Reference{Values: row.Values}
			others = append(others, sibling)
		}
	}
	return others
}

// sameTask reports whether two references differ in scoping parameters at most.
func (u *Upstream) sameTask(a, b []string) bool {
	if len(a) != len(b) || len(a) != len(u.Provider.Params) {
		return false
	}
	for i, param := range u.Provider.Params {
		if param.Task && a[i] != b[i] {
			return false
		}
	}
	return true
}

// noteWord counts native words that the provider file does not list, and logs
// each once, but for one that tells the credential.
func (p *Poller) noteWord(r Request, v providers.Verdict) {
	if !v.UnknownWord {
		return
	}
	u := r.Upstream
	u.metrics.unknownWords.Inc()
	if !reveals(u.credential(r.Credential), v.Task.NativeStatus) && p.words.first(u.Name, v.Task.NativeStatus) {
		p.log.Warn("native status word is not in the provider file", "upstream", u.Name, "provider", u.Provider.Name, "native_status", clip(v.Task.NativeStatus))
	}
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64]
	}
	return s
}
