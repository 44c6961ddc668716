package poller

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"pollux/cache"
	"pollux/normalize"
)

const (
	// historyStep is between two points at the finest, historyPoints how many
	// points a history has at most.
	historyStep   = 15 * time.Second
	historyPoints = 120
)

// Windows are the times that a History may be about, by their names. 0 is all of
// it, since the process started.
var Windows = map[string]time.Duration{"15m": 15 * time.Minute, "1h": time.Hour, "24h": 24 * time.Hour, "all": 0}

// Point is the state of one upstream at the end of a step: its tasks by status,
// in the order of normalize.Statuses, and the polls of the step.
type Point struct {
	ByStatus           [len(normalize.Statuses)]int
	Received, Upstream int64
}

// History is how the polls and tasks of every upstream went over a window.
type History struct {
	Step   time.Duration
	Points []map[string]Point // by upstream, the oldest first; shared: to be read only
}

// history keeps one line of points for each window.
type history struct {
	mu     sync.Mutex // guards what follows
	lines  map[time.Duration]*line
	before map[string]Point // sums since the start
}

// run adds a point at each step until ctx ends.
func (h *history) run(ctx context.Context, p *Poller) {
	tick := time.NewTicker(historyStep)
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
	step, sums := map[string]Point{}, map[string]Point{}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, u := range p.Upstreams() {
		t := u.Tally()
		u.Keep(t, time.Now())
		sum := Point{Received: t.Received, Upstream: t.Upstream}
		for i, status := range normalize.Statuses {
			sum.ByStatus[i] = counts[u.Name][string(status)]
		}
		sums[u.Name] = sum
		sum.Received -= h.before[u.Name].Received
		sum.Upstream -= h.before[u.Name].Upstream
		step[u.Name] = sum
	}
	h.before = sums
	for _, window := range Windows {
		if h.lines[window] == nil {
			if h.lines == nil {
				h.lines = map[time.Duration]*line{}
			}
			h.lines[window] = &line{window: window, every: 1}
		}
		h.lines[window].add(step)
	}
}

// History returns how the upstreams did over one of Windows, as far as it lies
// after the start.
func (p *Poller) History(window time.Duration) History {
	p.history.mu.Lock()
	defer p.history.mu.Unlock()
	l := p.history.lines[window]
	if l == nil {
		return History{Step: historyStep}
	}
	return History{Step: l.step(), Points: slices.Clone(l.points)}
}

// line is the points of one window. It begins with the finest steps, so that a
// young process shows something, and whenever it is full its steps get twice as
// long, until it spans the window.
type line struct {
	window time.Duration // 0: everything
	every  int           // historySteps between two points
	points []map[string]Point
	open   map[string]Point // of the step under way
	added  int              // historySteps in open
}

func (l *line) step() time.Duration { return time.Duration(l.every) * historyStep }

func (l *line) add(step map[string]Point) {
	l.open = joined(l.open, step)
	if l.added++; l.added < l.every {
		return
	}
	l.points = append(l.points, l.open)
	l.open, l.added = nil, 0
	switch full := len(l.points) > historyPoints; {
	case l.window > 0 && historyPoints*l.step() >= l.window:
		l.points = l.points[max(0, len(l.points)-int(l.window/l.step())):]
	case full:
		l.halve()
	}
}

// halve joins points in pairs. The newest, whose pair is still to come, is open
// again.
func (l *line) halve() {
	l.every *= 2
	kept := l.points[:0:0]
	for pair := range slices.Chunk(l.points, 2) {
		if len(pair) == 1 {
			l.open, l.added = pair[0], l.every/2
			break
		}
		kept = append(kept, joined(pair[0], pair[1]))
	}
	l.points = kept
}

// joined is a step and the one after it as one. An upstream that is gone from the
// later one is gone.
func joined(earlier, later map[string]Point) map[string]Point {
	both := maps.Clone(later)
	for name, p := range both {
		p.Received += earlier[name].Received
		p.Upstream += earlier[name].Upstream
		both[name] = p
	}
	return both
}
