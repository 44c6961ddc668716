package adaptive

import (
	"sync"
	"time"
)

const (
	// stuckSamples is how many tasks of a group must have left a status before
	// another one can be too long in it.
	stuckSamples = 20
	// maxPaces bounds the combinations of group and status whose pace is
	// learned, per upstream. Beyond, tasks of new groups are never stuck.
	maxPaces = 512
)

// paces is how long tasks usually stay in a status, by group.
type Paces struct {
	mu    sync.Mutex // guards what follows
	byKey map[pace]*Samples
}

type pace struct{ group, status string }

// learn notes that a task of the group left a status after d.
func (p *Paces) Learn(group, status string, d time.Duration) {
	p.mu.Lock()
	key := pace{group, status}
	s := p.byKey[key]
	if s == nil && len(p.byKey) < maxPaces {
		if p.byKey == nil {
			p.byKey = map[pace]*Samples{}
		}
		s = &Samples{}
		p.byKey[key] = s
	}
	p.mu.Unlock()
	if s != nil {
		s.Add(max(0, d))
	}
}

// usual is how long nearly all tasks of the group stay in a status. ok is
// false while too few have left it.
func (p *Paces) Usual(group, status string) (d time.Duration, ok bool) {
	p.mu.Lock()
	s := p.byKey[pace{group, status}]
	p.mu.Unlock()
	if s == nil {
		return 0, false
	}
	d, n := s.Quantile(0.99)
	if n < stuckSamples {
		return 0, false
	}
	return d, true
}
