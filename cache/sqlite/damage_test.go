package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pollux/cache"
	"pollux/cache/internal/storetest"
)

const damagedEntries = 60

// soundFile returns the bytes of a closed store of frozen entries.
func soundFile(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pollux.db")
	s, _ := open(t, path)
	for n := range damagedEntries {
		mustPut(t, s, storetest.Frozen(n, 1))
	}
	mustClose(t, s)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// exercise opens a store made of data, checks that it never says anything
// wrong, and returns how many entries survived.
func exercise(t *testing.T, what string, data []byte) (found int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pollux.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := open(t, path)
	for n := range damagedEntries {
		e, err := s.Get(context.Background(), storetest.Key(n))
		if err != nil {
			continue
		}
		want := storetest.Frozen(n, 1)
		want.Stored = true
		if !reflect.DeepEqual(e, want) {
			t.Fatalf("%s: Get(%d) = %+v", what, n, e)
		}
		found++
	}
	// Writes may fail while the damage is noticed, but must come to work.
	var err error
	for range 5 {
		if _, err = s.Put(context.Background(), storetest.Frozen(1000, 1)); err == nil {
			break
		}
	}
	if err != nil {
		t.Errorf("%s: Put: %v", what, err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("%s: Close: %v", what, err)
	}
	return found
}

func TestBitFlips(t *testing.T) {
	sound := soundFile(t)
	if found := exercise(t, "no flip", sound); found != damagedEntries {
		t.Fatalf("a sound file has %d of %d entries", found, damagedEntries)
	}
	// The first series makes a column NULL that must not be; the other one has
	// other bits in every run.
	for _, seed := range []uint64{3797487325785019336, rand.Uint64()} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { flipBits(t, sound, seed) })
	}
}

func flipBits(t *testing.T, sound []byte, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	flips := 150
	if testing.Short() || raceEnabled {
		flips = 30
	}
	found := 0
	for i := range flips {
		at := random.IntN(len(sound))
		if i%4 == 0 { // headers of the file and of its pages deserve more than their share
			at = random.IntN(len(sound)/pageSize)*pageSize + random.IntN(112)
		}
		data := bytes.Clone(sound)
		bit := random.IntN(8)
		data[at] ^= 1 << bit
		found += exercise(t, fmt.Sprintf("flip %d, bit %d of byte %d", i, bit, at), data)
	}
	if found < flips*damagedEntries/2 {
		t.Errorf("one flipped bit costs too much: %d of %d entries survived", found, flips*damagedEntries)
	}
}

func TestTruncationAndGarbage(t *testing.T) {
	sound := soundFile(t)
	random := rand.New(rand.NewPCG(3, 4))
	cuts, pages := 10, 12
	if raceEnabled {
		cuts, pages = 2, 4
	}
	lengths := []int{0, 1, 16, 99, 100, 101, pageSize - 1, pageSize, pageSize + 1, 2 * pageSize, len(sound) - 1}
	for range cuts {
		lengths = append(lengths, random.IntN(len(sound)))
	}
	for _, n := range lengths {
		exercise(t, fmt.Sprintf("cut to %d bytes", n), sound[:n])
	}
	for page := range min(len(sound)/pageSize, pages) {
		data := bytes.Clone(sound)
		for i := range pageSize {
			data[page*pageSize+i] = byte(random.Uint32())
		}
		exercise(t, fmt.Sprintf("garbage in page %d", page), data)
		clear(data[page*pageSize : (page+1)*pageSize])
		exercise(t, fmt.Sprintf("zeros in page %d", page), data)
	}
}

