package fleet

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// loginsPerMinute is how many attempts to log in an address has.
	loginsPerMinute = 10
	// loginAddresses bounds how many addresses are remembered.
	loginAddresses = 4096
)

// Labels of pollux_logins_total.
const (
	loginAccepted = "accepted"
	loginRefused  = "refused"
	loginLimited  = "rate_limited"
)

// loginLimit keeps an address from trying keys. Its zero value is ready.
type loginLimit struct {
	mu   sync.Mutex // guards what follows
	from map[netip.Prefix]*rate.Limiter
}

// allow takes one attempt of the address.
func (l *loginLimit) allow(from netip.Prefix, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := l.from[from]
	if left == nil {
		if len(l.from) >= loginAddresses {
			l.forget(now)
		}
		if l.from == nil {
			l.from = map[netip.Prefix]*rate.Limiter{}
		}
		left = rate.NewLimiter(rate.Every(time.Minute/loginsPerMinute), loginsPerMinute)
		l.from[from] = left
	}
	return left.AllowN(now, 1)
}

// forget drops addresses that have all their attempts back, and if there are
// none, any one.
func (l *loginLimit) forget(now time.Time) {
	for from, left := range l.from {
		if left.TokensAt(now) >= loginsPerMinute {
			delete(l.from, from)
		}
	}
	for from := range l.from {
		if len(l.from) < loginAddresses {
			return
		}
		delete(l.from, from)
	}
}
