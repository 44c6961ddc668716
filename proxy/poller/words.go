package poller

import (
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
