package sqlite

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pollux/cache"
	"pollux/cache/internal/storetest"
)

// schema1 is a store that the last program of schema 1 wrote, unpacked.
func schema1(t *testing.T) (path string) {
	t.Helper()
	f, err := os.Open("testdata/schema1.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "pollux.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// hasAll checks that s has everything that is in schema1.
func hasAll(t *testing.T, s *Store) {
	t.Helper()
	big := storetest.Frozen(40, 1)
	big.Native = []byte(strings.Repeat(`{"text":"much"},`, 10_000))
	want := map[int]*cache.Entry{40: big, 12: storetest.Running(12, 1)}
	for n := range 12 {
		want[n] = storetest.Running(n, 1)
	}
	for n := range 8 {
		want[n] = storetest.Frozen(n, 2)
	}
	for n := 20; n < 30; n++ {
		want[n] = storetest.Listed(n, n%3, []string{"queued", "in_progress", "completed", "failed"}[n%4], n)
	}
	for n, e := range want {
		e.Stored = true
		if got, err := s.Get(context.Background(), storetest.Key(n)); err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("Get(%d) = %+v, %v, want %+v", n, got, err, e)
		}
	}
	rows, next, err := s.List(context.Background(), &cache.Query{Sight: cache.Sight{All: true}, Limit: 100})
	for i := range rows {
		var n int
		fmt.Sscanf(rows[i].TaskID, "task-%d", &n)
		if e := want[n]; n > 0 && !reflect.DeepEqual(rows[i], cache.RowOf(e)) {
			t.Errorf("task %d is listed as %+v, want %+v", n, rows[i], cache.RowOf(e))
		}
	}
	// The others share partitions over several upstreams, which happens in tests only.
	if err != nil || next != nil || len(rows) < 14 {
		t.Errorf("%d tasks listed, %v, want 14", len(rows), err)
	}
	for p := 1; p <= 4; p++ {
		want := cache.PartitionState{Upstream: "shannon", Suspended: p == 2, LastSuccess: time.Date(2025, 10, 22, 10, 30, p, 0, time.UTC)}
		if state, err := s.Partition(context.Background(), storetest.Key(-p)); err != nil || state != want {
			t.Errorf("Partition(%d) = %+v, %v, want %+v", -p, state, err, want)
		}
	}
	webhooks, deliveries, err := s.Webhooks(context.Background())
	if err != nil || len(webhooks) != 2 || string(webhooks[0].Value) != "sealed whk_1" || len(deliveries) != 13 {
		t.Errorf("webhooks %v, %d deliveries, %v", webhooks, len(deliveries), err)
	}
	for _, d := range deliveries {
		task := strings.TrimPrefix(d.ID, "dlv_")
		payload, err := s.DeliveryPayload(context.Background(), d.ID)
		if err != nil || string(payload) != "payload of "+task || string(d.State) != "state of "+task {
			t.Errorf("delivery %s: %s, %q, %v", d.ID, d.State, payload, err)
		}
	}
}

// TestMigrate opens a store of schema 1 with everything in it, and once more.
func TestMigrate(t *testing.T) {
	path := schema1(t)
	s, log := open(t, path)
	hasAll(t, s)
	if text := log.String(); !strings.Contains(text, "store file migrated") || strings.Contains(text, "level=ERROR") {
		t.Errorf("log: %s", text)
	}
	mustPut(t, s, storetest.Frozen(100, 1))
	mustClose(t, s)
	if left := storeFiles(t, path); fmt.Sprint(left) != "[pollux.db pollux.db.lock]" {
		t.Errorf("files after the migration: %v", left)
	}
	s, log = open(t, path)
	if e, err := s.Get(context.Background(), storetest.Key(100)); err != nil || !e.Frozen {
		t.Errorf("a task written after the migration: %v, %v", e, err)
	}
	if log.String() != "" {
		t.Errorf("the second time: %s", log)
	}
}

// TestMigrateUnderAnotherSecret: what cannot be opened is there again when the
// right secret is.
func TestMigrateUnderAnotherSecret(t *testing.T) {
	path := schema1(t)
	other, err := Open(context.Background(), Config{Path: path}, testSecret(t, "some other secret than before"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	if rows, _, err := other.List(context.Background(), &cache.Query{Sight: cache.Sight{All: true}, Limit: 100}); err != nil || len(rows) > 0 {
		t.Errorf("under another secret: %d rows, %v", len(rows), err)
	}
	mustClose(t, other)
	s, _ := open(t, path)
	hasAll(t, s)
}

// TestMigrateFails: a store that cannot be migrated stays as it was, with its
// copy, and is an error.
func TestMigrateFails(t *testing.T) {
	path := schema1(t)
	if err := os.Mkdir(path+".schema-1", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path+".schema-1", "in the way"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(context.Background(), Config{Path: path}, testSecret(t, "a secret of enough bytes"), quiet); err == nil {
		s.Close()
		t.Fatal("a store whose copy cannot be made is opened")
	}
	if err := os.RemoveAll(path + ".schema-1"); err != nil {
		t.Fatal(err)
	}
	s, _ := open(t, path)
	hasAll(t, s)
}

func storeFiles(t *testing.T, path string) (names []string) {
	t.Helper()
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}
