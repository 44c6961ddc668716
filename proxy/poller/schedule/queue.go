// Package schedule makes calls at their times, so that those of one upstream
// delay no other's, and those of one credential none of another.
package schedule

import (
	"context"
	"math"
	"sync"
	"time"

	"pollux/cache"
)

// Call is something to be done at a time.
type Call[T any] struct {
	Key   cache.ID // there is one call of a key at a time, planned or under way
	Lane  string   // whose slots it takes: an upstream's name
	Owner cache.ID // whose share of them: a partition
	Due   time.Time
	Value T
}

// Rules say which calls may be made. Its functions are called under the queue's
// lock, must return at once, and call none of its methods.
type Rules[T any] struct {
	// Slots is how many calls of a lane may be under way, at least one.
	Slots func(lane string) int
	// Wait is how long the owner of v has to wait before its next call, which is
	// to be v; 0: v is called now. nil: never.
	Wait func(v T, now time.Time) time.Duration
	// Urgency of v now, and when it Reaches an urgency. Both grow together. Of
	// the calls that an owner has to wait with, the most urgent is next; nil: the
	// one that was due first.
	Urgency func(v T, now time.Time) float64
	Reaches func(v T, urgency float64) time.Time
}

// maxCalls bounds the calls planned in a queue.
const maxCalls = 200_000

// Queue holds calls until their times. It is safe for concurrent use.
type Queue[T any] struct {
	rules Rules[T]
	wake  chan struct{} // of capacity 1: something may have to be done earlier

	mu    sync.Mutex // guards what follows
	lanes map[string]*lane[T]
	byKey map[cache.ID]*planned[T] // those under way too
}

// lane is what one upstream has to do.
type lane[T any] struct {
	later   *Heap[*planned[T]] // not due yet
	owners  map[cache.ID]*owner[T]
	ready   []*owner[T]      // have calls that are due; in turn
	capped  []*owner[T]      // likewise, and too large a share of the slots
	waiting *Heap[*owner[T]] // likewise, and have to wait
	running int
}

// owner is what one partition has to do.
type owner[T any] struct {
	id      cache.ID
	due     *Heap[*planned[T]] // by rank
	calls   int                // planned, due and under way
	running int
	listed  bool // in one of the lists of its lane
	until   time.Time
	level   float64 // of urgency at which its calls are made lately; positive
}

// planned is a call in the queue.
type planned[T any] struct {
	Call[T]
	node *Node[*planned[T]]
	due  bool // it is with its owner, and no longer among the later ones
	rank time.Time
	late time.Duration

	underWay bool
	next     *Call[T] // of its key, to be planned when it has returned
}

// New returns an empty queue.
func New[T any](rules Rules[T]) *Queue[T] {
	return &Queue[T]{rules: rules, wake: make(chan struct{}, 1), lanes: map[string]*lane[T]{}, byKey: map[cache.ID]*planned[T]{}}
}

// Len is how many calls are planned.
func (q *Queue[T]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.byKey)
}

// Add plans c, instead of what was planned for its key. While a call of the key
// is under way, c waits for it. Add reports false when the queue is full.
func (q *Queue[T]) Add(c Call[T]) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p := q.byKey[c.Key]; p != nil && p.underWay {
		p.next = &c
		return true
	}
	q.cancel(&c.Key)
	if len(q.byKey) >= maxCalls {
		return false
	}
	q.add(c)
	return true
}

func (q *Queue[T]) add(c Call[T]) {
	p := &planned[T]{Call: c}
	l := q.lane(c.Lane)
	l.owner(&c.Owner).calls++
	p.node = l.later.Push(p)
	q.byKey[c.Key] = p
	q.poke()
}

// Cancel drops what is planned for key. A call under way goes on.
func (q *Queue[T]) Cancel(key *cache.ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p := q.byKey[*key]; p != nil && p.underWay {
		p.next = nil
		return
	}
	q.cancel(key)
}

func (q *Queue[T]) cancel(key *cache.ID) {
	p := q.byKey[*key]
	if p == nil {
		return
	}
	delete(q.byKey, *key)
	l := q.lanes[p.Lane]
	o := l.owners[p.Owner]
	if p.due {
		o.due.Remove(p.node)
	} else {
		l.later.Remove(p.node)
	}
	l.leave(o)
}

// leave ends the account of a call that is done or dropped. An owner that is in
// a list goes when it is found there.
func (l *lane[T]) leave(o *owner[T]) {
	if o.calls--; o.calls == 0 && !o.listed {
		delete(l.owners, o.id)
	}
}

