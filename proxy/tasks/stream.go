package tasks

import (
	"context"
	"time"

	"pollux/proxy/access"
	"pollux/proxy/follow"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/wire"
)

var headerLastEventID = []byte("Last-Event-Id") // canonical form, as fasthttp makes it

// serveStream answers GET of a task with an event per change. With
// only-if-cached they are those that others' polls find.
func (s *Service) serveStream(x *access.Request, t *access.Upstream, part *upstream.Partition, o options, d wire.Directives) {
	limits := &x.Settings.Limits
	leave, p := s.streams.Enter(&x.PartitionID, limits.StreamsPerPartition, limits.Streams)
	if p != nil {
		x.Problem(p)
		return
	}
	follower := s.hub.Follow(&x.Key, &x.PartitionID)
	end := func() { follower.Close(); leave() }
	r := x.PollRequest(t, part, d)
	a := s.engine.Poll(context.Background(), r)
	x.Now = time.Now()
	if a.Problem != nil && !a.Unconfirmed {
		end()
		s.answer(x, t, part, o, &a)
		return
	}
	last := string(x.Ctx.Request.Header.PeekCanonical(headerLastEventID))
	seen := a.Entry != nil && last != "" && last == follow.Opaque(o.validator(a.Entry))
	if over := a.Entry != nil && a.Entry.Settled(); over && seen {
		end()
		x.Ctx.SetStatusCode(204) // EventSource stops reconnecting
		x.SetHeader(wire.HeaderCacheControl, wire.NoStore)
		return
	} else if !over && !d.OnlyIfCached {
		release, p := s.engine.Watch(r)
		if p != nil {
			end()
			x.Problem(p)
			return
		}
		end = func() { release(); follower.Close(); leave() }
	}
	x.Header = a.Cache.Append(append(x.Header[:0], "Cache-Status: "...))
	extra := string(append(append(append(x.Header, "\r\nVary: "...), t.Vary...), "\r\n"...))
	g := x.Grant(access.ScopeRead, t)
	var first *follow.News
	if a.Entry != nil && !seen {
		first = &follow.News{Entry: a.Entry}
	}
	s.life.TakeOver(&x.Exchange, extra, end, func(w wire.EventWriter) { s.follow(w, g, follower, first, last, o) })
}

// follow writes the changes of a task until it has ended for good. last is the
// id of the event that the client has; first is nil if that is the present one,
// or if there is none at present.
func (s *Service) follow(w wire.EventWriter, g *access.Grant, f *follow.Follower, first *follow.News, last string, o options) {
	tell := func(news *follow.News) (more bool) {
		if news.Problem != nil {
			_ = w.Send(follow.AppendEvent(nil, "problem", "", news.Problem.AppendJSON(nil, g.PublicURL)))
			return false
		}
		if id, event := eventOf(news, o); id != last {
			if w.Send(event) != nil {
				return false
			}
			last = id
		}
		return !news.Entry.Settled()
	}
	if first != nil && !tell(first) {
		return
	}
	s.life.Pump(w, g, f.Wake(), func() bool {
		news := f.Take()
		return news == nil || tell(news)
	})
}

// eventOf is the event of an entry, and its id. Only the history, which few
// ask for, is not shared by all followers.
func eventOf(news *follow.News, o options) (id string, event []byte) {
	switch {
	case o.history:
		body, etag := extend(news.Entry, o)
		id = follow.Opaque(etag)
		return id, follow.AppendEvent(nil, "", id, body)
	case o.native:
		return follow.Opaque(news.Entry.NativeETag), news.Event(true)
	}
	return follow.Opaque(news.Entry.ETag), news.Event(false)
}
