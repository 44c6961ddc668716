package poller

import (
	"context"
	"sync"
	"time"

	"pollux/cache"
	"pollux/proxy/poller/upstream"
)

const (
	// HistoryStep is between two points of a History, HistoryPoints how many
	// there are.
	HistoryStep   = 10 * time.Second
	HistoryPoints = 60
)

// Point is the state of one upstream at the end of a step: its tasks by status,
// and the polls of the step.
type Point struct {
	ByStatus           map[string]int
	Received, Upstream int64
}

// history keeps the last points of every upstream.
type history struct {
	mu     sync.Mutex         // guards what follows
	points []map[string]Point // by upstream, the oldest first; immutable once in here
	before map[string]upstream.Tally
}

// run adds a point at each step until ctx ends.
func (h *history) run(ctx context.Context, p *Poller) {
	tick := time.NewTicker(HistoryStep)
	defer tick.Stop()
	for {
		h.add(p)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (h *history) add(p *Poller) {
	counts := p.Index().Counts(&cache.Sight{All: true})
	h.mu.Lock()
	defer h.mu.Unlock()
	point, now := map[string]Point{}, map[string]upstream.Tally{}
	for _, u := range p.Upstreams() {
		t := u.Tally()
		before := h.before[u.Name]
		now[u.Name] = t
		u.Keep(t, time.Now())
		point[u.Name] = Point{ByStatus: counts[u.Name], Received: t.Received - before.Received, Upstream: t.Upstream - before.Upstream}
	}
	h.before = now
	if len(h.points) == HistoryPoints {
		h.points = h.points[1:]
	}
	h.points = append(h.points, point)
}

// History returns the points of the last ten minutes by upstream, the oldest
// first and at most HistoryPoints. They are shared: read them only.
func (p *Poller) History() []map[string]Point {
	p.history.mu.Lock()
	defer p.history.mu.Unlock()
	return append([]map[string]Point(nil), p.history.points...)
}
