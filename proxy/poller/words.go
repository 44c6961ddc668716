package poller

import (
	"sync"

	"pollux/providers"
	"pollux/proxy/poller/upstream"
)

// noteWord counts native words that the provider file does not list, and logs
// each once, but for one that tells the credential.
func (p *Poller) noteWord(r Request, v providers.Verdict) {
	if !v.UnknownWord {
		return
	}
	u := r.Upstream
	u.Metrics.UnknownWords.Inc()
	if !upstream.Reveals(u.Credential(r.Credential), v.Task.NativeStatus) && p.words.first(u.Name, v.Task.NativeStatus) {
		p.log.Warn("native status word is not in the provider file", "upstream", u.Name, "provider", u.Provider.Name, "native_status", clip(v.Task.NativeStatus))
	}
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64]
	}
	return s
}

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
