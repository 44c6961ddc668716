package poller

import (
	"context"
	"net/http"
	"sync"
	"time"

	"pollux/cache"
	"pollux/normalize"
	"pollux/providers"
	"pollux/proxy/poller/sweep"
	"pollux/proxy/poller/upstream"
)

// sweptFor is how long after its last poll a task that nobody watches is looked
// for in listings.
const sweptFor = time.Minute

// confirming bounds the tasks of one sweep that are polled at once because their
// listing does not tell enough of them.
const confirming = 16

// sweeping is one reading of a listing, page by page. It belongs to one goroutine.
type sweeping struct {
	p     *Poller
	u     *upstream.Upstream
	l     *sweep.Listing
	tasks map[string]*sought // by their own ids, which differ within a listing
	first Request            // of any of them: the listing is asked for in its name
	told  map[cache.ID]bool  // by the pages so far
	alone []Request          // to be polled, since the listing tells too little of them
}

// sought is a task as it stood before the listing was asked for.
type sought struct {
	r          Request
	rec        *record
	known      *cache.Entry // nil: nothing
	generation uint64
}

// page is one page of a listing that is asked for.
type page struct {
	cursor string
	wanted func(id string) bool
	read   providers.SweepPage // what it told
}

func (g *page) judge(u *upstream.Upstream, of providers.Reference, res *upstream.Response) providers.Verdict {
	if res.Unusable != "" {
		return providers.Verdict{Kind: providers.BadAnswer, Reason: res.Unusable, ServerFault: true}
	}
	read, v, ok := u.Provider.ReadSweep(of, providers.Answer{Code: res.Code, Header: res.Header, Body: res.Body}, g.wanted, time.Now())
	if g.read = read; ok {
		v.Kind = providers.Answered
	}
	return v
}

// sweepAlong notes that the task of r is asked for, of which e is known.
func (p *Poller) sweepAlong(r *Request, e *cache.Entry, now time.Time) {
	p.sweeps.Along(sweep.Task{Upstream: r.Upstream, Partition: r.Partition, Key: r.Key, Reference: r.Reference, Credential: r.Credential}, e, now)
}

// requestOf is the poll of a task that a listing may tell about.
func requestOf(t *sweep.Task) Request {
	return Request{Upstream: t.Upstream, Partition: t.Partition, Key: t.Key, Reference: t.Reference, Credential: t.Credential}
}

// stillWanted reports whether a task lives and somebody wants to know of it. While
// the upstream says itself when there is news, that somebody watches it is no
// reason to ask.
func (p *Poller) stillWanted(t *sweep.Task, u *upstream.Upstream, polled time.Duration) bool {
	e, _ := p.memory.Get(&t.Key)
	return u.Sweeps(e) && (polled < sweptFor || !u.Speaks(time.Now()) && p.watches.follows(&t.Key))
}

// sweepOnce reads a listing, learns what it tells, and plans the next sweep.
func (p *Poller) sweepOnce(ctx context.Context, l *sweep.Listing, _ time.Duration) {
	defer l.Release()
	start := time.Now()
	u := p.Upstream([]byte(l.Upstream))
	live := p.sweeps.Swept(l, u, start)
	if len(live) == 0 {
		return
	}
	s := &sweeping{p: p, u: u, l: l, tasks: make(map[string]*sought, len(live)), first: requestOf(&live[0]), told: map[cache.ID]bool{}}
	for i := range live {
		defer s.seek(requestOf(&live[i]))()
	}
	planned := false
	defer func() {
		if !planned { // a panic is on its way
			p.sweeps.Again(l, time.Now().Add(sweep.Longest))
		}
	}()
	failed := s.read()
	now := time.Now()
	switch {
	case failed != nil && len(s.told) == 0:
		p.sweeps.Failed(l, u, failed.problem.RetryAfter, now)
	default:
		for _, key := range p.sweeps.Told(l, u, s.told, live, now.Sub(start), now) {
			p.watches.hurry(&key)
		}
	}
	planned = true
	s.confirm(ctx)
}

// seek adds a task to those that are looked for, until done.
func (s *sweeping) seek(r Request) (done func()) {
	t := &sought{r: r, rec: s.p.records.pin(&r.Key)}
	t.known = s.p.known(t.rec, r)
	t.rec.mu.Lock()
	t.generation = t.rec.generation
	t.rec.mu.Unlock()
	s.tasks[s.u.Parser.TaskID(r.Reference)] = t
	return func() { s.p.records.unpin(t.rec) }
}

// read reads the pages until every task is told of, there is no next one, or
// one cannot be had.
func (s *sweeping) read() (why *failure) {
	cursor := ""
	for range s.u.Provider.Sweep.MaxPages {
		next, failed := s.page(cursor)
		if failed != nil || next == "" || next == cursor || len(s.told) == len(s.tasks) {
			return failed
		}
		cursor = next
	}
	return nil
}

