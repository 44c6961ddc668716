//go:build !unix

package cache

import "io/fs"

// Modes say nothing about access here, and directories cannot be synced.
func exposed(fs.FileMode) bool { return false }
func syncDir(string) error     { return nil }
