//go:build !unix

package wire

// descriptorsFor knows no limit outside of Unix.
func descriptorsFor(int) (limit uint64, enough bool) { return 0, true }