// page asks for one page, by a flight of its own that ends in many entries, and
// learns what it tells. Of several processes each reads the listing for the tasks
// that it follows, one after the other.
func (s *sweeping) page(cursor string) (next string, why *failure) {
	u, p := s.u, s.p
	f := &flight{
		r:       Request{Upstream: u, Partition: s.l.Partition, Key: s.l.ID, Reference: s.first.Reference, Credential: s.first.Credential, spent: s.l.Release},
		rec:     p.records.pin(&s.l.ID),
		listing: &page{cursor: cursor, wanted: func(id string) bool { return s.tasks[id] != nil }},
	}
	defer p.records.unpin(f.rec)
	defer p.done(f)
	res, v, err := p.ask(f)
	now := time.Now()
	if why = f.failedListing(res, v, err, now); why != nil {
		p.sweeps.Pages.WithLabelValues(u.Name, "failed").Inc()
		return "", why
	}
	p.sweeps.Pages.WithLabelValues(u.Name, "read").Inc()
	p.accepted(u, s.l.Partition, f.account, now)
	for _, item := range f.listing.read.Items {
		if t := s.tasks[u.Parser.TaskID(item.Reference)]; t != nil && !s.told[t.r.Key] {
			s.told[t.r.Key] = true
			s.learn(t, item, f, now)
		}
	}
	return f.listing.read.Next, nil
}

// failedListing is why a page tells nothing, nil if it does. That a credential
// may not list is no word about its tasks, so it suspends nothing.
func (f *flight) failedListing(res *upstream.Response, v providers.Verdict, err error, now time.Time) *failure {
	var why failure
	switch {
	case err != nil:
		why = failureOf(f.r.Upstream, err)
	case v.Kind == providers.Answered:
		return nil
	case v.Kind == providers.RateLimited:
		why = f.limited(res, v, now)
	default:
		why = failureByVerdict(f.r.Upstream, res, v)
	}
	return &why
}

// learn learns what an item tells of its task. What it does not tell whole is
// left to a poll.
func (s *sweeping) learn(t *sought, item providers.SweepItem, f *flight, now time.Time) {
	u, p, v := s.u, s.p, item.Verdict
	raw := rawEntry{code: u.Provider.Sweep.Code, contentType: "application/json", body: item.Body}
	partial, status := u.Provider.Sweep.Partial, v.Task.Status
	if v.WantsResult || partial && (status.Terminal() || status == normalize.RequiresAction && !says(t.known, &v.Task)) {
		s.alone = append(s.alone, t.r)
		return
	}
	if partial {
		v, raw = statusOnly(u, t, item)
	}
	p.noteWord(t.r, v)
	next := p.render(t.r, t.known, v, raw, now)
	next.Generation, next.Version, next.Alone = t.generation, f.version, f.alone
	if t.known != nil {
		if next.LookedAt = t.known.LookedAt; f.version == 0 { // without the store, which alone gives versions
			next.Version, next.Alone = t.known.Version, t.known.Alone+1
		}
	}
	if !next.Terminal {
		next.FreshUntil = now.Add(u.SweepEvery() + p.sweeps.Slack(s.l))
	}
	p.sweeps.Tasks.WithLabelValues(u.Name).Inc()
	entry, err := p.learn(u, t.rec, fact{entry: next, basis: t.known})
	if err == nil && entry != nil && entry.Settling {
		p.scheduleSettling(t.r, entry)
	}
}

// says reports whether e has the status of task.
func says(e *cache.Entry, task *normalize.Task) bool {
	return e != nil && e.Status == string(task.Status) && e.NativeStatus == task.NativeStatus
}

// statusOnly is what an item that is believed for its status alone makes of what
// is known of its task.
func statusOnly(u *upstream.Upstream, t *sought, item providers.SweepItem) (providers.Verdict, rawEntry) {
	e := t.known
	if e == nil || e.Missing || e.NativeCode == 0 {
		return item.StatusOnly(providers.Verdict{}), rawEntry{body: []byte("null")}
	}
	raw := rawEntry{code: e.NativeCode, contentType: e.NativeType, body: e.Native}
	known := u.Provider.Judge(t.r.Reference, e.NativeCode, http.Header{"Content-Type": {e.NativeType}}, e.Native, e.ObservedAt)
	if known.Kind == providers.Answered && says(e, &item.Verdict.Task) && says(e, &known.Task) {
		return known, raw
	}
	return item.StatusOnly(known), raw
}

// confirm polls the tasks of which the listing says that there is more to know.
func (s *sweeping) confirm(ctx context.Context) {
	var polls sync.WaitGroup
	defer polls.Wait()
	slots := make(chan struct{}, confirming)
	for _, r := range s.alone {
		slots <- struct{}{}
		polls.Go(func() {
			defer func() { <-slots }()
			s.p.faults.roots.Run("sweep", func() {
				s.p.doubt(r)
				_, _ = s.p.join(ctx, r)
			})
		})
	}
}
