package poller

import (
	"context"
	"slices"
	"time"

	"pollux/cache"
	"pollux/providers"
)

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
