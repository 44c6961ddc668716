package sqlite

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"pollux/cache"
	"pollux/cache/internal/storetest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		os.Exit(writeUntilKilled(path))
	}
	if raceEnabled {
		flag.Set("rapid.checks", "20") // a default: the command line may say otherwise
	}
	goleak.VerifyTestMain(m)
}

func testSecret(t testing.TB, raw string) *cache.Secret {
	t.Helper()
	s, err := cache.NewSecret([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// logBuffer is a log that tests can read.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func open(t testing.TB, path string) (*Store, *logBuffer) {
	t.Helper()
	log := &logBuffer{}
	s, err := Open(context.Background(), Config{Path: path}, testSecret(t, "a secret of enough bytes"), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, log
}

var quiet = slog.New(slog.DiscardHandler)

func mustPut(t testing.TB, s *Store, e *cache.Entry) {
	t.Helper()
	if _, err := s.Put(context.Background(), e); err != nil {
		t.Fatalf("Put: %v", err)
	}
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) cache.Store {
		s, _ := open(t, filepath.Join(t.TempDir(), "pollux.db"))
		return s
	})
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir with ?, # and %41", "pollux.db")
	s, _ := open(t, path)
	for n := range 20 {
		s.PutLater(storetest.Frozen(n, 1)) // Close writes them
	}
	s.PutPartition(storetest.Key(1), cache.PartitionState{Upstream: "orq", Suspended: true})
	mustClose(t, s)

	s, log := open(t, path)
	for n := range 20 {
		if e, err := s.Get(context.Background(), storetest.Key(n)); err != nil || e.ETag != `W/"1"` || !e.Frozen {
			t.Errorf("Get(%d) after reopening: %v, %v", n, e, err)
		}
	}
	if state, err := s.Partition(context.Background(), storetest.Key(1)); err != nil || !state.Suspended || state.Upstream != "orq" {
		t.Errorf("Partition after reopening: %+v, %v", state, err)
	}
	if log.String() != "" {
		t.Errorf("a sound store logged %q", log)
	}
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		info, err := os.Stat(path + suffix)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("pollux.db%s: %v, %v, want mode 0600", suffix, info.Mode(), err)
		}
	}
}

func TestOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pollux.db")
	open(t, path)
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, link} {
		_, err := Open(context.Background(), Config{Path: name}, testSecret(t, "a secret of enough bytes"), slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), "in use by another process") {
			t.Errorf("second Open: %v, want an error that says so", err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"empty": "", "a directory": dir, "under a file": filepath.Join(file, "pollux.db")} {
		s, err := Open(context.Background(), Config{Path: path}, testSecret(t, "a secret of enough bytes"), slog.New(slog.DiscardHandler))
		if err == nil {
			s.Close()
			t.Errorf("Open of %s path: no error", name)
		}
	}
}

func TestLostSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pollux.db")
	s, _ := open(t, path)
	mustPut(t, s, storetest.Frozen(1, 1))
	s.PutPartition(storetest.Key(1), cache.PartitionState{Upstream: "orq"})
	mustClose(t, s)

	log := &logBuffer{}
	other, err := Open(context.Background(), Config{Path: path}, testSecret(t, "some other secret than before"), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if !strings.Contains(log.String(), "the store key opens nothing") {
		t.Errorf("the log does not warn of the key: %s", log)
	}
	if e, err := other.Get(context.Background(), storetest.Key(1)); err != cache.ErrNotFound {
		t.Errorf("Get under another secret: %v, %v, want ErrNotFound", e, err)
	}
	if _, err := other.Partition(context.Background(), storetest.Key(1)); err != cache.ErrNotFound {
		t.Errorf("Partition under another secret: %v, want ErrNotFound", err)
	}
	if n := other.Stats().Unreadable; n != 2 {
		t.Errorf("Unreadable = %d, want 2", n)
	}
	// The unreadable frozen row must not stand in the way of a running one.
	if e, err := other.Put(context.Background(), storetest.Running(1, 2)); err != nil || e.Frozen {
		t.Errorf("Put over an unreadable row: %+v, %v", e, err)
	}
	if e, err := other.Get(context.Background(), storetest.Key(1)); err != nil || e.ETag != `W/"2"` {
		t.Errorf("Get: %v, %v", e, err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
