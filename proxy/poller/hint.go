package poller

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/poller/upstream"
)

const (
	// maxHints bounds the hints that wait to be followed. One too many is
	// dropped: the slow poll finds what it was about.
	maxHints = 4096
	// hintPage and hintPages bound the rows among which a task is looked for.
	hintPage, hintPages = 500, 10
)

// hint is that there may be news of a task.
type hint struct{ upstream, task string }

// hints are followed one after the other.
type hints struct {
	queue chan hint
	total *prometheus.CounterVec
}

// What becomes of a hint: the task is polled, or only stale, or not known; or
// the hint is dropped.
const hintPolled, hintStale, hintUnknown, hintDropped = "polled", "stale", "unknown", "dropped"

func newHints(reg prometheus.Registerer) hints {
	return hints{queue: make(chan hint, maxHints), total: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "pollux_hints_total", Help: "Hints of upstreams that there is news of a task, by what became of them.",
	}, []string{"upstream", "outcome"})}
}

// Hint notes that u has sent a message that is verified. If task, the task's own
// id, is not "", what is known of that task becomes stale for everybody, and
// it is polled at once where somebody watches it. Hint returns at once.
func (p *Poller) Hint(u *upstream.Upstream, task string) {
	u.Spoke(time.Now())
	if task == "" {
		return
	}
	select {
	case p.hints.queue <- hint{u.Name, task}:
	default:
		p.hints.total.WithLabelValues(u.Name, hintDropped).Inc()
	}
}

// doubts reports whether there was a hint since e was asked for.
func (p *Poller) doubts(e *cache.Entry) bool {
	rec := p.records.pin(&e.Key)
	defer p.records.unpin(rec)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.hinted > e.Version
}

// followHints follows hints until ctx ends.
func (p *Poller) followHints(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case h := <-p.hints.queue:
			if u := p.Upstream([]byte(h.upstream)); u != nil {
				p.hints.total.WithLabelValues(u.Name, p.follow(u, h.task)).Inc()
			}
		}
	}
}

// follow makes what is known of the task stale in every partition, and says what
// came of it.
func (p *Poller) follow(u *upstream.Upstream, task string) (outcome string) {
	outcome = hintUnknown
	followed := map[cache.ID]bool{}
	for _, r := range p.watches.ofTask(u.Name, task) {
		r.Upstream = u
		p.doubt(r)
		p.watches.hurry(&r.Key)
		followed[r.Key] = true
		outcome = hintPolled
	}
	for _, row := range p.rowsOf(u, task) {
		if followed[row.Key] || len(row.Values) != len(u.Provider.Params) {
			continue
		}
		partition := row.Partition
		p.doubt(Request{Upstream: u, Partition: p.Partition(u, &partition), Key: row.Key, Reference: providers.Reference{Values: row.Values}})
		if outcome == hintUnknown {
			outcome = hintStale
		}
	}
	return outcome
}

// rowsOf are the tasks of that id at u, in whichever partition.
func (p *Poller) rowsOf(u *upstream.Upstream, task string) (found []cache.Row) {
	ctx, cancel := context.WithTimeout(p.base, storeTimeout)
	defer cancel()
	q := cache.Query{Sight: cache.Sight{All: true}, Upstreams: []string{u.Name}, Text: task, Order: cache.ByUpdated, Descending: true, Limit: hintPage}
	for range hintPages {
		rows, next, err := p.Index().List(ctx, &q)
		if err != nil {
			p.faults.storeErrors.WithLabelValues("list").Inc()
			return found
		}
		for _, row := range rows {
			if row.TaskID == task { // other ids begin like it
				found = append(found, row)
			}
		}
		if q.After = next; next == nil {
			break
		}
	}
	return found
}

// version numbers a fact that is found from now on without a poll, 0 if the
// store does not answer.
func (p *Poller) version() uint64 {
	ctx, cancel := context.WithTimeout(p.base, storeTimeout)
	defer cancel()
	version, err := p.store.Next(ctx)
	if err != nil {
		return 0
	}
	return version
}

// doubt makes what is known of a task stale, no earlier than the provider lets
// it be polled again. Unlike after a change that Pollux passed on, a poll under
// way still teaches what it brings, or frequent messages would keep a slow
// upstream from ever being understood; but that is stale as well.
func (p *Poller) doubt(r Request) {
	rec := p.records.pin(&r.Key)
	defer p.records.unpin(rec)
	basis := p.known(rec, r)
	version := p.version()
	stale := func(known *cache.Entry) (*cache.Entry, bool) {
		if rec.hinted = max(rec.hinted, version); version == 0 && known != nil {
			rec.hinted = max(rec.hinted, known.Version+1)
		}
		p.flights.Forget(string(r.Key[:])) // whoever asks from now on wants a poll that begins now
		if known == nil || known.Frozen || r.Upstream.Expiring(known) {
			return nil, false
		}
		next := *known
		r.Upstream.Doubted(&next)
		next.PersistedAt = time.Time{} // other processes are told
		return &next, false
	}
	_, _ = p.learn(r.Upstream, rec, fact{revise: stale, basis: basis})
}
