package wire

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Gone reports whether the client of c has closed its side, without reading
// from it: fasthttp does not tell, and a byte read here would be missing from
// the next request.
func Gone(c net.Conn) bool {
	for {
		above, ok := c.(interface{ NetConn() net.Conn }) // TLS, the PROXY protocol
		if !ok {
			break
		}
		c = above.NetConn()
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	left := false
	err = raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(fds, 0)
		left = err == nil && n > 0 && fds[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
	})
	return left || err != nil
}
