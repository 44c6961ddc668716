package poller

import (
	"context"
	"time"

	"pollux/cache"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
	"pollux/proxy/trace"
)

// Observer is told what becomes known of tasks. Its methods are called while a
// fact is learnt, Published and Lost under the lock of the task's key: they
// must return at once and call no method of the Poller.
type Observer interface {
	// Published: e is what is known now, and differs from what was told last,
	// in its document, its native body, or in whether it can still change.
	Published(e *cache.Entry)
	// Lost: nothing is known of the task any more, for the reason in why.
	Lost(key *cache.ID, why *problem.Problem)
	// Suspended: the upstream refused the partition's credential; nothing
	// stored may be shown to it, and nothing of it is published, until Resumed.
	Suspended(partition *cache.ID, why *problem.Problem)
	// Resumed: the upstream lets a suspended credential in again.
	Resumed(partition *cache.ID)
}

// Observe adds an observer. Call it before the first poll.
func (p *Poller) Observe(o Observer) { p.observers = append(p.observers, o) }

// Trace has the polls of tasks traced, and their ends. Call it before the first
// poll.
func (p *Poller) Trace(t *trace.Tracer) { p.tracer = t }

// suspend notes that the upstream refused the credential of part.
func (p *Poller) suspend(u *upstream.Upstream, part *upstream.Partition, why *problem.Problem) {
	suspended := part.Suspend(u, p.store)
	if len(suspended) == 0 {
		return
	}
	if part.WasAccepted() || p.strangers.first(u.Name, string(part.ID[:])) {
		p.log.Warn("credential refused, partition suspended", "upstream", u.Name, "upstream_status", why.UpstreamStatus)
	}
	p.tellSuspended(suspended, why)
}

func (p *Poller) tellSuspended(parts []*upstream.Partition, why *problem.Problem) {
	for _, part := range parts {
		for _, o := range p.observers {
			o.Suspended(&part.ID, why)
		}
	}
}

func (p *Poller) tellResumed(parts []*upstream.Partition) {
	for _, part := range parts {
		for _, o := range p.observers {
			o.Resumed(&part.ID)
		}
	}
}

// accepted notes that the upstream let the credential of part in, of account
// where Pollux holds it.
func (p *Poller) accepted(u *upstream.Upstream, part *upstream.Partition, account [16]byte, now time.Time) {
	p.tellResumed(part.Succeeded(u, account, p.store, now))
}

// suspended reports whether the upstream refused a partition's credential.
func (p *Poller) suspended(id *cache.ID) bool {
	part := p.partitions.Get(id)
	return part != nil && part.Suspended()
}

// Withholds reports whether nothing of a partition may be sent to anybody at
// present: its credential was refused, or the one that Pollux holds was
// replaced, and no success since.
func (p *Poller) Withholds(id *cache.ID) bool {
	part := p.partitions.Get(id)
	if part == nil {
		ctx, cancel := context.WithTimeout(p.base, storeTimeout)
		defer cancel()
		state, err := p.store.Partition(ctx, id)
		u := p.Upstream([]byte(state.Upstream))
		if err != nil || u == nil {
			return false
		}
		part = p.Partition(u, id)
	}
	u := p.Upstream([]byte(part.Upstream))
	return part.Suspended() || u != nil && u.Held && !part.Holds(u)
}
