package native

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pollux/providers"
	"pollux/proxy/access"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/wire"
)

// forwarding is a request that is being passed on, until its answer has been
// written. It holds nothing of the exchange.
type forwarding struct {
	cancel   context.CancelFunc
	service  *Service
	upstream *access.Upstream
	conn     net.Conn
	upload   *upload // nil: the request has no body
	lesson   *lesson
	grant    *access.Grant
	events   atomic.Bool  // the answer is an event stream
	active   atomic.Int64 // when something last moved, on the monotonic clock
	down     pace         // of the answer's body

	mu    sync.Mutex  // guards what follows
	timer *time.Timer // looks whether somebody still wants the answer
	ended bool
}

// watch gives the request up once its client is gone, once nothing has moved
// for too long, or, for an event stream, when the server is ending or the
// grant: a client takes those up again elsewhere.
func (f *forwarding) watch(conn net.Conn, ending <-chan struct{}) {
	f.conn = conn
	f.moved()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.timer = time.AfterFunc(wire.LookForClient, func() { f.service.life.Roots.Run("watch of a forwarded request", func() { f.look(ending) }) })
}

// monotonic is a time that no clock that is set can move.
func monotonic() int64 { return int64(time.Since(started)) }

var started = time.Now()

func (f *forwarding) moved() { f.active.Store(monotonic()) }

// answering is told of the answer's head. A stream may say as little as it
// likes; any other body has a least rate.
func (f *forwarding) answering(h http.Header) {
	f.events.Store(isEventStream(h))
	f.down.free.Store(isStream(h))
}

// streamTypes are the media types of bodies that are made while they are read.
var streamTypes = []string{
	string(wire.EventStream), "application/x-ndjson", "application/jsonl", "application/json-seq", "application/stream+json", "multipart/x-mixed-replace",
}

// isStream reports whether an answer is made while it is read.
func isStream(h http.Header) bool {
	return slices.Contains(streamTypes, providers.MediaType(h.Get("Content-Type")))
}

// pace is how fast a body moves. It is safe for concurrent use.
type pace struct {
	free  atomic.Bool // may be as slow as it likes
	bytes atomic.Int64
	began atomic.Int64 // monotonic time of the first byte; 0: none has come
}

func (p *pace) moved(n int) {
	if n > 0 {
		p.began.CompareAndSwap(0, max(1, monotonic()))
		p.bytes.Add(int64(n))
	}
}

// slow reports whether fewer than rate bytes a second have come, not counting
// the time of grace. A rate of 0 allows everything.
func (p *pace) slow(rate int, grace time.Duration) bool {
	began := p.began.Load()
	if began == 0 || p.free.Load() {
		return false
	}
	counted := time.Duration(monotonic()-began) - grace
	return counted > 0 && float64(p.bytes.Load()) < float64(rate)*counted.Seconds()
}

func (f *forwarding) look(ending <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended { // the connection may be serving another request by now
		return
	}
	silent := time.Duration(monotonic() - f.active.Load())
	unwanted := wire.Gone(f.conn) || silent > upstream.ForwardPatience || f.slow()
	select {
	case <-ending:
		unwanted = unwanted || f.events.Load()
	case <-f.grant.Replaced():
		p, _ := f.grant.Renew()
		unwanted = unwanted || p != nil && f.events.Load()
	default:
	}
	if unwanted {
		f.cancel()
		return
	}
	f.timer.Reset(wire.LookForClient)
}

// slow reports whether a body moves more slowly than forward_rate, either way.
func (f *forwarding) slow() bool {
	rate, grace := f.upstream.Config.ForwardRate, f.upstream.Config.ForwardGrace
	if f.upload != nil && !f.upload.complete.Load() && f.upload.pace.slow(rate, grace) {
		f.upload.slow.Store(true)
		return true
	}
	return f.down.slow(rate, grace)
}

// end lets go of the connection: nothing reads from it or looks at it when end
// has returned. It is idempotent.
func (f *forwarding) end() {
	f.mu.Lock()
	f.ended = true
	f.timer.Stop()
	f.mu.Unlock()
	f.cancel()
	if f.upload != nil {
		f.upload.detach()
	}
	f.lesson.over()
}

// download is the body of a forwarded answer. fasthttp has it write itself, on
// the goroutine of the connection.
type download struct {
	*forwarding
	body io.ReadCloser
	left int64 // bytes to come; -1: until the end
}

var streamBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// SupportsBodyWriteTo lets fasthttp call WriteTo in place of Read.
func (d *download) SupportsBodyWriteTo() bool { return true }

// Read is not used where WriteTo is.
func (d *download) Read(p []byte) (int, error) { return d.body.Read(p) }

// WriteTo writes every piece at once, with a deadline of its own: a stream may
// last for days, a reader that stalls may not.
func (d *download) WriteTo(w io.Writer) (written int64, err error) {
	defer func() {
		if v := recover(); v != nil {
			d.service.life.Roots.Caught("forwarded answer", v)
			err = io.ErrUnexpectedEOF
		}
	}()
	buf := streamBuffers.Get().(*[32 << 10]byte)
	defer func() {
		clear(buf[:]) // an answer may hold credentials
		streamBuffers.Put(buf)
	}()
	flusher, buffered := w.(interface{ Flush() error })
	for {
		n, readErr := d.body.Read(buf[:])
		d.moved()
		d.down.moved(n)
		d.lesson.hear(buf[:n])
		if d.left >= 0 {
			d.left -= int64(n)
		}
		if readErr == io.EOF && d.left < 0 || d.left == 0 {
			d.lesson.finished() // before the client can know that this is the end
		}
		if n > 0 {
			m, err := w.Write(buf[:n])
			written += int64(m)
			if err == nil && buffered {
				err = flusher.Flush()
			}
			if err != nil {
				return written, err
			}
		}
		switch {
		case d.left == 0:
			return written, nil
		case readErr == io.EOF && d.left > 0:
			return written, io.ErrUnexpectedEOF
		case readErr == io.EOF:
			return written, nil
		case readErr != nil:
			return written, readErr
		}
	}
}

// Close ends the forwarding, whether or not all was written.
func (d *download) Close() error {
	d.end()
	return d.body.Close()
}
