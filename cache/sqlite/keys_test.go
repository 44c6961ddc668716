package sqlite

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"pollux/cache"
	"pollux/cache/internal/storetest"
)

func TestKeys(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	key := func() (id cache.ID) {
		_, _ = random.Read(id[:])
		return id
	}
	k := newKeys()
	unknown := key()
	if !k.mayHold(&unknown) {
		t.Error("a filter that is not whole rules a key out")
	}
	k.whole.Store(true)
	added := make([]cache.ID, 200_000)
	for i := range added {
		added[i] = key()
		k.add(&added[i])
	}
	for i := range added {
		if !k.mayHold(&added[i]) {
			t.Fatalf("key %d was added and is ruled out", i)
		}
	}
	mistaken := 0
	for range 100_000 {
		other := key()
		if k.mayHold(&other) {
			mistaken++
		}
	}
	if mistaken > 10 {
		t.Errorf("%d of 100,000 other keys seem to be there, want next to none", mistaken)
	}
}

// TestKeysOfAFile opens a file that takes several goes to read, and asks for what
// is in it meanwhile, and for what is written meanwhile.
func TestKeysOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pollux.db")
	s, _ := open(t, path)
	const before = 2*keysAtOnce + 100
	for n := range before {
		s.PutLater(storetest.Frozen(n, 1))
		if n%1000 == 0 { // the queue is bounded
			mustPut(t, s, storetest.Frozen(n, 1))
		}
	}
	mustClose(t, s)
	s, _ = open(t, path)
	all := before
	for whole := false; !whole || all < before+50; all++ {
		whole = s.file.Load().keys.whole.Load()
		mustPut(t, s, storetest.Frozen(all, 1))
		for _, n := range []int{0, all / 2, before - 1, all} {
			if _, err := s.Get(context.Background(), storetest.Key(n)); err != nil {
				t.Fatalf("Get(%d) of %d, all keys read %v: %v", n, all, whole, err)
			}
		}
		time.Sleep(time.Millisecond)
	}
	for n := 0; n < all; n += 7 {
		if _, err := s.Get(context.Background(), storetest.Key(n)); err != nil {
			t.Fatalf("Get(%d) of %d: %v", n, all, err)
		}
	}
	if s.file.Load().keys.mayHold(storetest.Key(all)) {
		t.Error("a key that is not there is not ruled out")
	}
	if _, err := s.Get(context.Background(), storetest.Key(all)); !errors.Is(err, cache.ErrNotFound) {
		t.Errorf("Get of a key that is not there: %v", err)
	}
	mustClose(t, s)
	if _, err := s.Get(context.Background(), storetest.Key(all)); err == nil || errors.Is(err, cache.ErrNotFound) {
		t.Errorf("Get of a key that is not there, from a closed store: %v", err)
	}
}
