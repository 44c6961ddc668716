package adaptive

import (
	"container/list"
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"time"
)

// MaxGroups is how many groups of an upstream are learned apart by default.
const MaxGroups = 1000

// Groups holds the learners of an upstream: one for each of the groups used
// last, and one of the upstream as a whole, which stands in for tasks without
// a group and from which new groups start. A group that was not used for long
// falls back to it. Its methods may be called concurrently.
type Groups struct {
	policy   *policy
	upstream *Learner
	limit    int

	mu     sync.Mutex // guards what follows; never held while a learner computes
	byName map[string]*list.Element
	recent list.List // of *group, the one used last in front
}

type group struct {
	name    string
	learner *Learner
}

// NewGroups returns an upstream of which nothing is known. At most limit
// groups are kept, 0 meaning that all tasks are learned together. For c and
// random see [New]; random must be safe for concurrent use.
func NewGroups(c Config, limit int, random func() float64) *Groups {
	p := newPolicy(c, random)
	return &Groups{policy: p, upstream: newLearner(p), limit: limit, byName: map[string]*list.Element{}}
}

// Next is [Learner.Next] of a group.
func (g *Groups) Next(name string, j Job, h Hint) time.Duration {
	return g.Learner(name).Next(j, h)
}

// Expected is [Learner.Expected] of a group.
func (g *Groups) Expected(name string, j Job, age time.Duration) float64 {
	return g.Learner(name).Expected(j, age)
}

// Reaches is [Learner.Reaches] of a group.
func (g *Groups) Reaches(name string, j Job, expected float64) time.Duration {
	return g.Learner(name).Reaches(j, expected)
}

// Observe teaches an answer to a group and to its upstream. Only the learner
// that made the schedule steers its price by it.
func (g *Groups) Observe(name string, j Job, a Answer) {
	l := g.Learner(name)
	l.Observe(j, a)
	if l != g.upstream {
		a.OnTime = false
		g.upstream.Observe(j, a)
	}
}

// Learner returns the learner of a group, which from now on is the one used
// last. The empty name means the upstream as a whole.
func (g *Groups) Learner(name string) *Learner {
	if name == "" || g.limit <= 0 {
		return g.upstream
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.byName[name]; e != nil {
		g.recent.MoveToFront(e)
		return e.Value.(*group).learner
	}
	l := newLearner(g.policy)
	l.seed(g.upstream)
	g.put(name, l)
	return l
}

func (g *Groups) put(name string, l *Learner) {
	if len(g.byName) >= g.limit {
		last := g.recent.Back()
		delete(g.byName, g.recent.Remove(last).(*group).name)
	}
	g.byName[name] = g.recent.PushFront(&group{name: name, learner: l})
}

// seedTasks is how many tasks the upstream's histogram counts for in a new
// group: enough to start with, few enough to be outvoted soon.
const seedTasks = 5

// seed gives a fresh learner what its upstream knows, as if from a few tasks.
func (l *Learner) seed(upstream *Learner) {
	upstream.mu.Lock()
	s := upstream.state
	upstream.mu.Unlock()
	var ended float64
	for _, n := range s.events {
		ended += n
	}
	tasks := min(ended, seedTasks)
	if tasks < 1 {
		return
	}
	s.forget(tasks / ended)
	s.prior = prior + coldPrior*math.Pow(wearOff, tasks)
	s.surprise, s.variance, s.kept = 0, 0, 1
	s.refresh(0, bins-1)
	l.state, l.shared, l.plan.made = s, s, false
}

const (
	groupsTag = "PXG1"
	// maxName is the longest name of a group that is kept.
	maxName = 1 << 10
)

// MarshalBinary returns what was learned about the upstream and its groups:
// the upstream's learner, and the groups in order of use, each after its name.
// It never fails.
func (g *Groups) MarshalBinary() ([]byte, error) {
	g.mu.Lock()
	kept := make([]*group, 0, g.recent.Len())
	for e := g.recent.Back(); e != nil; e = e.Prev() {
		kept = append(kept, e.Value.(*group))
	}
	g.mu.Unlock()
	s := g.upstream.copied()
	b := s.append([]byte(groupsTag))
	for _, k := range kept {
		if len(k.name) > maxName {
			continue
		}
		b = appendGroup(b, k.name, k.learner.copied())
	}
	return b, nil
}

func appendGroup(b []byte, name string, s state) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(len(name)))
	b = append(b, name...)
	return s.append(b)
}

// UnmarshalBinary replaces what g knows by what was kept; of too many groups
// those used last stay. It returns ErrDamaged, and leaves g as it is, when the
// bytes are not those of an upstream.
func (g *Groups) UnmarshalBinary(data []byte) error {
	upstream, kept, err := decodeGroups(g.policy, data)
	if err == nil {
		g.restore(upstream, kept)
	}
	return err
}

func decodeGroups(p *policy, data []byte) (upstream *Learner, kept []group, err error) {
	upstream = newLearner(p)
	if len(data) < len(groupsTag)+stateSize || string(data[:len(groupsTag)]) != groupsTag {
		return nil, nil, fmt.Errorf("%w: not an upstream's", ErrDamaged)
	}
	rest := data[len(groupsTag):]
	if err := upstream.UnmarshalBinary(rest[:stateSize]); err != nil {
		return nil, nil, fmt.Errorf("upstream: %w", err)
	}
	for rest = rest[stateSize:]; len(rest) > 0; {
		if len(rest) < 2 {
			return nil, nil, fmt.Errorf("%w: group %d is cut", ErrDamaged, len(kept))
		}
		size := int(binary.LittleEndian.Uint16(rest))
		if rest = rest[2:]; size == 0 || size > maxName || len(rest) < size+stateSize {
			return nil, nil, fmt.Errorf("%w: group %d is cut", ErrDamaged, len(kept))
		}
		k := group{name: string(rest[:size]), learner: newLearner(p)}
		if err := k.learner.UnmarshalBinary(rest[size : size+stateSize]); err != nil {
			return nil, nil, fmt.Errorf("group %d: %w", len(kept), err)
		}
		kept, rest = append(kept, k), rest[size+stateSize:]
	}
	return upstream, kept, nil
}

// restore puts what was kept in place of what g knows.
func (g *Groups) restore(upstream *Learner, kept []group) {
	g.upstream.mu.Lock()
	g.upstream.state, g.upstream.shared, g.upstream.plan.made = upstream.state, upstream.state, false
	g.upstream.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.recent.Init()
	clear(g.byName)
	if g.limit <= 0 {
		return
	}
	for _, k := range kept {
		if e := g.byName[k.name]; e != nil { // the later one was used last
			g.recent.Remove(e)
			delete(g.byName, k.name)
		}
		g.put(k.name, k.learner)
	}
}
