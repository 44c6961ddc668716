package sqlite

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"pollux/cache"
)

// mendEvery is the shortest time between two attempts to mend the file: a disk
// that damages everything must not fill with files put aside.
const mendEvery = time.Minute

// lookEvery is how often the files are looked at.
const lookEvery = 2 * time.Second

// lost returns why the file that is open is no longer the one that would be
// found after a restart, nil if it is.
func (w *writer) lost() error {
	d := w.file.Load()
	if d == nil {
		return nil
	}
	info, err := os.Stat(w.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("store file was deleted")
	case err != nil:
		return nil // a directory that cannot be read says nothing of the file
	case !os.SameFile(info, d.info):
		return errors.New("store file was replaced by another")
	case info.Size() < d.size:
		return errors.New("store file was cut")
	}
	d.size = info.Size()
	wal, err := os.Stat(w.path + "-wal")
	switch {
	case err == nil && d.wal == nil:
		d.wal = wal
	case d.wal != nil && (errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(wal, d.wal)):
		return errors.New("write-ahead log of the store file was deleted or replaced")
	}
	return nil
}

// look has the store file opened again, or made anew, when it was lost.
func (w *writer) look() {
	if err := w.lost(); err != nil {
		w.report(err)
		w.reopenedAt = time.Time{} // the disk is not to blame
		w.mend(&faultError{err})
	}
}

// mend gives the store a usable file after broken, the error that showed that
// it has none; nil if the last attempt failed. After damage that is an empty
// file; after a fault the same one on new connections. Until it succeeds, the
// store misses and refuses writes.
func (w *writer) mend(broken error) {
	last, open := &w.reopenedAt, openOrReplace
	if damage(broken) {
		last, open = &w.replacedAt, func(ctx context.Context, path string, secret *cache.Secret, log *slog.Logger) (*database, error) {
			return replace(ctx, path, broken, secret, log)
		}
	}
	if w.stuck || !last.IsZero() && time.Since(*last) < mendEvery {
		return
	}
	*last = time.Now()
	if old := w.file.Swap(nil); old != nil {
		if err := old.closeWithin(closeTimeout); err != nil {
			w.stuck = true
			w.log.Error("broken store file cannot be closed: going on without a store", "path", w.path, "err", err)
			return
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	file, err := open(ctx, w.path, w.secret, w.log)
	if err != nil {
		w.log.Error("broken store file cannot be opened again yet: going on without a store", "path", w.path, "err", err)
		return
	}
	w.file.Store(file)
	if damage(broken) {
		w.replaced.Add(1)
	} else {
		w.log.Warn("store file reopened", "path", w.path, "err", broken)
		w.reopened.Add(1)
	}
}
