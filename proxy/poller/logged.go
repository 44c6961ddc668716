package poller

import "sync"

// logged remembers what was logged of each upstream: a hundred things, so that
// whoever makes up new ones, a chatty upstream or a client, cannot fill log or
// memory.
type logged struct {
	mu   sync.Mutex
	seen map[string]map[string]struct{}
}

func (l *logged) first(upstream, what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = map[string]map[string]struct{}{}
	}
	things := l.seen[upstream]
	if things == nil {
		things = map[string]struct{}{}
		l.seen[upstream] = things
	}
	if _, ok := things[what]; ok || len(things) >= 100 {
		return false
	}
	things[what] = struct{}{}
	return true
}
