package fleet

import (
	"time"

	"pollux/cache"
	"pollux/proxy/access"
	"pollux/proxy/follow"
	"pollux/proxy/wire"
)

// serveRows streams a list: its page, then every row that changes.
func (s *Service) serveRows(x *access.Request, q *listQuery) {
	leave, ok := s.enterStream(x, &q.Sight)
	if !ok {
		return
	}
	sub := s.feed.subscribe(q.Query)
	end := func() { s.feed.leave(sub); leave() }
	rows, _, p := s.list(&q.Query)
	if p != nil {
		end()
		x.Problem(p)
		return
	}
	g := x.ReachGrant()
	s.life.TakeOver(&x.Exchange, "", end, func(w wire.EventWriter) {
		now := time.Now()
		page := []byte(":\n\n") // so that an empty page shows that the stream is there
		for i := range rows {
			page = s.appendRow(page, &rows[i], now)
		}
		if w.Send(page) == nil {
			s.streamRows(w, g, sub)
		}
	})
}

// enterStream counts a stream of the fleet in, as one of its first partition.
// It answers the request itself when there are too many.
func (s *Service) enterStream(x *access.Request, sight *cache.Sight) (leave func(), ok bool) {
	var who cache.ID
	if len(sight.Partitions) > 0 {
		who = sight.Partitions[0]
	}
	limits := &x.Settings.Limits
	leave, p := s.streams.Enter(&who, limits.StreamsPerPartition, limits.Streams)
	if p != nil {
		x.Problem(p)
		return nil, false
	}
	return leave, true
}

func (s *Service) appendRow(dst []byte, r *cache.Row, now time.Time) []byte {
	return follow.AppendEvent(dst, "row", "", wire.Marshal(s.rendered(r, now)))
}

func (s *Service) streamRows(w wire.EventWriter, g *access.Grant, sub *subscriber) {
	s.life.Pump(w, g, sub.wake, func() bool {
		rows, why, over := sub.take()
		var events []byte
		now := time.Now()
		for _, r := range rows {
			events = s.appendRow(events, r, now)
		}
		switch {
		case why != nil:
			events = follow.AppendEvent(events, "problem", "", why.AppendJSON(nil, g.PublicURL))
		case over:
			events = append(events, "retry: 1000\n\n"...)
		}
		return (len(events) == 0 || w.Send(events) == nil) && !over
	})
}
