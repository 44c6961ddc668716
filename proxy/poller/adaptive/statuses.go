package adaptive

import (
	"sync"
	"time"
)

const (
	// stuckSamples is how many tasks of a group must have left a status before
	// another one can be too long in it.
	stuckSamples = 20
	// maxStatuses bounds the combinations of group and status that are learned, per upstream. Beyond, tasks of new groups are never stuck.
	maxStatuses = 512
)

// statuses is how long tasks usually stay in a status, by group.
type statuses struct {
	mu    sync.Mutex // guards what follows
	byKey map[groupStatus]*Samples
}

type groupStatus struct{ group, status string }

// learn notes that a task of the group left a status after d.
func (s *statuses) learn(group, status string, d time.Duration) {
	s.mu.Lock()
	key := groupStatus{group, status}
	times := s.byKey[key]
	if times == nil && len(s.byKey) < maxStatuses {
		if s.byKey == nil {
			s.byKey = map[groupStatus]*Samples{}
		}
		times = &Samples{}
		s.byKey[key] = times
	}
	s.mu.Unlock()
	if times != nil {
		times.Add(max(0, d))
	}
}

// usual is how long nearly all tasks of the group stay in a status. ok is
// false while too few have left it.
func (s *statuses) usual(group, status string) (d time.Duration, ok bool) {
	s.mu.Lock()
	times := s.byKey[groupStatus{group, status}]
	s.mu.Unlock()
	if times == nil {
		return 0, false
	}
	d, n := times.Quantile(0.99)
	if n < stuckSamples {
		return 0, false
	}
	return d, true
}
