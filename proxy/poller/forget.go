package poller

import (
	"context"
	"net/http"
	"time"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
)

// forgotten is what followers of a task are told when somebody forgets it.
var forgotten = &problem.Problem{Type: problem.TaskNotFound, Status: http.StatusNotFound, Detail: "the task was forgotten on request"}

// Forget drops the task everywhere it is stored. A poll under way answers its
// callers and stores nothing. The error is the store's: the task is then
// forgotten in memory only.
func (p *Poller) Forget(key *cache.ID) error {
	rec := p.records.pin(key)
	defer p.records.unpin(rec)
	_, err := p.learn(nil, rec, fact{absent: &absence{raise: true, why: forgotten}})
	return err
}

// Freshen makes the next poll of the task ask the upstream: after a request with
// method that cancels, continues or deletes it passed through, whichever scoping
// parameters either named. What is known stays as a fallback; a poll under way
// stores nothing, since it may have asked before. A frozen document stays, but after
// a DELETE it settles once more: the upstream may have deleted what it holds, or
// wiped it. A task that is watched is polled at once.
func (p *Poller) Freshen(r Request, method string) {
	p.freshen(r, method)
	for _, sibling := range p.siblings(r) {
		p.freshen(sibling, method)
	}
}

func (p *Poller) freshen(r Request, method string) {
	rec := p.records.pin(&r.Key)
	defer p.records.unpin(rec)
	stale := func(known *cache.Entry) (next *cache.Entry, raise bool) {
		switch {
		case known == nil:
			return nil, true
		case known.Frozen && method != http.MethodDelete:
			return nil, false
		}
		e := *known
		e.FreshUntil = time.Now()
		if e.Frozen {
			e.Frozen, e.Settling, e.SettleStep, e.Stored = false, true, 0, false
		}
		return &e, true
	}
	_, _ = p.learn(r.Upstream, rec, fact{revise: stale, basis: p.known(rec, r)})
	p.watches.hurry(&r.Key)
}

// maxSiblings bounds the references under which one task is looked for.
const maxSiblings = 32

// siblings are the other references under which the partition polled r's task:
// the same id, with other scoping parameters.
func (p *Poller) siblings(r Request) []Request {
	u := r.Upstream
	if !u.Provider.Params.Scoped() {
		return nil
	}
	ctx, cancel := context.WithTimeout(p.base, storeTimeout)
	defer cancel()
	rows, _, err := p.Index().List(ctx, &cache.Query{
		Sight: cache.Sight{Partitions: []cache.ID{r.Partition.ID}}, Upstreams: []string{u.Name},
		Text: u.Parser.TaskID(r.Reference), Order: cache.ByUpdated, Descending: true, Limit: maxSiblings,
	})
	if err != nil {
		p.faults.storeErrors.WithLabelValues("list").Inc()
	}
	var others []Request
	for _, row := range rows {
		if row.Key != r.Key && sameTask(u, row.Values, r.Reference.Values) {
			sibling := r
			sibling.Key, sibling.Reference = row.Key, providers.Reference{Values: row.Values}
			others = append(others, sibling)
		}
	}
	return others
}

// sameTask reports whether two references differ in scoping parameters at most.
func sameTask(u *upstream.Upstream, a, b []string) bool {
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
