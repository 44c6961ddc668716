//go:build unix

package transport

import (
	"crypto/tls"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// silent reports whether the peer of c has neither sent anything that is still
// to be read nor closed its side. It reads nothing.
func silent(c net.Conn) bool {
	for t, ok := c.(*tls.Conn); ok; t, ok = c.(*tls.Conn) { // two through a proxy that speaks TLS
		c = t.NetConn()
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	var peekErr error
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		_, _, peekErr = unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	return err == nil && (peekErr == unix.EAGAIN || peekErr == unix.EWOULDBLOCK || peekErr == unix.EINTR)
}
