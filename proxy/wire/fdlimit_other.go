//go:build !unix

package wire

// DescriptorsFor knows no limit outside of Unix.
func DescriptorsFor(int) (limit, wanted uint64) { return 0, 0 }
