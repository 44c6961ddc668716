package proxy

import (
	"sync"
	"sync/atomic"
	"time"

	"pollux/cache"
	"pollux/proxy/poller"
	"pollux/proxy/push"
)

// maxPendingRows is how many changed rows may wait for a reader of a list. One
// that is slower than that is cut off, and finds the present page when it comes
// back.
const maxPendingRows = 10_000

// feed hands changed rows to the streams of lists. It implements
// [poller.Observer]; the zero value has no subscribers.
type feed struct {
	listening atomic.Int64 // how many subscribers, so that without any nothing is locked
	mu        sync.RWMutex // guards subscribers
	all       map[*subscriber]struct{}
}

// subscriber is one stream. Rows that change again before they were taken come
// once.
type subscriber struct {
	wake chan struct{} // of capacity 1

	mu      sync.Mutex // guards what follows
	query   cache.Query
	order   []cache.ID // of pending
	pending map[cache.ID]*cache.Row
	cut     bool
	problem *poller.Problem
}

// subscribe returns a subscriber to the rows that q matches from now on,
// whatever page it asks for.
func (f *feed) subscribe(q cache.Query) *subscriber {
	sub := &subscriber{wake: make(chan struct{}, 1), query: q, pending: map[cache.ID]*cache.Row{}}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = map[*subscriber]struct{}{}
	}
	f.all[sub] = struct{}{}
	f.listening.Add(1)
	return sub
}

func (f *feed) leave(sub *subscriber) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, sub)
	f.listening.Add(-1)
}

// each calls tell for every subscriber.
func (f *feed) each(tell func(*subscriber)) {
	if f.listening.Load() == 0 {
		return
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	for sub := range f.all {
		tell(sub)
	}
}

// Published implements [poller.Observer]. A document that did not change in
// this answer is no news.
func (f *feed) Published(e *cache.Entry) {
	if f.listening.Load() == 0 || e.UpdatedAt.Before(e.ObservedAt.Truncate(time.Microsecond)) {
		return
	}
	row := cache.RowOf(e)
	f.each(func(sub *subscriber) { sub.add(&row) })
}

// Lost implements [poller.Observer].
func (f *feed) Lost(key *cache.ID, _ *poller.Problem) {
	f.each(func(sub *subscriber) {
		sub.mu.Lock()
		defer sub.mu.Unlock()
		delete(sub.pending, *key)
	})
}

// Suspended implements [poller.Observer]: nothing that waits of the partition is
// shown to its own credential any more. What is published later comes from a
// poll that the upstream let in again.
func (f *feed) Suspended(partition *cache.ID, problem *poller.Problem) {
	f.each(func(sub *subscriber) { sub.blind(partition, problem) })
}

func (sub *subscriber) add(row *cache.Row) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	if sub.cut || !sub.query.Matches(row) {
		return
	}
	if _, there := sub.pending[row.Key]; !there {
		if sub.cut = len(sub.order) >= maxPendingRows; sub.cut {
			sub.order, sub.pending = nil, nil
			sub.rouse()
			return
		}
		sub.order = append(sub.order, row.Key)
	}
	sub.pending[row.Key] = row
	sub.rouse()
}

func (sub *subscriber) blind(partition *cache.ID, problem *poller.Problem) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	sight := &sub.query.Sight
	if sight.All || !sight.Sees(partition) {
		return
	}
	for key, row := range sub.pending {
		if row.Partition == *partition {
			delete(sub.pending, key)
		}
	}
	if len(sight.Partitions) == 1 { // there is nothing else to wait for
		sub.problem = problem
		sub.rouse()
	}
}

// rouse needs mu.
func (sub *subscriber) rouse() {
	select {
	case sub.wake <- struct{}{}:
	default:
	}
}

// take returns the rows that changed, in the order in which they did first.
// over says that there will be no more: because of problem, or without one,
// because they were too many.
func (sub *subscriber) take() (rows []*cache.Row, problem *poller.Problem, over bool) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	for _, key := range sub.order {
		if row := sub.pending[key]; row != nil {
			rows = append(rows, row)
		}
	}
	sub.order = sub.order[:0]
	clear(sub.pending)
	return rows, sub.problem, sub.cut || sub.problem != nil
}

// serveRows streams a list: its page, then every row that changes.
func (s *Server) serveRows(x *exchange, q *listQuery) {
	leave, ok := s.enterStream(x, &q.Sight)
	if !ok {
		return
	}
	sub := s.feed.subscribe(q.Query)
	end := func() { s.feed.leave(sub); leave() }
	rows, _, p := s.list(&q.Query)
	if p != nil {
		end()
		x.problem(p)
		return
	}
	publicURL := x.settings.publicURL
	s.takeOver(x, "", end, func(w eventWriter) {
		now := timeNow()
		page := []byte(":\n\n") // so that an empty page shows that the stream is there
		for i := range rows {
			page = s.appendRow(page, &rows[i], now)
		}
		if w.write(page) == nil {
			s.streamRows(w, sub, publicURL)
		}
	})
}

// enterStream counts a stream of the fleet in, as one of its first partition.
// It answers the request itself when there are too many.
func (s *Server) enterStream(x *exchange, sight *cache.Sight) (leave func(), ok bool) {
	var who cache.ID
	if len(sight.Partitions) > 0 {
		who = sight.Partitions[0]
	}
	limits := &x.settings.Limits
	leave, p := s.streamGate.enter(&who, limits.StreamsPerPartition, limits.Streams)
	if p != nil {
		x.problem(p)
		return nil, false
	}
	return leave, true
}

func (s *Server) appendRow(dst []byte, r *cache.Row, now time.Time) []byte {
	return push.AppendEvent(dst, "row", "", marshal(s.rendered(r, now)))
}

func (s *Server) streamRows(w eventWriter, sub *subscriber, publicURL string) {
	s.pump(w, sub.wake, func() bool {
		rows, problem, over := sub.take()
		var events []byte
		now := timeNow()
		for _, r := range rows {
			events = s.appendRow(events, r, now)
		}
		switch {
		case problem != nil:
			events = push.AppendEvent(events, "problem", "", problemJSON(problem, publicURL))
		case over:
			events = append(events, "retry: 1000\n\n"...)
		}
		return (len(events) == 0 || w.write(events) == nil) && !over
	})
}

// pump calls send whenever wake receives, with heartbeats between, until send
// returns false, the client has left or the server shuts down.
func (s *Server) pump(w eventWriter, wake <-chan struct{}, send func() bool) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	look := time.NewTicker(lookForClient)
	defer look.Stop()
	for {
		select {
		case <-wake:
			if !send() {
				return
			}
		case <-beat.C:
			if w.write([]byte(":\n\n")) != nil {
				return
			}
		case <-look.C:
			if gone(w.conn) {
				return
			}
		case <-s.ending:
			_ = w.write([]byte("retry: 1000\n\n"))
			return
		}
	}
}
