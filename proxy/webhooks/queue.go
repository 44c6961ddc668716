package webhooks

import (
	"container/heap"
	"time"
)

const (
	// perEndpoint is how many messages may be under way to one receiver; to
	// one that failed last time, a single one.
	perReceiver = 4
	// perCrowd bounds the messages under way to receivers that answer, and
	// likewise to those that failed last time: they have their own room, so
	// that receivers who let everybody wait only delay each other.
	perCrowd = 256
	// breakerAfter failures in a row a receiver is left alone, for breakerPause,
	// twice as long after each further one, up to breakerMax.
	breakerAfter = 5
	breakerPause = 30 * time.Second
	breakerMax   = 5 * time.Minute
	// maxWaiting bounds the messages that wait for one receiver.
	maxWaiting = 100_000
)

// crowd tells receivers that answer from those that failed last time.
type crowd uint8

const (
	calm crowd = iota
	troubled
	crowds
)

// receiver is one receiver's queue.
type receiver struct {
	name     string
	waiting  deliveryHeap
	running  int
	failures int       // in a row
	closed   time.Time // nothing is sent before
	dueAt    time.Time
	index    int  // among the due, -1 if it is not there
	parked   bool // due, and waiting for room in its crowd
}

func (e *receiver) crowd() crowd {
	if e.failures > 0 {
		return troubled
	}
	return calm
}

// answered notes how an attempt went. rest is how long the receiver asked to
// be left alone.
func (e *receiver) answered(ok bool, now time.Time, rest time.Duration) {
	if ok {
		e.failures, e.closed = 0, time.Time{}
		return
	}
	e.failures++
	if e.failures >= breakerAfter {
		rest = max(rest, min(breakerMax, breakerPause<<min(e.failures-breakerAfter, 10)))
	}
	if until := now.Add(min(rest, longestRetryAfter)); until.After(e.closed) {
		e.closed = until
	}
}

// queue holds what waits to be sent. It is guarded by Service.mu.
type queue struct {
	receivers map[string]*receiver
	due       receiverHeap
	parked    [crowds][]*receiver
	running   [crowds]int
	waiting   int
	wake      chan struct{}
}

func newQueue() queue {
	return queue{receivers: map[string]*receiver{}, wake: make(chan struct{}, 1)}
}

// add queues d and reports false if too many wait for its receiver already.
func (q *queue) add(d *delivery) bool {
	e := q.receivers[d.hook.url]
	if e == nil {
		e = &receiver{name: d.hook.url, index: -1}
		q.receivers[e.name] = e
	}
	if len(e.waiting) >= maxWaiting {
		return false
	}
	heap.Push(&e.waiting, d)
	q.waiting++
	q.replan(e)
	return true
}

// remove takes d out, if it waits.
func (q *queue) remove(d *delivery) {
	e := q.receivers[d.hook.url]
	if d.index < 0 || e == nil {
		return
	}
	heap.Remove(&e.waiting, d.index)
	q.waiting--
	q.replan(e)
}

// next takes the first message that may be sent, or says how long until there
// may be one.
func (q *queue) next(now time.Time) (*delivery, time.Duration) {
	for len(q.due) > 0 {
		e := q.due[0]
		if wait := e.dueAt.Sub(now); wait > 0 {
			return nil, wait
		}
		if c := e.crowd(); q.running[c] >= perCrowd {
			heap.Remove(&q.due, e.index)
			e.parked = true
			q.parked[c] = append(q.parked[c], e)
			continue
		}
		d := heap.Pop(&e.waiting).(*delivery)
		d.crowd = e.crowd()
		e.running++
		q.waiting--
		q.running[d.crowd]++
		q.replan(e)
		return d, 0
	}
	return nil, time.Hour
}

// sent ends what next began. The message itself is added again if it has to.
func (q *queue) sent(d *delivery) *receiver {
	e := q.receivers[d.hook.url]
	e.running--
	q.running[d.crowd]--
	if parked := q.parked[d.crowd]; len(parked) > 0 {
		q.parked[d.crowd] = parked[1:]
		parked[0].parked = false
		q.replan(parked[0])
	}
	return e
}

// replan puts e where it belongs among the due, after anything about it changed.
func (q *queue) replan(e *receiver) {
	if e.parked {
		return
	}
	limit := perReceiver
	if e.failures > 0 {
		limit = 1
	}
	if len(e.waiting) == 0 || e.running >= limit {
		if e.index >= 0 {
			heap.Remove(&q.due, e.index)
		}
		if len(e.waiting) == 0 && e.running == 0 && q.receivers[e.name] == e {
			delete(q.receivers, e.name)
		}
		return
	}
	if e.dueAt = e.waiting[0].next; e.closed.After(e.dueAt) {
		e.dueAt = e.closed
	}
	if e.index >= 0 {
		heap.Fix(&q.due, e.index)
	} else {
		heap.Push(&q.due, e)
	}
	wake(q.wake)
}

type deliveryHeap []*delivery

func (q deliveryHeap) Len() int           { return len(q) }
func (q deliveryHeap) Less(i, j int) bool { return q[i].next.Before(q[j].next) }
func (q deliveryHeap) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *deliveryHeap) Push(x any) {
	d := x.(*delivery)
	d.index = len(*q)
	*q = append(*q, d)
}
func (q *deliveryHeap) Pop() any {
	old := *q
	d := old[len(old)-1]
	old[len(old)-1] = nil
	d.index = -1
	*q = old[:len(old)-1]
	return d
}

type receiverHeap []*receiver

func (q receiverHeap) Len() int           { return len(q) }
func (q receiverHeap) Less(i, j int) bool { return q[i].dueAt.Before(q[j].dueAt) }
func (q receiverHeap) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *receiverHeap) Push(x any) {
	e := x.(*receiver)
	e.index = len(*q)
	*q = append(*q, e)
}
func (q *receiverHeap) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	e.index = -1
	*q = old[:len(old)-1]
	return e
}
