package poller

import (
	"sync/atomic"
	"time"
)

// tokens number what is asked of upstreams, so that of two answers about one
// task the one that was asked for later is the newer. They start from the clock
// and so go on over a restart.
type tokens struct{ last atomic.Uint64 }

func (t *tokens) init() { t.last.Store(uint64(time.Now().UnixNano())) }

func (t *tokens) next() uint64 { return t.last.Add(1) }

// seen makes up for a clock that was set back before the start: what is asked
// from now on is newer than version.
func (t *tokens) seen(version uint64) {
	for {
		last := t.last.Load()
		if last >= version || t.last.CompareAndSwap(last, version) {
			return
		}
	}
}
