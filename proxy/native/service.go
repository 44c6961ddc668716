// Package native stands in for upstreams: status polls are answered from the same
// cache as unified ones, everything else is passed on, and teaches what it can.
package native

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/wire"
)

// Engine is what this face needs of a *poller.Poller.
type Engine interface {
	Cached(u *upstream.Upstream, part *upstream.Partition, key *cache.ID, now time.Time) (poller.Answer, bool)
	Poll(ctx context.Context, r poller.Request) poller.Answer
	Freshen(r poller.Request, method string)
	Register(r poller.Request, created time.Time)
	Overheard(u *upstream.Upstream, part *upstream.Partition, credential providers.Credential, code int, header http.Header, body []byte)
}

// Service passes requests on to upstreams, and answers status polls as
// they would. Its methods are safe for concurrent use.
type Service struct {
	engine  Engine
	life    *wire.Life
	lessons atomic.Int64 // bytes of bodies that are kept in order to learn from them
}

// New returns what serves everything below /native/.
func New(engine Engine, l *wire.Life) *Service {
	return &Service{engine: engine, life: l}
}
