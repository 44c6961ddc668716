//go:build unix

package transport

import (
	"crypto/tls"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unread is what the peer of c has done that is still to be read. It reads
// nothing.
func unread(c net.Conn) arrival {
	for t, ok := c.(*tls.Conn); ok; t, ok = c.(*tls.Conn) { // two through a proxy that speaks TLS
		c = t.NetConn()
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nothing
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return peerClosed
	}
	var n int
	var peekErr error
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		n, _, peekErr = unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	switch {
	case err == nil && (peekErr == unix.EAGAIN || peekErr == unix.EWOULDBLOCK || peekErr == unix.EINTR):
		return nothing
	case err == nil && peekErr == nil && n > 0:
		return bytesCame
	}
	return peerClosed
}
