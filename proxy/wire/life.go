package wire

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"pollux/proxy/roots"
)

// Life is what outlives single requests: what polls and streams hang on, and
// how both end. Its fields are read-only.
type Life struct {
	Polls  context.Context // of every poll; ends when the server has
	Ending chan struct{}   // closed when waits and streams have to end
	Roots  *roots.Roots    // of goroutines that serve requests

	Streams sync.WaitGroup // of connections taken over
}

// NewLife returns the life of a server whose polls hang on the given context.
func NewLife(polls context.Context, roots *roots.Roots) *Life {
	return &Life{Polls: polls, Ending: make(chan struct{}), Roots: roots}
}

const (
	// heartbeat is how often a silent stream sends a comment, so that
	// intermediaries keep it open.
	heartbeat = 15 * time.Second
	// lookForClient is how often somebody who waits is checked for having left.
	LookForClient = time.Second
)

var (
	EventStream = []byte("text/event-stream")
)

// WantsStream reports whether an event stream is asked for: Accept names it, and
// likes no JSON better. HEAD has none.
func (x *Exchange) WantsStream() bool {
	accept := x.list("Accept")
	if len(accept) == 0 || x.Ctx.IsHead() {
		return false
	}
	stream, named := accepted(accept, "text", "event-stream")
	if !named || stream == 0 {
		return false
	}
	document, _ := accepted(accept, "application", "json")
	return stream >= document
}

// EventWriter writes server-sent events straight to a connection that was
// taken over from the HTTP server, which would put a pipe and a goroutine
// between.
type EventWriter struct{ conn net.Conn }

// Left reports whether the client has gone.
func (w EventWriter) Left() bool { return Gone(w.conn) }

func (w EventWriter) Send(b []byte) error {
	_, err := w.conn.Write(b)
	return err
}

const streamHead = "HTTP/1.1 200 OK\r\n" +
	"Content-Type: text/event-stream\r\n" +
	"Cache-Control: no-store\r\n" +
	"X-Content-Type-Options: nosniff\r\n" +
	"X-Accel-Buffering: no\r\n" +
	"Connection: close\r\n"

// TakeOver answers x with an event stream that serve writes. It returns at
// once; serve runs until it returns, and must do so when l.ending is closed.
// extra are further header lines.
func (l *Life) TakeOver(x *Exchange, extra string, leave func(), serve func(EventWriter)) {
	c := NetConn(x.Ctx)
	l.Streams.Add(1)
	x.Ctx.SetStatusCode(200)
	x.Ctx.HijackSetNoResponse(true)
	x.Ctx.Hijack(func(net.Conn) {
		defer l.Streams.Done()
		defer leave()
		defer l.Roots.Recover("stream")
		w := EventWriter{conn: c}
		if w.Send([]byte(streamHead+extra+"\r\n")) == nil {
			serve(w)
		}
	})
}

// Grant is what a stream rests on after it was let in. A reload may take it away.
type Grant interface {
	// Replaced is closed once another configuration is in force.
	Replaced() <-chan struct{}
	// Last takes the grant over to that configuration. It returns what a stream
	// sends before it ends, nil if it goes on.
	Last() []byte
}

// Pump calls send whenever wake receives, with heartbeats between, until send
// returns false, g does not hold any more, the client has left or the server
// shuts down.
func (l *Life) Pump(w EventWriter, g Grant, wake <-chan struct{}, send func() bool) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	look := time.NewTicker(LookForClient)
	defer look.Stop()
	for {
		select {
		case <-wake:
			if !send() {
				return
			}
		case <-g.Replaced():
			if last := g.Last(); last != nil {
				_ = w.Send(last)
				return
			}
		case <-beat.C:
			if w.Send([]byte(":\n\n")) != nil {
				return
			}
		case <-look.C:
			if Gone(w.conn) {
				return
			}
		case <-l.Ending:
			_ = w.Send(fmt.Appendf(nil, "retry: %d\n\n", 1000+rand.IntN(4000))) // milliseconds: not all at once to the next replica
			return
		}
	}
}

// Ended waits for the connections that were taken over: the HTTP server does
// not know them any more.
func (l *Life) Ended(ctx context.Context) error {
	ended := make(chan struct{})
	go func() { l.Streams.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("shut down: %w", ctx.Err())
	}
}
