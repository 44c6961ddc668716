package proxy

import (
	"time"

	"pollux/proxy/follow"
	"pollux/proxy/poller"
)

var headerLastEventID = []byte("Last-Event-Id") // canonical form, as fasthttp makes it

// serveStream answers GET of a task with an event per change.
func (s *taskService) serveStream(x *request, t *target, part *poller.Partition, o options, d directives) {
	limits := &x.settings.Limits
	leave, p := s.streams.enter(&x.partition, limits.StreamsPerPartition, limits.Streams)
	if p != nil {
		x.problem(p)
		return
	}
	follower := s.hub.Follow(&x.key, &x.partition)
	end := func() { follower.Close(); leave() }
	r := x.poll(t, part)
	r.NoCache = d.noCache
	a := s.engine.Poll(s.life.polls, r)
	x.now = time.Now()
	if a.Problem != nil {
		end()
		s.answer(x, t, part, o, &a)
		return
	}
	last := string(x.ctx.Request.Header.PeekCanonical(headerLastEventID))
	seen := last != "" && last == follow.Opaque(o.validator(a.Entry))
	if over := a.Entry.Terminal && !a.Entry.Settling; over && seen {
		end()
		x.ctx.SetStatusCode(204) // EventSource stops reconnecting
		x.setHeader(headerCacheControl, noStore)
		return
	} else if !over {
		release, p := s.engine.Watch(r)
		if p != nil {
			end()
			x.problem(p)
			return
		}
		end = func() { release(); follower.Close(); leave() }
	}
	x.header = a.Cache.Append(append(x.header[:0], "Cache-Status: "...))
	extra := string(append(append(append(x.header, "\r\nVary: "...), t.vary...), "\r\n"...))
	publicURL := x.settings.publicURL
	first := &follow.News{Entry: a.Entry}
	if seen {
		first = nil
	}
	s.life.takeOver(&x.exchange, extra, end, func(w eventWriter) { s.follow(w, follower, first, last, o, publicURL) })
}

// follow writes the changes of a task until it has ended for good. last is the
// id of the event that the client has; first is nil if that is the present one.
func (s *taskService) follow(w eventWriter, f *follow.Follower, first *follow.News, last string, o options, publicURL string) {
	tell := func(news *follow.News) (more bool) {
		if news.Problem != nil {
			_ = w.write(follow.AppendEvent(nil, "problem", "", news.Problem.AppendJSON(nil, publicURL)))
			return false
		}
		if id, event := eventOf(news, o); id != last {
			if w.write(event) != nil {
				return false
			}
			last = id
		}
		return !news.Entry.Terminal || news.Entry.Settling
	}
	if first != nil && !tell(first) {
		return
	}
	s.life.pump(w, f.Wake(), func() bool {
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
