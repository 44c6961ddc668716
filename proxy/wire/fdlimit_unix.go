//go:build unix

package wire

import "syscall"

// spareDescriptors is what the store, upstream connections and the runtime need
// beside the connections of clients.
const spareDescriptors = 512

// DescriptorsFor reports how many descriptors the process may open, and
// whether that is enough for so many connections. Once they run out, accepting
// pauses, and the store is in trouble.
func DescriptorsFor(connections int) (limit uint64, enough bool) {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil {
		return 0, true
	}
	limit = uint64(r.Cur)
	return limit, limit >= uint64(connections)+spareDescriptors
}
