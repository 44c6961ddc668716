package sqlite

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pollux/cache"
	"pollux/cache/internal/storetest"
)

// TestLostFiles: a file that is deleted, replaced or cut while the store runs is
// noticed within seconds, told, and the store goes on with a new one.
func TestLostFiles(t *testing.T) {
	for name, c := range map[string]struct {
		lose func(t *testing.T, path string)
		says string
	}{
		"deleted": {func(t *testing.T, path string) { must(t, os.Remove(path)) }, "store file was deleted"},
		"all deleted": {func(t *testing.T, path string) {
			for _, suffix := range companions {
				os.Remove(path + suffix)
			}
		}, "store file was deleted"},
		"replaced": {func(t *testing.T, path string) {
			must(t, os.WriteFile(path+".other", []byte("my diary"), 0o600))
			must(t, os.Rename(path+".other", path))
		}, "store file was replaced by another"},
		"cut":         {func(t *testing.T, path string) { must(t, os.Truncate(path, 2*pageSize)) }, "store file was cut"},
		"cut to none": {func(t *testing.T, path string) { must(t, os.Truncate(path, 0)) }, "store file was cut"},
		"log deleted": {func(t *testing.T, path string) { must(t, os.Remove(path+"-wal")) }, "write-ahead log of the store file was deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "pollux.db")
			s, log := open(t, path)
			for n := range 20 {
				mustPut(t, s, storetest.Frozen(n, 1))
			}
			if _, err := s.file.Load().write.Exec("PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(lookEvery + lookEvery/2) // it has looked once
			c.lose(t, path)
			eventually(t, "the loss is noticed", func() bool { return s.Healthy() != nil && strings.Contains(log.String(), c.says) })
			eventually(t, "the store takes writes", func() bool {
				_, err := s.Put(context.Background(), storetest.Frozen(100, 1))
				return err == nil && s.Healthy() == nil && s.Stats().Reopened > 0
			})
			mustPut(t, s, storetest.Frozen(101, 1))
			mustClose(t, s)
			s, _ = open(t, path)
			if _, err := s.Get(context.Background(), storetest.Key(101)); err != nil {
				t.Errorf("what was stored after the loss is not in the file: %v", err)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not yet", what)
		}
	}
}

// TestDamagedColumn: a flipped bit in a column costs its row at most.
func TestDamagedColumn(t *testing.T) {
	for _, column := range []string{"status", "upstream", "partition", "head", "created_at", "task_id", "generation"} {
		t.Run(column, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pollux.db")
			s, _ := open(t, path)
			for n := range 10 {
				mustPut(t, s, storetest.Listed(n, 0, "completed", n))
			}
			mustClose(t, s)
			db, err := sql.Open("sqlite", dataSource(path))
			must(t, err)
			_, err = db.Exec("PRAGMA ignore_check_constraints = ON; UPDATE tasks SET " + column + " = " + map[bool]string{true: "7", false: "CAST(x'ff62' || " + column + " AS TEXT)"}[strings.HasSuffix(column, "at") || column == "generation"] + " WHERE seq = 3")
			if err != nil && column != "partition" && column != "head" && column != "task_id" {
				t.Fatal(err)
			}
			if err != nil {
				_, err = db.Exec("UPDATE tasks SET " + column + " = x'ff' || " + column + " WHERE seq = 3")
			}
			if err != nil {
				_, err = db.Exec("UPDATE tasks SET " + column + " = CAST(x'ff' || " + column + " AS BLOB) WHERE seq = 3")
			}
			must(t, err)
			must(t, db.Close())
			s, _ = open(t, path)
			rows, _, err := s.List(context.Background(), &cache.Query{Sight: cache.Sight{All: true}, Limit: 100})
			if err != nil || len(rows) < 9 {
				t.Errorf("%d of 10 rows listed, %v", len(rows), err)
			}
			if n := s.Counts(&cache.Sight{All: true})["orq"]["completed"]; n < 9 {
				t.Errorf("%d of 10 tasks counted", n)
			}
			for n := range 10 {
				mustPut(t, s, storetest.Listed(n, 0, "failed", n))
			}
			rows, _, err = s.List(context.Background(), &cache.Query{Sight: cache.Sight{All: true}, Statuses: []string{"failed"}, Limit: 100})
			if err != nil || len(rows) != 10 {
				t.Errorf("%d of 10 rows listed after all were written again, %v", len(rows), err)
			}
		})
	}
}
