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

// patient is a connection whose writes end when the client stalls, and not
// after a time for the whole. It keeps the deadline of writes itself.
type patient struct{ net.Conn }

// Write returns a timeout once nothing could be written for the time of a stall.
func (c patient) Write(p []byte) (written int, err error) {
	for {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(stall)); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(p[written:])
		if written += n; n > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		return written, err
	}
}

// SetWriteDeadline does nothing, see Write.
func (c patient) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is SetReadDeadline.
func (c patient) SetDeadline(t time.Time) error { return c.Conn.SetReadDeadline(t) }

// CloseWrite sends the end of what is written, where the network can.
func (c patient) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SyscallConn is of the connection below.
func (c patient) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
