package poller

import (
	"time"

	"pollux/cache"
	"pollux/proxy/problem"
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

// suspend notes that the upstream refused the credential of part.
func (p *Poller) suspend(u *Upstream, part *Partition, why *problem.Problem) {
	if !part.suspend(p.store) {
		return
	}
	p.log.Warn("credential refused, partition suspended", "upstream", u.Name, "upstream_status", why.UpstreamStatus)
	for _, o := range p.observers {
		o.Suspended(&part.ID, why)
	}
}

// accepted notes that the upstream let the credential of part in, of account
// where Pollux holds it.
func (p *Poller) accepted(u *Upstream, part *Partition, account [16]byte, now time.Time) {
	if !part.succeeded(u, account, p.store, now) {
		return
	}
	for _, o := range p.observers {
		o.Resumed(&part.ID)
	}
}

// suspended reports whether the upstream refused a partition's credential.
func (p *Poller) suspended(id *cache.ID) bool {
	part := p.partitions.get(id)
	return part != nil && part.suspended.Load()
}
