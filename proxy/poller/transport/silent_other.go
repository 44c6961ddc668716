//go:build !unix

package transport

import "net"

// silent always says yes: here only what net/http has read is seen.
func silent(net.Conn) bool { return true }