func (q *Queue[T]) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *Queue[T]) lane(name string) *lane[T] {
	l := q.lanes[name]
	if l == nil {
		l = &lane[T]{
			later:   NewHeap(func(a, b *planned[T]) bool { return a.Due.Before(b.Due) }),
			owners:  map[cache.ID]*owner[T]{},
			waiting: NewHeap(func(a, b *owner[T]) bool { return a.until.Before(b.until) }),
		}
		q.lanes[name] = l
	}
	return l
}

func (l *lane[T]) owner(id *cache.ID) *owner[T] {
	o := l.owners[*id]
	if o == nil {
		o = &owner[T]{id: *id, level: 1, due: NewHeap(func(a, b *planned[T]) bool { return a.rank.Before(b.rank) })}
		l.owners[*id] = o
	}
	return o
}

// next takes a call that may be made, or says how long until there may be one.
func (q *Queue[T]) next(now time.Time) (*planned[T], time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	wait := time.Hour
	for name, l := range q.lanes {
		if len(l.owners) == 0 {
			delete(q.lanes, name)
			continue
		}
		q.mature(l, now)
		if p := q.take(l, name, now); p != nil {
			return p, 0
		}
		if first, ok := l.later.First(); ok {
			wait = min(wait, first.Due.Sub(now))
		}
		if first, ok := l.waiting.First(); ok {
			wait = min(wait, first.until.Sub(now))
		}
	}
	return nil, wait
}

// mature hands calls that have become due to their owners, and lets owners try
// whose wait is over.
func (q *Queue[T]) mature(l *lane[T], now time.Time) {
	for {
		p, ok := l.later.First()
		if !ok || p.Due.After(now) {
			break
		}
		l.later.Pop()
		o := l.owners[p.Owner]
		p.due, p.late, p.rank = true, now.Sub(p.Due), p.Due
		if q.rules.Reaches != nil {
			p.rank = q.rules.Reaches(p.Value, o.level)
		}
		p.node = o.due.Push(p)
		if !o.listed {
			o.listed = true
			l.ready = append(l.ready, o)
		}
	}
	for {
		o, ok := l.waiting.First()
		if !ok || o.until.After(now) {
			return
		}
		l.ready = append(l.ready, l.waiting.Pop())
	}
}

// take takes the next call of a lane, from its owners in turn.
func (q *Queue[T]) take(l *lane[T], name string, now time.Time) *planned[T] {
	slots := max(1, q.rules.Slots(name))
	for range len(l.ready) {
		if l.running >= slots {
			return nil
		}
		o := l.ready[0]
		l.ready[0] = nil
		l.ready = l.ready[1:]
		first, ok := o.due.First()
		switch {
		case !ok:
			if o.listed = false; o.calls == 0 {
				delete(l.owners, o.id)
			}
			continue
		case !fair(o.running, l.running, slots):
			l.capped = append(l.capped, o)
			continue
		}
		if q.rules.Wait != nil {
			if wait := q.rules.Wait(first.Value, now); wait > 0 {
				o.until = now.Add(wait)
				l.waiting.Push(o)
				continue
			}
		}
		o.due.Pop()
		first.underWay = true
		if q.rules.Urgency != nil {
			o.level = smooth(o.level, q.rules.Urgency(first.Value, now))
		}
		o.running++
		l.running++
		l.ready = append(l.ready, o)
		return first
	}
	return nil
}

// fair reports whether an owner that has mine of the calls under way may make
// one more: one if it has none, else at most three times as many as are free
// then, so that a newcomer finds a slot although a few owners hang (dynamic
// thresholds, Choudhury and Hahne 1998). One that is alone gets three quarters.
func fair(mine, running, slots int) bool { return mine == 0 || mine < 3*(slots-running-1) }

// smooth follows the urgency at which calls are made lately. One that is urgent
// without measure says nothing.
func smooth(level, urgency float64) float64 {
	if math.IsInf(urgency, 1) {
		return level
	}
	return max(1e-3, level+(min(urgency, 8*level)-level)/8)
}

// done ends a call that next began.
func (q *Queue[T]) done(p *planned[T]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lanes[p.Lane]
	o := l.owners[p.Owner]
	o.running--
	l.running--
	l.ready = append(l.ready, l.capped...)
	l.capped = nil
	l.leave(o)
	delete(q.byKey, p.Key)
	if p.next != nil {
		q.add(*p.next)
	}
	q.poke()
}

// Run calls make for each call at its time, and says how late it became due,
// until ctx ends and the calls have returned. spawn runs a function in a
// goroutine of its own.
func (q *Queue[T]) Run(ctx context.Context, spawn func(func()), make func(ctx context.Context, v T, late time.Duration)) {
	var children sync.WaitGroup
	defer children.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		p, wait := q.next(time.Now())
		if p != nil {
			children.Add(1)
			spawn(func() {
				defer children.Done()
				defer q.done(p)
				make(ctx, p.Value, p.late)
			})
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-q.wake:
		case <-timer.C:
		}
	}
}
