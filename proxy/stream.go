package proxy

import (
	"bytes"
	"net"
	"time"

	"pollux/proxy/follow"
	"pollux/proxy/poller"
)

const (
	// heartbeat is how often a silent stream sends a comment, so that
	// intermediaries keep it open.
	heartbeat = 15 * time.Second
	// writeEvent bounds the writing of one event: a reader that stalls longer
	// is cut off, and harms nobody else.
	writeEvent = 10 * time.Second
)

var (
	headerAccept      = []byte("Accept")
	headerLastEventID = []byte("Last-Event-Id") // canonical form, as fasthttp makes it
	eventStream       = []byte("text/event-stream")
)

// wantsStream reports whether an event stream is asked for. HEAD has none.
func (x *exchange) wantsStream() bool {
	return acceptsEvents(x.ctx.Request.Header.PeekCanonical(headerAccept)) && !x.ctx.IsHead()
}

// acceptsEvents reports whether Accept asks for an event stream.
func acceptsEvents(accept []byte) bool {
	for len(accept) > 0 {
		var one []byte
		one, accept, _ = bytes.Cut(accept, []byte(","))
		media, params, _ := bytes.Cut(one, []byte(";"))
		if bytes.EqualFold(trimOWS(media), eventStream) {
			q := bytes.ReplaceAll(params, []byte(" "), nil)
			return !bytes.Equal(q, []byte("q=0")) && !bytes.HasPrefix(q, []byte("q=0;"))
		}
	}
	return false
}

// eventWriter writes server-sent events straight to a connection that was
// taken over from the HTTP server, which would put a pipe and a goroutine
// between.
type eventWriter struct{ conn net.Conn }

func (w eventWriter) write(b []byte) error {
	if err := w.conn.SetWriteDeadline(time.Now().Add(writeEvent)); err != nil {
		return err
	}
	_, err := w.conn.Write(b)
	return err
}

const streamHead = "HTTP/1.1 200 OK\r\n" +
	"Content-Type: text/event-stream\r\n" +
	"Cache-Control: no-store\r\n" +
	"X-Content-Type-Options: nosniff\r\n" +
	"X-Accel-Buffering: no\r\n" +
	"Connection: close\r\n"

// takeOver answers x with an event stream that serve writes. It returns at
// once; serve runs until it returns, and must do so when s.ending is closed.
// extra are further header lines.
func (s *Server) takeOver(x *exchange, extra string, leave func(), serve func(eventWriter)) {
	c := netConn(x.ctx)
	s.streams.Add(1)
	x.ctx.SetStatusCode(200)
	x.ctx.HijackSetNoResponse(true)
	x.ctx.Hijack(func(net.Conn) {
		defer s.streams.Done()
		defer leave()
		defer func() {
			if v := recover(); v != nil {
				s.panicked(v)
			}
		}()
		w := eventWriter{conn: c}
		if w.write([]byte(streamHead+extra+"\r\n")) == nil {
			serve(w)
		}
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

// serveStream answers GET of a task with an event per change.
func (s *Server) serveStream(x *exchange, t *target, part *poller.Partition, d directives) {
	limits := &x.settings.Limits
	leave, p := s.streamGate.enter(&x.partition, limits.StreamsPerPartition, limits.Streams)
	if p != nil {
		x.problem(p)
		return
	}
	follower := s.hub.Follow(&x.key, &x.partition)
	end := func() { follower.Close(); leave() }
	r := x.request(t, part)
	r.NoCache = d.noCache
	a := s.engine.Poll(s.base, r)
	x.now = time.Now()
	if a.Problem != nil {
		end()
		s.answer(x, t, part, &a)
		return
	}
	last := string(x.ctx.Request.Header.PeekCanonical(headerLastEventID))
	seen := last != "" && last == follow.Opaque(x.validator(a.Entry))
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
	publicURL, o := x.settings.publicURL, x.options
	first := &follow.News{Entry: a.Entry}
	if seen {
		first = nil
	}
	s.takeOver(x, extra, end, func(w eventWriter) { s.follow(w, follower, first, last, o, publicURL) })
}

// follow writes the changes of a task until it has ended for good. last is the
// id of the event that the client has; first is nil if that is the present one.
func (s *Server) follow(w eventWriter, f *follow.Follower, first *follow.News, last string, o options, publicURL string) {
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
	s.pump(w, f.Wake(), func() bool {
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
