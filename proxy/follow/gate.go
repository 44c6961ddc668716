package follow

import (
	"strconv"
	"sync"
	"time"

	"pollux/cache"
	"pollux/proxy/problem"
)

// Gate counts who is inside, in all and per partition.
type Gate struct {
	What string // for the problem's text: the config key of the limit per partition
	mu   sync.Mutex
	all  int
	per  map[cache.ID]int
}

// Enter lets one in and returns how it leaves, or the problem that too many
// are inside. A limit of 0 is none.
func (g *Gate) Enter(partition *cache.ID, perPartition, total int) (leave func(), p *problem.Problem) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case total > 0 && g.all >= total:
		return nil, &problem.Problem{Type: problem.Overloaded, Status: 503, RetryAfter: 5 * time.Second,
			Detail: "limits.streams (" + strconv.Itoa(total) + ") is reached"}
	case g.per[*partition] >= perPartition:
		return nil, &problem.Problem{Type: problem.RateLimited, Status: 429, RetryAfter: 5 * time.Second,
			Detail: "limits." + g.What + " (" + strconv.Itoa(perPartition) + ") is reached"}
	}
	if g.per == nil {
		g.per = map[cache.ID]int{}
	}
	g.all++
	id := *partition
	g.per[id]++
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.all--
		if g.per[id]--; g.per[id] == 0 {
			delete(g.per, id)
		}
	}), nil
}

// Inside is how many there are.
func (g *Gate) Inside() float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return float64(g.all)
}
