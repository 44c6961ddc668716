//go:build unix && !solaris && !aix

package sqlite

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// fileLock keeps a second process away from the store. The kernel lets go of it
// when the process ends, however it ends.
type fileLock struct{ f *os.File }

// lockFile takes the lock at path or returns an error at once. The file stays
// behind: removing it would let two processes lock two files of one name.
func lockFile(path string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil {
		return &fileLock{f}, nil
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("in use by another process (%s is locked)", path)
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

func (l *fileLock) release() error { return l.f.Close() }
