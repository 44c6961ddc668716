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

// wordLog remembers which unknown native words were logged: a hundred per
// upstream, so that a chatty upstream cannot fill log or memory.
type wordLog struct {
	mu   sync.Mutex
	seen map[string]map[string]struct{}
}

func (l *wordLog) first(upstream, word string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = map[string]map[string]struct{}{}
	}
	words := l.seen[upstream]
	if words == nil {
		words = map[string]struct{}{}
		l.seen[upstream] = words
	}
	if _, ok := words[word]; ok || len(words) >= 100 {
		return false
	}
	words[word] = struct{}{}
	return true
}
