package poller

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"pollux/cache"
)

// schedule holds polls that Pollux makes by itself, each at its time, one per key.
type schedule struct {
	mu    sync.Mutex // guards what follows
	queue dueQueue
	byKey map[cache.ID]*dueItem
	wake  chan struct{} // the earliest time changed
}

// dueItem is one poll to come.
type dueItem struct {
	request Request
	due     time.Time
	index   int
}

// dueAtOnce bounds the polls that one schedule has under way at a time.
const dueAtOnce = 256

// maxScheduled bounds the polls planned. Beyond it, clients' polls do the work.
const maxScheduled = 200_000

func (s *schedule) init() {
	s.byKey, s.wake = map[cache.ID]*dueItem{}, make(chan struct{}, 1)
}

// add plans r at due, instead of what was planned for its key. It reports
// false when the schedule is full.
func (s *schedule) add(r Request, due time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if item := s.byKey[r.Key]; item != nil {
		item.request, item.due = r, due
		heap.Fix(&s.queue, item.index)
	} else if len(s.queue) >= maxScheduled {
		return false
	} else {
		item = &dueItem{request: r, due: due}
		s.byKey[r.Key] = item
		heap.Push(&s.queue, item)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return true
}

func (s *schedule) cancel(key *cache.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if item := s.byKey[*key]; item != nil {
		heap.Remove(&s.queue, item.index)
		delete(s.byKey, *key)
	}
}

// next takes the first poll that is due, or says how long until one is.
func (s *schedule) next(now time.Time) (first *dueItem, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return nil, time.Hour
	}
	if wait := s.queue[0].due.Sub(now); wait > 0 {
		return nil, wait
	}
	first = heap.Pop(&s.queue).(*dueItem)
	delete(s.byKey, first.request.Key)
	return first, 0
}

// run calls poll for each request at its time, and says how late that is,
// until ctx ends and the calls have returned.
func (s *schedule) run(ctx context.Context, poll func(ctx context.Context, r Request, late time.Duration)) {
	var children sync.WaitGroup
	defer children.Wait()
	slots := make(chan struct{}, dueAtOnce)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := time.Now()
		item, wait := s.next(now)
		if item != nil {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			children.Go(func() {
				defer func() { <-slots }()
				poll(ctx, item.request, now.Sub(item.due))
			})
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
	}
}

type dueQueue []*dueItem

func (q dueQueue) Len() int           { return len(q) }
func (q dueQueue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q dueQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *dueQueue) Push(x any) {
	item := x.(*dueItem)
	item.index = len(*q)
	*q = append(*q, item)
}
func (q *dueQueue) Pop() any {
	old := *q
	item := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return item
}
