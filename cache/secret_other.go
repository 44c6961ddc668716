//go:build !unix

package cache

import "io/fs"

// Modes say nothing about access here.
func exposed(fs.FileMode) bool { return false }

// SyncDir does nothing: directories cannot be synced here.
func SyncDir(string) error { return nil }
