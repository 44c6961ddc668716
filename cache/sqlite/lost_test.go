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

// damageColumn puts value into a column of the third task, as a flipped bit can that
// heeds no declaration.
func damageColumn(t *testing.T, path, column, value string) {
	t.Helper()
	var declared string
	for _, step := range [...]func(*sql.DB) error{
		func(db *sql.DB) error {
			return db.QueryRow("SELECT sql FROM sqlite_schema WHERE name = 'tasks'").Scan(&declared)
		},
		func(db *sql.DB) error {
			_, err := db.Exec("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(replace(sql, 'STRICT', ''), 'NOT NULL', '') WHERE name = 'tasks'")
			return err
		},
		func(db *sql.DB) error {
			_, err := db.Exec("PRAGMA ignore_check_constraints = ON; UPDATE tasks SET " + column + " = " + value + " WHERE seq = 3")
			return err
		},
		func(db *sql.DB) error {
			_, err := db.Exec("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = ?1 WHERE name = 'tasks'", declared)
			return err
		},
	} {
		db, err := sql.Open("sqlite", dataSource(path)) // anew, for it to read the schema
		must(t, err)
		must(t, step(db))
		must(t, db.Close())
	}
}

// TestDamagedColumn: a flipped bit in a column costs its row at most.
func TestDamagedColumn(t *testing.T) {
	flipped := func(column string) string { return "CAST(x'ff62' || " + column + " AS TEXT)" }
	type test struct{ column, is, value string }
	var tests []test
	for _, column := range []string{"status", "upstream"} {
		tests = append(tests, test{column, "another word", flipped(column)}, test{column, "a number", "7.5"})
	}
	for _, column := range []string{"partition", "head", "task_id"} {
		tests = append(tests, test{column, "something else", "x'ff62'"}, test{column, "a number", "7.5"})
	}
	for _, column := range []string{"created_at", "generation"} {
		tests = append(tests, test{column, "another number", "7"}, test{column, "text", "'x'"}, test{column, "a fraction", "7.5"})
	}
	for _, column := range []string{"status", "upstream", "partition", "head", "created_at", "task_id", "generation"} {
		tests = append(tests, test{column, "nothing", "NULL"})
	}
	for _, test := range tests {
		t.Run(test.column+" is "+test.is, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pollux.db")
			s, _ := open(t, path)
			for n := range 10 {
				mustPut(t, s, storetest.Listed(n, 0, "completed", n))
			}
			mustClose(t, s)
			damageColumn(t, path, test.column, test.value)
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
