package sqlite

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pollux/cache"
	"pollux/cache/internal/storetest"
)

// large returns an entry that takes some 60 pages.
func large(n int) *cache.Entry {
	e := storetest.Frozen(n, 1)
	e.Native = make([]byte, 250_000)
	for i := range e.Native {
		e.Native[i] = byte(i * i * (i >> 3) >> 5)
	}
	return e
}

// TestDiskFull lets SQLite believe that the disk is full.
func TestDiskFull(t *testing.T) {
	s, log := open(t, filepath.Join(t.TempDir(), "pollux.db"))
	mustPut(t, s, storetest.Frozen(0, 1))
	limit := func(pages int) {
		if _, err := s.file.Load().write.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(100)
	var err error
	stored := 0
	for n := 1; n <= 20 && err == nil; n++ {
		if _, err = s.Put(context.Background(), large(n)); err == nil {
			stored = n
		}
	}
	if err == nil || !strings.Contains(err.Error(), "full") {
		t.Fatalf("Put on a full disk: %v, want an error that says so", err)
	}
	if s.Healthy() == nil {
		t.Error("Healthy on a full disk: nil")
	}
	s.PutPartition(storetest.Key(1), cache.PartitionState{Upstream: "orq", Suspended: true})
	for n := range stored + 1 {
		if _, err := s.Get(context.Background(), storetest.Key(n)); err != nil {
			t.Errorf("Get(%d) on a full disk: %v", n, err)
		}
	}
	limit(1 << 30)
	mustPut(t, s, large(30))
	if err := s.Healthy(); err != nil {
		t.Errorf("Healthy after there is space again: %v", err)
	}
	if state, err := s.Partition(context.Background(), storetest.Key(1)); err != nil || !state.Suspended {
		t.Errorf("Partition that was queued on a full disk: %+v, %v", state, err)
	}
	if n := s.Stats().Replaced; n != 0 {
		t.Errorf("a full disk replaced the file %d times", n)
	}
	if text := log.String(); strings.Count(text, "does not take writes") != 1 || strings.Count(text, "takes writes again") != 1 {
		t.Errorf("log = %q, want each change once", text)
	}
}

func TestRetention(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pollux.db")
	s, _ := open(t, path)
	fresh := storetest.Frozen(0, 1)
	fresh.ObservedAt = time.Now()
	mustPut(t, s, fresh)
	const old = expireStep + 100 // more than one step
	for n := 1; n <= old; n++ {
		s.PutLater(storetest.Frozen(n, 1))
	}
	mustPut(t, s, storetest.Frozen(old+1, 1))
	mustClose(t, s)

	s, err := Open(context.Background(), Config{Path: path, Retention: time.Hour}, testSecret(t, "a secret of enough bytes"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	left := -1
	for deadline := time.Now().Add(10 * time.Second); left != 1 && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if err := s.file.Load().read.QueryRow("SELECT count(*) FROM tasks").Scan(&left); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Get(context.Background(), storetest.Key(0)); left != 1 || err != nil {
		t.Errorf("%d rows left, the fresh one: %v", left, err)
	}
}

// TestNothingReadable looks for the content of entries in the file.
func TestNothingReadable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pollux.db")
	s, _ := open(t, path)
	e := storetest.Frozen(1, 1)
	mustPut(t, s, e)
	for _, suffix := range []string{"", "-wal"} {
		data := readFile(t, path+suffix)
		for _, secret := range []string{"version 1", "user_id", "COMPLETED", "application/json"} {
			if strings.Contains(data, secret) {
				t.Errorf("pollux.db%s holds %q in clear", suffix, secret)
			}
		}
	}
	if !strings.Contains(readFile(t, path+"-wal"), e.TaskID) {
		t.Error("the task id, which rows are found by, is not where this test looks")
	}
}