// aside returns what was put aside for path.
func aside(t *testing.T, path string) []string {
	t.Helper()
	names, err := filepath.Glob(path + ".corrupt-*")
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestForeignFilesAreMovedAside(t *testing.T) {
	execAll := func(statements ...string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			db, err := sql.Open("sqlite", dataSource(path))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			for _, s := range statements {
				if _, err := db.Exec(s); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	ours := fmt.Sprintf("PRAGMA application_id = %d", applicationID)
	for name, test := range map[string]struct {
		make func(t *testing.T, path string)
		why  string
	}{
		"text":                      {func(t *testing.T, path string) { os.WriteFile(path, bytes.Repeat([]byte("my diary\n"), 99), 0o644) }, "not a SQLite file"},
		"short":                     {func(t *testing.T, path string) { os.WriteFile(path, []byte("x"), 0o644) }, "too short"},
		"another program":           {execAll("CREATE TABLE t (a)"), "another program's file"},
		"another version":           {execAll("CREATE TABLE t (a)", ours, "PRAGMA user_version = 7"), "schema version 7, want 2"},
		"other page size":           {execAll("PRAGMA page_size = 8192", "CREATE TABLE t (a)", ours, "PRAGMA user_version = 1"), "damaged header"},
		"other columns":             {execAll("CREATE TABLE tasks (a)", ours, "PRAGMA user_version = 2"), "no such column"},
		"version 1 of other tables": {execAll("CREATE TABLE tasks (a)", ours, "PRAGMA user_version = 1"), "migrate from schema 1: SQL logic error: no such table"},
		"a stray wal file":          {func(t *testing.T, path string) { os.WriteFile(path+"-wal", []byte("x"), 0o644) }, "files of a store without the store"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pollux.db")
			test.make(t, path)
			s, log := open(t, path)
			mustPut(t, s, storetest.Frozen(1, 1))
			if got := aside(t, path); len(got) == 0 {
				t.Error("nothing was put aside")
			}
			if !strings.Contains(log.String(), test.why) || !strings.Contains(log.String(), ".corrupt-") {
				t.Errorf("log = %q, want it to say %q and where the file is", log, test.why)
			}
		})
	}
}

func TestForeignFileIsNotTouched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pollux.db")
	diary := bytes.Repeat([]byte("my diary\n"), 99)
	if err := os.WriteFile(path, diary, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, path)
	got := aside(t, path)
	if len(got) != 1 {
		t.Fatalf("put aside: %v, want one file", got)
	}
	if data, err := os.ReadFile(got[0]); err != nil || !bytes.Equal(data, diary) {
		t.Errorf("the file put aside has changed (%v)", err)
	}
}

// TestDamageWhileRunning overwrites the file under an open store.
func TestDamageWhileRunning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pollux.db")
	s, _ := open(t, path)
	for n := range damagedEntries {
		mustPut(t, s, storetest.Frozen(n, 1))
	}
	mustClose(t, s)
	s, log := open(t, path)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	garbage := bytes.Repeat([]byte{0xa5}, int(info.Size())-pageSize)
	if _, err := f.WriteAt(garbage, pageSize); err != nil {
		t.Fatal(err)
	}
	f.Close()
	for n := range damagedEntries {
		if e, err := s.Get(context.Background(), storetest.Key(n)); err != cache.ErrNotFound {
			t.Fatalf("Get(%d) from a destroyed file: %v, %v, want ErrNotFound", n, e, err)
		}
	}
	for range 5 { // the first may still meet the old file
		if _, err = s.Put(context.Background(), storetest.Frozen(1, 2)); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("Put never works again: %v", err)
	}
	if e, err := s.Get(context.Background(), storetest.Key(1)); err != nil || e.ETag != `W/"2"` {
		t.Errorf("Get from the new file: %v, %v", e, err)
	}
	if err := s.Healthy(); err != nil {
		t.Errorf("Healthy: %v", err)
	}
	if n := s.Stats().Replaced; n != 1 {
		t.Errorf("Replaced = %d, want 1", n)
	}
	if !strings.Contains(log.String(), "moved aside") || len(aside(t, path)) == 0 {
		t.Errorf("log = %q, aside = %v", log, aside(t, path))
	}
}

// TestTruncatedSharedMemory cuts the mapped -shm file: touching it is SIGBUS.
func TestTruncatedSharedMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pollux.db")
	s, _ := open(t, path)
	mustPut(t, s, storetest.Frozen(1, 1))
	if err := os.Truncate(path+"-shm", 0); err != nil {
		t.Fatal(err)
	}
	for range 5 { // found or not, but nothing else
		if e, err := s.Get(context.Background(), storetest.Key(1)); err == nil && e.ETag != `W/"1"` {
			t.Errorf("Get: %v", e)
		}
	}
	var err error
	for range 5 {
		if _, err = s.Put(context.Background(), storetest.Frozen(2, 1)); err == nil {
			break
		}
	}
	if err != nil {
		t.Errorf("Put never works again: %v", err)
	}
	if e, err := s.Get(context.Background(), storetest.Key(1)); err != nil {
		t.Errorf("Get of what was stored before: %v, %v", e, err)
	}
	if got := aside(t, path); len(got) > 0 {
		t.Errorf("a sound file was put aside: %v", got)
	}
}

func TestPanicIsAnError(t *testing.T) {
	s, _ := open(t, filepath.Join(t.TempDir(), "pollux.db"))
	mustPut(t, s, storetest.Frozen(1, 1))
	err := s.ask(context.Background(), s.reads, func(*database) error { panic("boom") })
	if err != cache.ErrNotFound {
		t.Errorf("a panic in a read: %v, want ErrNotFound", err)
	}
	for s.Stats().Reopened == 0 { // after a panic the connections cannot be trusted
		s.Put(context.Background(), storetest.Frozen(2, 1))
	}
	if _, err := s.Get(context.Background(), storetest.Key(1)); err != nil {
		t.Errorf("Get of what was stored before: %v", err)
	}
}
