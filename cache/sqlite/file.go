package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pollux/cache"
)

// companions are the files that SQLite keeps beside a database.
var companions = [...]string{"", "-wal", "-shm", "-journal"}

// preparePath returns the absolute path of the file itself, so that two names of
// one file share a lock, and makes its directory.
func preparePath(path string) (string, error) {
	if path == "" {
		return "", errors.New("no path given")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real, nil
	}
	return path, nil
}

// dataSource returns the name by which the driver opens path with pragmas.
func dataSource(path string, pragmas ...string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") { // a drive letter
		path = "/" + path
	}
	name := "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path) + "?_txlock=immediate"
	for _, pragma := range pragmas {
		name += "&_pragma=" + pragma
	}
	return name
}

// openOrReplace opens the store at path. What cannot be used because of its
// content is moved aside for an empty file.
func openOrReplace(ctx context.Context, path string, secret *cache.Secret, log *slog.Logger) (*database, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && info.Size() == 0 && info.Mode().IsRegular():
		// If anything is moved, then companions, and this is why.
		return replace(ctx, path, errors.New("files of a store without the store"), secret, log)
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	}
	version, err := checkHeader(path)
	if errors.Is(err, errNotOurs) {
		return replace(ctx, path, err, secret, log)
	}
	if err == nil && version < schemaVersion {
		err = guarded(func() error { return asDamage(migrate(ctx, path, secret, log)) })
		if damage(err) || fault(err) {
			return replace(ctx, path, err, secret, log)
		}
	}
	if err != nil {
		return nil, err
	}
	file, err := openDatabase(ctx, path, secret)
	if damage(err) || fault(err) {
		return replace(ctx, path, err, secret, log)
	}
	return file, err
}

// replace moves what is at path aside, with reason in the log if there is
// something, and opens an empty store there. Nothing may have the old file open: the last
// connection to it would remove the -wal file of the new one.
func replace(ctx context.Context, path string, reason error, secret *cache.Secret, log *slog.Logger) (*database, error) {
	aside, moved, err := moveAside(path, time.Now())
	if err != nil {
		return nil, fmt.Errorf("move unusable file aside: %w", err)
	}
	if moved {
		log.Error("store file is unusable: moved aside, starting empty", "path", path, "moved_to", aside, "err", reason)
	}
	if err := createFile(ctx, path); err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	return openDatabase(ctx, path, secret)
}

// moveAside renames a database and its companions to <path>.corrupt-<UTC time>;
// empty files are removed. A -wal file without its database goes too: SQLite
// would play it into the next one.
func moveAside(path string, now time.Time) (aside string, moved bool, err error) {
	stem := path + ".corrupt-" + now.UTC().Format("20060102T150405Z")
	aside = stem
	for n := 2; anyExists(aside); n++ {
		aside = fmt.Sprintf("%s-%d", stem, n)
	}
	for _, suffix := range companions {
		info, err := os.Lstat(path + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && info.Size() == 0 {
			err = os.Remove(path + suffix)
		} else if err == nil {
			err = os.Rename(path+suffix, aside+suffix)
			moved = true
		}
		if err != nil {
			return "", moved, err
		}
	}
	return aside, moved, cache.SyncDir(filepath.Dir(path))
}

func anyExists(path string) bool {
	for _, suffix := range companions {
		if _, err := os.Lstat(path + suffix); err == nil {
			return true
		}
	}
	return false
}

// removeDatabase removes a database and its companions, if there are any.
func removeDatabase(path string) error {
	for _, suffix := range companions {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// renameDurably renames a file that is already on disk.
func renameDurably(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return cache.SyncDir(filepath.Dir(to))
}
