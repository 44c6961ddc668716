//go:build unix

package cache

import (
	"errors"
	"io/fs"
	"os"
)

// exposed reports whether a file of this mode can be read or changed by others
// than its owner.
func exposed(mode fs.FileMode) bool { return mode.Perm()&0o077 != 0 }

// SyncDir makes the names in dir survive a power loss.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
