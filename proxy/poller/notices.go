package poller

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"pollux/cache"
	"pollux/proxy/poller/upstream"
)

const (
	// rereaders is how many keys of notices are looked up at a time: what a shared
	// store answers in one round trip.
	rereaders = 32
	// silentEvery is how often followed tasks are looked up while no notices
	// flow, and lookEvery how often it is found out whether they do.
	silentEvery = 500 * time.Millisecond
	lookEvery   = 100 * time.Millisecond
)

// believed reports whether e need not be looked up in the store before it is
// shown: whatever became newer would have been heard of. Without the store there
// is nothing to look up. It costs two atomic loads.
func (p *Poller) believed(e *cache.Entry) bool {
	if !p.store.Current() {
		return p.store.Healthy() != nil
	}
	cut := p.cut.Load()
	return cut == 0 || e.LookedAt.Sub(epoch) > time.Duration(cut)
}

// Alone reports whether the store does not answer, or takes nothing: Pollux goes
// on without it.
func (p *Poller) Alone() bool { return p.store.Healthy() != nil }

// Sharing is how the store is shared with other processes.
type Sharing struct {
	Members *cache.Members
	Lags    map[string]time.Duration // of notices, by the ID of who hears them
	Current bool                     // notices of the others flow
	Leased  int64                    // polls answered by what another process was asking for
	Alone   bool                     // the store does not answer
}

// Sharing returns how the store is shared at present.
func (p *Poller) Sharing() Sharing {
	return Sharing{Members: p.store.Members(), Lags: p.store.Lags(), Current: p.store.Current(), Leased: p.leased.n.Load(), Alone: p.Alone()}
}

// epoch is what p.cut counts from.
var epoch = time.Now()

// Heard takes in notices of other processes that share the store, as
// cache.Cluster has them. It returns at once.
func (p *Poller) Heard(news []cache.Notice, lost bool) {
	if lost {
		p.doubtAll()
	}
	for i := range news {
		n := &news[i]
		if n.Webhook != "" {
			continue
		}
		p.arrivals.wake(&n.Key)
		e, held := p.memory.Get(&n.Key)
		switch {
		case held && e.NewerThan(&cache.Entry{Generation: n.Generation, Version: n.Version}):
		case held, p.watches.has(&n.Key), p.partitions.Get(&n.Key) != nil:
			p.rereads.add(n.Key)
		default:
			p.tracker.Leave(&n.Key)
		}
	}
}

// doubtAll believes nothing in memory before a look at the store, and looks up
// what is followed, and what the store
// lacks.
func (p *Poller) doubtAll() {
	p.cut.Store(int64(time.Since(epoch)))
	for _, key := range p.owed.list() {
		p.rereads.add(key)
	}
	for _, key := range p.watches.keys() {
		p.rereads.add(key)
	}
}

// followNotices looks up what notices were about, until ctx ends.
func (p *Poller) followNotices(ctx context.Context) {
	if _, alone := p.store.(*cache.Solo); alone {
		<-ctx.Done()
		return
	}
	var readers sync.WaitGroup
	defer readers.Wait()
	for range rereaders {
		readers.Go(func() {
			for {
				key, ok := p.rereads.next(ctx)
				if !ok {
					return
				}
				p.faults.roots.Run("notice", func() { p.reread(key) })
			}
		})
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if silent := !p.store.Current() && p.store.Healthy() == nil; silent && now.Sub(last) >= silentEvery {
				last = now
				for _, key := range p.watches.keys() {
					p.rereads.add(key)
				}
			}
		}
	}
}

// reread looks up what the store has under a key, of a task or of a credential.
func (p *Poller) reread(key cache.ID) {
	if part := p.partitions.Get(&key); part != nil {
		p.rereadPartition(part)
		return
	}
	r, ok := p.requestOf(&key)
	if !ok {
		p.owed.remove(&key)
		return
	}
	f := &flight{r: r, rec: p.records.pin(&key)}
	defer p.records.unpin(f.rec)
	f.known, _ = p.memory.Get(&key)
	if f.known != nil && (f.known.Alone > 0 || p.owed.has(&key)) {
		p.regain(f)
	} else {
		p.lookApart(f)
	}
	if e := f.known; e != nil && !e.Terminal && !e.Missing && !e.Fresh(time.Now()) {
		p.watches.hurry(&key) // somebody knows that there is news
	}
}

