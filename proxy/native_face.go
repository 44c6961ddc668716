package proxy

import (
	"context"
	"net/http"
	"time"

	"pollux/cache"
	"pollux/proxy/poller"
)

// nativeEngine is what this face needs of a *poller.Poller.
type nativeEngine interface {
	Cached(u *poller.Upstream, part *poller.Partition, key *cache.ID, now time.Time) (poller.Answer, bool)
	Poll(ctx context.Context, r poller.Request) poller.Answer
	Freshen(r poller.Request)
	Register(r poller.Request, created time.Time)
	Overheard(u *poller.Upstream, part *poller.Partition, code int, header http.Header, body []byte)
}

// nativeService passes requests on to upstreams, and answers status polls as
// they would. Its methods are safe for concurrent use.
type nativeService struct {
	engine nativeEngine
	life   *life
}

// newNativeService returns what serves everything below /native/.
func newNativeService(engine nativeEngine, l *life) *nativeService {
	return &nativeService{engine: engine, life: l}
}
