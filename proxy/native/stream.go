package native

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"pollux/proxy/access"
	"pollux/proxy/poller"
	"pollux/proxy/wire"
)

// forwarding is a request that is being passed on, until its answer has been
// written. It holds nothing of the exchange.
type forwarding struct {
	cancel  context.CancelFunc
	service *Service
	conn    net.Conn
	upload  *upload // nil: the request has no body
	lesson  *lesson
	events  atomic.Bool // the answer is an event stream
	grant   *access.Grant
	active  atomic.Int64 // when something last moved, in nanoseconds

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
	f.timer = time.AfterFunc(wire.LookForClient, func() { f.look(ending) })
}

func (f *forwarding) moved() { f.active.Store(time.Now().UnixNano()) }

func (f *forwarding) look(ending <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended { // the connection may be serving another request by now
		return
	}
	silent := time.Duration(time.Now().UnixNano() - f.active.Load())
	unwanted := wire.Gone(f.conn) || silent > poller.ForwardPatience
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
			d.service.life.Panicked(v)
			err = io.ErrUnexpectedEOF
		}
	}()
	buf := streamBuffers.Get().(*[32 << 10]byte)
	defer streamBuffers.Put(buf)
	flusher, buffered := w.(interface{ Flush() error })
	for {
		n, readErr := d.body.Read(buf[:])
		d.moved()
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