func (p *Poller) rereadPartition(part *upstream.Partition) {
	ctx, cancel := context.WithTimeout(p.base, storeTimeout)
	defer cancel()
	state, err := p.store.Partition(ctx, &part.ID)
	if u := p.Upstream([]byte(part.Upstream)); err == nil && u != nil {
		p.stateHeard(u, part, state, time.Now())
	}
}

// requestOf is a poll of the task under key, as it is watched or known.
func (p *Poller) requestOf(key *cache.ID) (r Request, ok bool) {
	if r, ok = p.watches.request(key); ok {
		return p.refreshed(r)
	}
	e, ok := p.memory.Get(key)
	if !ok {
		return r, false
	}
	r = Request{Upstream: p.Upstream([]byte(e.Upstream)), Key: *key}
	if r.Upstream == nil {
		return r, false
	}
	r.Reference.Values = e.Values
	r.Partition = p.Partition(r.Upstream, &e.Partition)
	return r, true
}

// regain gives the store what it lacks of f's task, unless it has something
// newer, which is taken in. What was learnt without the store gets a version, so
// that no answer that was asked for before replaces it, and is stale at once:
// others may have learnt otherwise meanwhile, so that it stays here until it was
// asked for once more, unless the task has ended.
func (p *Poller) regain(f *flight) {
	ctx, cancel := context.WithTimeout(p.base, storeTimeout)
	defer cancel()
	asked := time.Now()
	g, err := p.store.Begin(ctx, p.pollOf(f))
	alone := f.known.Alone > 0
	version := f.known.Version
	if err == nil && alone {
		version, err = p.store.Next(ctx)
	}
	if err != nil {
		return // and again when it is back
	}
	p.owed.remove(&f.r.Key)
	if g.Generation > f.known.Generation || g.Entry != nil && !staysAlone(f.known, g.Entry) {
		p.takeIn(f, g, asked)
		return
	}
	given := func(known *cache.Entry) (*cache.Entry, bool) {
		if known == nil || known.Missing || known.NewerThan(f.known) {
			return nil, false
		}
		next := *known
		next.Version, next.Alone, next.LookedAt, next.PersistedAt = version, 0, asked, time.Time{}
		if alone {
			next.Stored = false
		}
		if alone && !next.Frozen {
			next.FreshUntil = asked
		}
		return &next, false
	}
	f.known, _ = p.learn(f.r.Upstream, f.rec, fact{revise: given, basis: f.known, stored: alone && !f.known.Terminal})
}

// written reports whether the store has e, as far as is known here.
func written(e *cache.Entry) bool { return e.Stored || !e.PersistedAt.IsZero() }

// keySet is a set of keys of bounded size. The zero value is empty.
type keySet struct {
	mu   sync.Mutex // guards keys
	keys map[cache.ID]struct{}
}

// maxOwed bounds the tasks of which is remembered that the store lacks them.
const maxOwed = 1 << 18

func (s *keySet) add(key *cache.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys = map[cache.ID]struct{}{}
	}
	if len(s.keys) < maxOwed {
		s.keys[*key] = struct{}{}
	}
}

func (s *keySet) remove(key *cache.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, *key)
}

func (s *keySet) has(key *cache.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.keys[*key]
	return ok
}

func (s *keySet) list() []cache.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.keys))
}

// rereads are the keys to be looked up, each once, in the order in which they
// came.
type rereads struct {
	mu      sync.Mutex // guards what follows
	waiting map[cache.ID]struct{}
	order   []cache.ID
	wake    chan struct{} // of capacity 1: there are some
}

func (q *rereads) init() {
	q.waiting, q.wake = map[cache.ID]struct{}{}, make(chan struct{}, 1)
}

func (q *rereads) add(key cache.ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, ok := q.waiting[key]; ok {
		return
	}
	q.waiting[key] = struct{}{}
	q.order = append(q.order, key)
	q.poke()
}

func (q *rereads) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// next takes the next key, and waits for one until ctx ends.
func (q *rereads) next(ctx context.Context) (key cache.ID, ok bool) {
	for {
		q.mu.Lock()
		if len(q.order) > 0 {
			key = q.order[0]
			if q.order = q.order[1:]; len(q.order) > 0 {
				q.poke()
			}
			delete(q.waiting, key) // what comes from now on is another change
			q.mu.Unlock()
			return key, true
		}
		q.mu.Unlock()
		select {
		case <-ctx.Done():
			return key, false
		case <-q.wake:
		}
	}
}
