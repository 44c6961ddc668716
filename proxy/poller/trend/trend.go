// Package trend is how the polls and tasks of every upstream went since the
// process started.
package trend

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"pollux/cache"
	"pollux/normalize"
	"pollux/proxy/poller/upstream"
)

const (
	// finest is between two points of a young process, maxPoints how many points
	// a trend has at most.
	finest    = 15 * time.Second
	maxPoints = 120
)

// Windows are the times that a Trend may be about, by their names. 0 is all of
// it, since the process started.
var Windows = map[string]time.Duration{"15m": 15 * time.Minute, "1h": time.Hour, "24h": 24 * time.Hour, "all": 0}

// Point is the state of one upstream at the end of a step: its tasks by status,
// in the order of normalize.Statuses, and the polls of the step.
type Point struct {
	ByStatus           [len(normalize.Statuses)]int
	Received, Upstream int64
}

// Trend is how the polls and tasks of every upstream went over a window.
type Trend struct {
	Step   time.Duration
	Points []map[string]Point // by upstream, the oldest first; shared: to be read only
}

// Keeper keeps one line of points for each window. It is safe for concurrent use.
type Keeper struct {
	index     cache.Index
	upstreams func() []*upstream.Upstream

	mu     sync.Mutex // guards what follows
	lines  map[time.Duration]*line
	before map[string]Point // sums since the start
}

// New returns a Keeper that counts in index, and asks for today's upstreams.
func New(index cache.Index, upstreams func() []*upstream.Upstream) *Keeper {
	return &Keeper{index: index, upstreams: upstreams, lines: map[time.Duration]*line{}}
}

// Run adds a point at each step until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(finest)
	defer tick.Stop()
	for {
		k.add()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (k *Keeper) add() {
	counts := k.index.Counts(&cache.Sight{All: true})
	step, sums := map[string]Point{}, map[string]Point{}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, u := range k.upstreams() {
		t := u.Tally()
		u.Keep(t, time.Now())
		sum := Point{Received: t.Received, Upstream: t.Upstream}
		for i, status := range normalize.Statuses {
			sum.ByStatus[i] = counts[u.Name][string(status)]
		}
		sums[u.Name] = sum
		sum.Received -= k.before[u.Name].Received
		sum.Upstream -= k.before[u.Name].Upstream
		step[u.Name] = sum
	}
	k.before = sums
	for _, window := range Windows {
		if k.lines[window] == nil {
			k.lines[window] = &line{window: window, every: 1}
		}
		k.lines[window].add(step)
	}
}

// Over returns how the upstreams did over one of Windows, as far as it lies after
// the start.
func (k *Keeper) Over(window time.Duration) Trend {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.lines[window]
	if l == nil {
		return Trend{Step: finest}
	}
	return Trend{Step: l.step(), Points: slices.Clone(l.points)}
}

// line is the points of one window. It begins with the finest steps, so that a
// young process shows something, and whenever it is full its steps get twice as
// long, until it spans the window.
type line struct {
	window time.Duration // 0: everything
	every  int           // finest steps between two points
	points []map[string]Point
	open   map[string]Point // of the step under way
	added  int              // finest steps in open
}

func (l *line) step() time.Duration { return time.Duration(l.every) * finest }

func (l *line) add(step map[string]Point) {
	l.open = joined(l.open, step)
	if l.added++; l.added < l.every {
		return
	}
	l.points = append(l.points, l.open)
	l.open, l.added = nil, 0
	switch full := len(l.points) > maxPoints; {
	case l.window > 0 && maxPoints*l.step() >= l.window:
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
