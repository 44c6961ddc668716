package webhooks

import (
	"time"

	"pollux/proxy/poller/schedule"
)

const (
	// perReceiver is how many messages may be under way to one receiver; to
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
	waiting  *schedule.Heap[*delivery]
	running  int
	failures int       // in a row
	closed   time.Time // nothing is sent before
	dueAt    time.Time
	place    *schedule.Node[*receiver] // among the due
	parked   bool                      // due, and waiting for room in its crowd
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
	due       *schedule.Heap[*receiver]
	parked    [crowds][]*receiver
	running   [crowds]int
	waiting   int
	wake      chan struct{}
}

func newQueue() queue {
	return queue{
		receivers: map[string]*receiver{}, wake: make(chan struct{}, 1),
		due: schedule.NewHeap(func(a, b *receiver) bool { return a.dueAt.Before(b.dueAt) }),
	}
}

// add queues d and reports false if too many wait for its receiver already.
func (q *queue) add(d *delivery) bool {
	e := q.receivers[d.hook.url]
	if e == nil {
		e = &receiver{name: d.hook.url, waiting: schedule.NewHeap(func(a, b *delivery) bool { return a.next.Before(b.next) })}
		q.receivers[e.name] = e
	}
	if e.waiting.Len() >= maxWaiting {
		return false
	}
	d.place = e.waiting.Push(d)
	q.waiting++
	q.replan(e)
	return true
}

// remove takes d out, if it waits.
func (q *queue) remove(d *delivery) {
	e := q.receivers[d.hook.url]
	if !d.place.In() || e == nil {
		return
	}
	e.waiting.Remove(d.place)
	q.waiting--
	q.replan(e)
}

// next takes the first message that may be sent, or says how long until there
// may be one.
func (q *queue) next(now time.Time) (*delivery, time.Duration) {
	for {
		e, ok := q.due.First()
		if !ok {
			return nil, time.Hour
		}
		if wait := e.dueAt.Sub(now); wait > 0 {
			return nil, wait
		}
		if c := e.crowd(); q.running[c] >= perCrowd {
			q.due.Remove(e.place)
			e.parked = true
			q.parked[c] = append(q.parked[c], e)
			continue
		}
		d := e.waiting.Pop()
		d.crowd = e.crowd()
		e.running++
		q.waiting--
		q.running[d.crowd]++
		q.replan(e)
		return d, 0
	}
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
	if e.waiting.Len() == 0 || e.running >= limit {
		q.due.Remove(e.place)
		if e.waiting.Len() == 0 && e.running == 0 && q.receivers[e.name] == e {
			delete(q.receivers, e.name)
		}
		return
	}
	first, _ := e.waiting.First()
	if e.dueAt = first.next; e.closed.After(e.dueAt) {
		e.dueAt = e.closed
	}
	if e.place.In() {
		q.due.Fix(e.place)
	} else {
		e.place = q.due.Push(e)
	}
	wake(q.wake)
}
