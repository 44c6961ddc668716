package sqlite

import (
	"context"
	"log/slog"
	"time"

	"pollux/cache"
)

// mendEvery is the shortest time between two attempts to mend the file: a disk
// that damages everything must not fill with files put aside.
const mendEvery = time.Minute

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
