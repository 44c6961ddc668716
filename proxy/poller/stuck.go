package poller

import (
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"pollux/cache"
	"pollux/normalize"
)

const (
	// stuckSamples is how many tasks of a group must have left a status before
	// another one can be too long in it.
	stuckSamples = 20
	// unknownFor is how long a task may be unknown, whatever others need.
	unknownFor = 10 * time.Minute
	// maxPaces bounds the combinations of group and status whose pace is
	// learned, per upstream. Beyond, tasks of new groups are never stuck.
	maxPaces = 512
)

// paces is how long tasks usually stay in a status, by group.
type paces struct {
	mu    sync.Mutex // guards what follows
	byKey map[pace]*samples
}

type pace struct{ group, status string }

// learn notes that a task of the group left a status after d.
func (p *paces) learn(group, status string, d time.Duration) {
	p.mu.Lock()
	key := pace{group, status}
	s := p.byKey[key]
	if s == nil && len(p.byKey) < maxPaces {
		if p.byKey == nil {
			p.byKey = map[pace]*samples{}
		}
		s = &samples{}
		p.byKey[key] = s
	}
	p.mu.Unlock()
	if s != nil {
		s.add(max(0, d))
	}
}

// usual is how long nearly all tasks of the group stay in a status. ok is
// false while too few have left it.
func (p *paces) usual(group, status string) (d time.Duration, ok bool) {
	p.mu.Lock()
	s := p.byKey[pace{group, status}]
	p.mu.Unlock()
	if s == nil {
		return 0, false
	}
	d, n := s.quantile(0.99)
	if n < stuckSamples {
		return 0, false
	}
	return d, true
}

// patience is how long a task of the group may be in a status before it counts
// as stuck: what nearly all others needed, and the time in which Pollux may not
// have noticed yet. ok is false where nothing is known.
func (u *Upstream) patience(group, status string) (d time.Duration, ok bool) {
	if d, ok = u.stats.paces.usual(group, status); ok {
		d += u.lifetime(normalize.Status(status), 0)
	}
	if status == string(normalize.Unknown) && (!ok || d > unknownFor) {
		return unknownFor, true
	}
	return d, ok
}

// groupOf is the group of an entry, as group gives it for its task.
func (u *Upstream) groupOf(e *cache.Entry) string {
	if member, ok := strings.CutPrefix(u.Config.GroupBy, "metadata."); ok {
		return gjson.GetBytes(e.Document, "metadata."+gjson.Escape(member)).Raw
	}
	return u.groupBy(e.Model, e.Values)
}

// groupBy is the group by model or parameter, "" if the upstream's tasks are
// grouped by something else.
func (u *Upstream) groupBy(model string, values []string) string {
	if u.Config.GroupBy == "model" {
		return model
	}
	for i, param := range u.Provider.Params {
		if param.Name == u.Config.GroupBy && i < len(values) {
			return values[i]
		}
	}
	return ""
}
