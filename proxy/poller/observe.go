package poller

import (
	"net/http"

	"pollux/cache"
	"pollux/proxy/problem"
)

// Observer is told what becomes known of tasks. Its methods are called within
// a poll, Published and Lost under the lock of the task's key: they must
// return at once and call no method of the Poller.
type Observer interface {
	// Published: e is what is known now. It may differ from what was known
	// only in its age.
	Published(e *cache.Entry)
	// Lost: nothing is known of the task any more, for the reason in why.
	Lost(key *cache.ID, why *problem.Problem)
	// Suspended: the upstream refused the partition's credential; nothing
	// stored may be shown to it until a poll succeeds.
	Suspended(partition *cache.ID, why *problem.Problem)
}

// Observe adds an observer. Call it before the first poll.
func (p *Poller) Observe(o Observer) { p.observers = append(p.observers, o) }

func (p *Poller) tellPublished(e *cache.Entry) {
	for _, o := range p.observers {
		o.Published(e)
	}
}

func (p *Poller) tellLost(key *cache.ID, why *problem.Problem) {
	for _, o := range p.observers {
		o.Lost(key, why)
	}
}

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

// forgotten is what followers of a task are told when somebody forgets it.
var forgotten = &problem.Problem{Type: problem.TaskNotFound, Status: http.StatusNotFound, Detail: "the task was forgotten on request"}
