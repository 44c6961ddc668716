//go:build unix

package wire

import "syscall"

// spareDescriptors is what the store, upstream connections and the runtime need
// beside the connections of clients.
const spareDescriptors = 512

// DescriptorsFor reports how many descriptors the process may open, and how many
// it wants for so many connections. Once they run out, accepting pauses, and the
// store is in trouble.
func DescriptorsFor(connections int) (limit, wanted uint64) {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil {
		return 0, 0
	}
	return uint64(r.Cur), uint64(connections) + spareDescriptors
}
