package config

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// quietTime is how long the files have to be left alone before they are
	// read: editors and tools write in steps.
	quietTime = 200 * time.Millisecond
	// lookAgain is how often the files are compared although nothing was
	// notified: network file systems notify of nothing.
	lookAgain = 10 * time.Second
)

// Watch sends to changed whenever the files of a configuration are not what
// they were, until ctx ends: its own, those of provider_dir, and what links among
// them lead to, so that Kubernetes' swap of a link is one change. paths is asked
// for them each time, nil meaning that nobody wants to know.
func Watch(ctx context.Context, paths func() []string, changed chan<- os.Signal, log *slog.Logger) {
	notices, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("changes of the configuration are noticed late", "err", err)
		notices = &fsnotify.Watcher{}
	} else {
		defer notices.Close()
	}
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	settled := time.NewTimer(time.Hour)
	defer settled.Stop()
	first := paths()
	if err == nil {
		follow(notices, first)
	}
	last := contents(first)
	if first != nil {
		log.Info("configuration files are watched")
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-notices.Events:
			settled.Reset(quietTime)
			continue
		case <-notices.Errors: // events were lost
		case <-settled.C:
		case <-again.C:
		}
		wanted := paths()
		if err == nil {
			follow(notices, wanted)
		}
		now := contents(wanted)
		if now != last && wanted != nil {
			select {
			case changed <- fileChange{}:
			default: // a reload that has not begun will see this too
			}
		}
		last = now
	}
}

// fileChange asks for a reload as SIGHUP does.
type fileChange struct{}

func (fileChange) Signal()        {}
func (fileChange) String() string { return "a file has changed" }

// follow watches the directories that paths are in, and no others: a file that
// is replaced by another takes its watch along.
func follow(notices *fsnotify.Watcher, paths []string) {
	var wanted []string
	for _, path := range paths {
		wanted = append(wanted, filepath.Dir(path))
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			wanted = append(wanted, path)
		}
		if real, err := filepath.EvalSymlinks(path); err == nil {
			wanted = append(wanted, filepath.Dir(real))
		}
	}
	watched := notices.WatchList()
	for _, dir := range watched {
		if !slices.Contains(wanted, dir) {
			_ = notices.Remove(dir)
		}
	}
	for _, dir := range wanted {
		if !slices.Contains(watched, dir) {
			_ = notices.Add(dir) // what cannot be watched is looked at all the same
		}
	}
}

// contents is a hash of the files at paths, of directories those in it. One that
// cannot be read counts as something else than any that can.
func contents(paths []string) [sha256.Size]byte {
	h := sha256.New()
	add := func(path string) {
		data, err := readLimited(path, true)
		sum := sha256.Sum256(data)
		h.Write([]byte(path))
		h.Write(sum[:])
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			h.Write([]byte("unreadable"))
		}
	}
	for _, path := range paths {
		entries, err := os.ReadDir(path)
		if err != nil {
			add(path)
			continue
		}
		for _, entry := range entries {
			if ext := filepath.Ext(entry.Name()); ext == ".yaml" || ext == ".yml" {
				add(filepath.Join(path, entry.Name()))
			}
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// Watched is the files and directories that l came from, if their changes are to
// be noticed, else nil.
func (l *Loaded) Watched() []string {
	if l.Reload != "watch" || l.File == "" {
		return nil
	}
	if l.ProviderDir == "" {
		return []string{l.File}
	}
	return []string{l.File, l.ProviderDir}
}
