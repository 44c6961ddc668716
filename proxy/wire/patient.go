package wire

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// stall is how long a client may take nothing of what is being written to it.
// One that reads slowly but steadily gets all of it, however long that takes.
const stall = 15 * time.Second

// rearm is how often the deadlines of a connection that is busy are set anew:
// each time costs as much as a look-up.
const rearm = time.Second

// patient is a connection whose writes end when the client stalls, and not
// after a time for the whole. It keeps the deadline of writes itself. One
// goroutine writes at a time.
type patient struct {
	net.Conn
	stalled time.Time // the deadline of writes
}

// Write returns a timeout once nothing could be written for the time of a stall,
// and up to rearm more.
func (c *patient) Write(p []byte) (written int, err error) {
	for {
		if now := time.Now(); c.stalled.Sub(now) < stall {
			c.stalled = now.Add(stall + rearm)
			if err := c.Conn.SetWriteDeadline(c.stalled); err != nil {
				return written, err
			}
		}
		n, err := c.Conn.Write(p[written:])
		if written += n; n > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		return written, err
	}
}

// SetWriteDeadline does nothing, see Write.
func (c *patient) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is SetReadDeadline.
func (c *patient) SetDeadline(t time.Time) error { return c.Conn.SetReadDeadline(t) }

// CloseWrite sends the end of what is written, where the network can.
func (c *patient) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SyscallConn is of the connection below.
func (c *patient) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
