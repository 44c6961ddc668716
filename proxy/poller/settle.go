package poller

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"pollux/cache"
	"pollux/proxy/poller/schedule"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/roots"
)

// settleSlack is how long after its time a settling poll may be late before a
// client's poll does it instead, as after a restart.
const settleSlack = time.Second

// settleState decides whether a terminal answer is final. Providers whose
// first terminal answer is completed a little later are asked again, after the
// delays in their file counted from that first answer, or until complete; so is
// a task whose result could not be had.
func (p *Poller) settleState(u *upstream.Upstream, known, e *cache.Entry, settled, lacksResult bool, now time.Time) {
	if !e.Terminal || u.Provider.Reopenable {
		return
	}
	after := u.Provider.Settle
	if lacksResult {
		after = resultRetries
	}
	if known != nil && known.Settling {
		e.SettleStep = known.SettleStep
		if due := known.FreshUntil.Add(-settleSlack); !settled && now.Before(due) { // a client's no-cache
			e.Settling, e.FreshUntil = true, known.FreshUntil
			return
		}
		e.SettleStep++
	}
	if known != nil && known.Frozen || settled || e.SettleStep >= len(after) {
		e.Frozen = true
		return
	}
	e.Settling = true
	pause := after[e.SettleStep]
	if e.SettleStep > 0 {
		pause -= after[e.SettleStep-1]
	}
	e.FreshUntil = now.Add(pause + settleSlack)
}

// settleWithout counts a settling poll that brought nothing: after the last
// one, the last answer is frozen. It returns what stands, nil if nothing does.
func (p *Poller) settleWithout(f *flight) *cache.Entry {
	step := func(known *cache.Entry) (*cache.Entry, bool) {
		if known == nil || !known.Settling {
			return nil, false
		}
		next := *known
		next.Settling, next.Stored = false, false
		u := f.r.Upstream
		p.settleState(u, known, &next, false, u.Provider.Result != nil && len(u.Provider.Settle) == 0, time.Now())
		return &next, false
	}
	standing, err := p.learn(f.r.Upstream, f.rec, fact{revise: step, basis: f.known})
	if err == nil && standing != nil && standing.Settling {
		p.scheduleSettling(f.r, standing)
	}
	return standing
}

func (p *Poller) scheduleSettling(r Request, e *cache.Entry) {
	r.settle, r.NoCache, r.OnlyIfCached, r.Traceparent, r.Asker = true, false, false, "", nil
	p.settling.Add(schedule.Call[Request]{Key: r.Key, Lane: r.Upstream.Name, Owner: r.Partition.Credential().ID, Due: e.FreshUntil.Add(-settleSlack), Value: r})
}

func (p *Poller) settleOnce(ctx context.Context, r Request, _ time.Duration) {
	if r, ok := p.refreshed(r); ok {
		_, _ = p.join(ctx, r)
	}
}

// refreshed is r on the upstream of today: a reload may have changed its limits.
// It reports false if there is none that r could be meant for: then nothing is
// asked any more.
func (p *Poller) refreshed(r Request) (Request, bool) {
	u := p.Upstream([]byte(r.Upstream.Name))
	if u == nil || !u.Continues(r.Upstream) {
		return r, false
	}
	r.Upstream = u
	return r, true
}

// unstored holds terminal entries that the store refused, until it takes them.
type unstored struct {
	mu    sync.Mutex
	byKey map[cache.ID]*cache.Entry
	bytes int64
}

const (
	maxUnstored      = 100_000
	maxUnstoredBytes = 64 << 20
	retryEvery       = time.Second
)

func (q *unstored) add(e *cache.Entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.byKey == nil {
		q.byKey = map[cache.ID]*cache.Entry{}
	}
	if old := q.byKey[e.Key]; old != nil {
		q.bytes -= old.Size()
	} else if len(q.byKey) >= maxUnstored || q.bytes+e.Size() > maxUnstoredBytes {
		return // memory still has it; the next poll tries again
	}
	q.byKey[e.Key] = e
	q.bytes += e.Size()
}

func (q *unstored) remove(key *cache.ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.byKey[*key]; e != nil {
		q.bytes -= e.Size()
		delete(q.byKey, *key)
	}
}

func (q *unstored) list() []*cache.Entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Collect(maps.Values(q.byKey))
}

func (p *Poller) retryUnstored(ctx context.Context) {
	roots.Every(ctx, retryEvery, func() {
		for _, e := range p.unstored.list() {
			if !p.storeAgain(e) {
				break // the store is still sick: no use trying them all
			}
		}
	})
}

// storeAgain stores e if it is still what is known of its task. It reports
// whether the store took it or did not have to.
func (p *Poller) storeAgain(e *cache.Entry) bool {
	u := p.Upstream([]byte(e.Upstream))
	if u == nil {
		p.unstored.remove(&e.Key)
		return true
	}
	rec := p.records.pin(&e.Key)
	defer p.records.unpin(rec)
	again := func(known *cache.Entry) (*cache.Entry, bool) {
		if known != nil && known.Alone > 0 {
			return nil, false // it gets a version first
		}
		if known == nil || known.Stored || !known.Terminal || known.Missing {
			p.unstored.remove(&e.Key)
			return nil, false
		}
		next := *known
		return &next, false
	}
	standing, _ := p.learn(u, rec, fact{revise: again, basis: e})
	return standing == nil || standing.Stored || standing.Missing || standing.Alone > 0
}
