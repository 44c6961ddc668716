package native

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"pollux/proxy/wire"
)

// uploadPause is how long a client may be silent within a body; how long a
// whole one may take follows from its length and forward_rate.
const uploadPause = 30 * time.Second

var errDetached = errors.New("the exchange is over")

// upload is a request's body on its way to the upstream. It may be read
// while, and after, the answer arrives; the connection must not be read any
// more once the exchange is over.
type upload struct {
	conn      net.Conn
	complete  atomic.Bool // every byte has been read
	detaching atomic.Bool
	slow      atomic.Bool // slower than forward_rate
	pace      pace

	mu     sync.Mutex // guards what follows; held while reading
	r      io.Reader  // nil once detached
	left   int64      // bytes to come; -1: chunked
	failed error      // what went wrong on the client's side
	tee    *excerpt   // nil: nobody listens
}

// newUpload returns the body that r brings from conn. tee, if there is one,
// hears it.
func newUpload(conn net.Conn, r io.Reader, length int64, tee *excerpt) *upload {
	return &upload{conn: conn, r: r, left: length, tee: tee}
}

// Read reads from the client.
func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.complete.Load():
		return 0, io.EOF
	case u.r == nil:
		return 0, errDetached
	case u.failed != nil:
		return 0, u.failed
	}
	if err := u.conn.SetReadDeadline(time.Now().Add(uploadPause)); err != nil {
		u.failed = err
		return 0, err
	}
	if u.detaching.Load() { // the deadline just set may have undone the one that wakes us
		return 0, errDetached
	}
	n, err := u.r.Read(p)
	u.pace.moved(n)
	u.tee.hear(p[:n])
	if u.left >= 0 {
		if u.left -= int64(n); u.left == 0 {
			u.complete.Store(true)
			return n, io.EOF
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
	} else if err == io.EOF {
		u.complete.Store(true)
		return n, io.EOF
	}
	u.failed = err
	return n, err
}

// Close does nothing: the connection is the server's.
func (u *upload) Close() error { return nil }

// detach keeps the connection from being read, interrupting a read under way.
func (u *upload) detach() {
	if u.complete.Load() {
		return
	}
	u.detaching.Store(true)
	_ = u.conn.SetReadDeadline(time.Unix(1, 0)) // a closed one needs no waking
	u.mu.Lock()
	u.r = nil
	u.mu.Unlock()
}

// failure is what went wrong on the client's side, nil if nothing did.
func (u *upload) failure() error {
	if u.slow.Load() {
		return os.ErrDeadlineExceeded
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.failed
}

// heard is the body if somebody listens, all of it has been read, and it is no
// longer than an excerpt; else nil.
func (u *upload) heard() []byte {
	if u == nil || !u.complete.Load() {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.tee.bytes()
}

// forget drops what was heard of the body.
func (u *upload) forget() {
	if u != nil {
		u.mu.Lock()
		u.tee.drop()
		u.mu.Unlock()
	}
}

func uploadRefusal(err error) *wire.Refusal {
	if wire.IsTimeout(err) {
		return wire.RefuseSlow
	}
	return wire.RefuseUnreadable
}
