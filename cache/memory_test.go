package cache

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dgraph-io/ristretto/v2"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newTestMemory(t testing.TB, bytes int64) *Memory {
	t.Helper()
	m, err := NewMemory(Config{MaxBytes: bytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// memoryKey spreads n over the whole key, as an HMAC would.
func memoryKey(n int) (id ID) {
	for i := range 4 {
		binary.LittleEndian.PutUint64(id[8*i:], uint64(n+1)*0x9e3779b97f4a7c15+uint64(i)*0xbf58476d1ce4e5b9)
	}
	return id
}

func running(n, step int) *Entry {
	return &Entry{Key: memoryKey(n), Status: "in_progress", SettleStep: step}
}
func frozen(n, step int) *Entry {
	return &Entry{Key: memoryKey(n), Status: "completed", Terminal: true, Frozen: true, SettleStep: step}
}

func wantGet(t *testing.T, m *Memory, n int, want *Entry) {
	t.Helper()
	key := memoryKey(n)
	if got, ok := m.Get(&key); got != want || ok != (want != nil) {
		t.Errorf("Get(%d) = %+v, %v, want %+v", n, got, ok, want)
	}
}

func TestMemory(t *testing.T) {
	m := newTestMemory(t, 1<<20)
	wantGet(t, m, 1, nil)
	first, second, end, late, end2 := running(1, 1), running(1, 2), frozen(1, 3), running(1, 4), frozen(1, 5)
	for _, step := range []struct{ put, want *Entry }{{first, first}, {second, second}, {end, end}, {late, end}, {end2, end2}} {
		m.Put(step.put, time.Minute)
		wantGet(t, m, 1, step.want)
	}
	if stats := m.Stats(); stats.LiveBytes != 0 || stats.DoneBytes != end2.Size() || stats.MaxBytes != 1<<20 {
		t.Errorf("Stats = %+v: a frozen entry is held once, in done", stats)
	}
	key := memoryKey(1)
	m.Delete(&key)
	wantGet(t, m, 1, nil)
	m.Put(first, time.Minute)
	wantGet(t, m, 1, first)
	m.Put(second, 0)
	wantGet(t, m, 1, nil)
	m.Put(first, -1)
	wantGet(t, m, 1, nil)
	m.Delete(&key)
	if stats := m.Stats(); stats.LiveBytes != 0 || stats.DoneBytes != 0 {
		t.Errorf("Stats = %+v, want nothing held", stats)
	}
	if _, err := NewMemory(Config{}); err == nil {
		t.Error("NewMemory without a size: no error")
	}
}

// TestForgottenFrozen: what became known of a task after another process forgot
// it takes the place of what was known for good.
func TestForgottenFrozen(t *testing.T) {
	m := newTestMemory(t, 1<<20)
	ended := frozen(1, 1)
	m.Put(ended, 0)
	m.Put(running(1, 2), time.Minute)
	wantGet(t, m, 1, ended)
	again := running(1, 3)
	again.Generation = 1
	m.Put(again, time.Minute)
	wantGet(t, m, 1, again)
}

// TestNoLostTerminal is the first trap of ristretto: the terminal value set
// right behind a running one is lost, which one cache shows and two do not.
func TestNoLostTerminal(t *testing.T) {
	const tasks = 2000
	one, err := ristretto.NewCache(&ristretto.Config[[]byte, *Entry]{
		NumCounters: 1 << 16, MaxCost: 1 << 30, BufferItems: 64, IgnoreInternalCost: true, KeyToHash: hashID,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	lost := 0
	for n := range tasks {
		key := memoryKey(n)
		one.SetWithTTL(key[:], running(n, 0), 1, time.Minute)
		one.Set(key[:], frozen(n, 0), 1)
		one.Wait()
		if e, ok := one.Get(key[:]); !ok || !e.Frozen {
			lost++
		}
	}
	if lost == 0 {
		t.Error("ristretto loses no quick second write any more: two tiers may be one too many")
	}
	m := newTestMemory(t, 64<<20)
	for n := range tasks {
		end := frozen(n, 0)
		m.Put(running(n, 0), time.Minute)
		m.Put(end, 0)
		wantGet(t, m, n, end)
	}
}

// TestConcurrentPutsOfOneKey has callers race with new keys: a second write
// before the first is visible must not be the one that is lost.
func TestConcurrentPutsOfOneKey(t *testing.T) {
	m := newTestMemory(t, 64<<20)
	for n := range 500 {
		end := frozen(n, 0)
		var callers sync.WaitGroup
		for step := range 3 {
			callers.Go(func() { m.Put(running(n, step), time.Minute) })
		}
		callers.Go(func() { m.Put(end, 0) })
		callers.Wait()
		wantGet(t, m, n, end)
	}
}

// TestNoExpiredPermanent is the second trap: the expiry of an entry takes the
// permanent one that came after it.
func TestNoExpiredPermanent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := NewMemory(Config{MaxBytes: 64 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		const tasks = 3000
		ends := make([]*Entry, tasks)
		for n := range tasks {
			m.Put(running(n, 0), time.Duration(n)*5*time.Millisecond+time.Millisecond)
		}
		for n := range tasks { // about when each expires, while the cleaner runs
			ends[n] = frozen(n, 0)
			m.Put(ends[n], 0)
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		for n := range tasks {
			wantGet(t, m, n, ends[n])
		}
	})
}

func TestLiveEntriesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := NewMemory(Config{MaxBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		e, end := running(1, 0), frozen(2, 0)
		m.Put(e, 10*time.Second)
		m.Put(end, 10*time.Second)
		time.Sleep(9 * time.Second)
		wantGet(t, m, 1, e)
		time.Sleep(11*time.Second + time.Nanosecond)
		wantGet(t, m, 1, nil)
		time.Sleep(24 * time.Hour)
		wantGet(t, m, 2, end)
		if stats := m.Stats(); stats.Evicted != 0 || stats.LiveBytes != 0 {
			t.Errorf("Stats = %+v, want its bytes free, and what expired not taken for evicted", stats)
		}
	})
}

// TestCollisions makes all keys one: everybody still gets their own entry or none.
func TestCollisions(t *testing.T) {
	m, err := newMemory(Config{MaxBytes: 1 << 20}, func([]byte) (uint64, uint64) { return 7, 7 })
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	random := rand.New(rand.NewPCG(1, 2))
	hits := 0
	for range 3000 {
		n := random.IntN(5)
		switch key := memoryKey(n); random.IntN(5) {
		case 0:
			m.Put(frozen(n, 0), 0)
		case 1, 2:
			m.Put(running(n, 0), time.Minute)
		case 3:
			m.Delete(&key)
		}
		for n := range 5 {
			key := memoryKey(n)
			e, ok := m.Get(&key)
			if ok != (e != nil) || ok && e.Key != key {
				t.Fatalf("Get(%d) = %+v, %v", n, e, ok)
			}
			if ok {
				hits++
			}
		}
	}
	if hits == 0 {
		t.Error("nobody ever got their own entry")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	const limit = 1 << 20
	m := newTestMemory(t, limit)
	for n := range 5000 {
		m.Put(frozen(n, 0), 0)
		m.Put(running(n+5000, 0), time.Minute)
	}
	huge := frozen(10_001, 0)
	huge.Document = make([]byte, limit)
	m.Put(huge, 0)
	wantGet(t, m, 10_001, nil)
	stats := m.Stats()
	if stats.DoneBytes > limit/2 || stats.LiveBytes > limit/2 || stats.DoneBytes < limit/4 || stats.LiveBytes < limit/4 {
		t.Errorf("Stats = %+v, want both halves of %d well used", stats, limit)
	}
	if stats.Evicted == 0 {
		t.Errorf("Stats = %+v, want what was lost to be counted", stats)
	}
	wantTiers(t, m)
}

// wantTiers checks that Get shows nothing that no tier has: it would stay for
// ever.
func wantTiers(t *testing.T, m *Memory) {
	t.Helper()
	m.done.Wait()
	m.live.Wait()
	for _, e := range m.entries.All() {
		in := m.live
		if e.Frozen {
			in = m.done
		}
		if there, _ := in.Get(e.Key[:]); there != e {
			t.Errorf("Get shows %+v, and its tier has %+v", e, there)
		}
	}
}

// TestNothingOutlivesItsTier has writers of the same keys race with each other,
// with forgetting, and with ristretto, which has room for few of them.
func TestNothingOutlivesItsTier(t *testing.T) {
	m := newTestMemory(t, 64<<10)
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(w)))
			for step := range 5000 {
				n := random.IntN(200)
				switch random.IntN(5) {
				case 0:
					m.Put(frozen(n, step), 0)
				case 1:
					key := memoryKey(n)
					m.Delete(&key)
				default:
					m.Put(running(n, step), time.Minute)
				}
			}
		})
	}
	writers.Wait()
	if stats := m.Stats(); stats.Evicted == 0 {
		t.Errorf("Stats = %+v, want entries evicted meanwhile", stats)
	}
	wantTiers(t, m)
}

func TestCloseWhileInUse(t *testing.T) {
	for range 20 {
		m, err := NewMemory(Config{MaxBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		var users sync.WaitGroup
		for u := range 4 {
			users.Go(func() {
				for n := range 300 {
					key := memoryKey(n)
					m.Put(running(n, 0), time.Minute)
					m.Put(frozen(n+u*1000, 0), 0)
					m.Get(&key)
					m.Delete(&key)
					m.Stats()
				}
			})
		}
		m.Close()
		m.Close()
		users.Wait()
		wantGet(t, m, 1, nil)
	}
}

func BenchmarkMemoryGet(b *testing.B) {
	for name, put := range map[string]*Entry{"frozen": frozen(1, 0), "running": running(1, 0)} {
		b.Run(name, func(b *testing.B) {
			m := newTestMemory(b, 1<<20)
			m.Put(put, time.Hour)
			key := &put.Key
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := m.Get(key); !ok {
					b.Fatal("miss")
				}
			}
		})
	}
}

func BenchmarkMemoryGetParallel(b *testing.B) {
	m := newTestMemory(b, 1<<24)
	keys := make([]ID, 1000)
	for n := range keys {
		keys[n] = memoryKey(n)
		m.Put(frozen(n, 0), 0)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for n := 0; pb.Next(); n++ {
			m.Get(&keys[n%len(keys)])
		}
	})
}

func BenchmarkMemoryPut(b *testing.B) {
	m := newTestMemory(b, 1<<24)
	e := running(1, 0)
	b.ReportAllocs()
	for b.Loop() {
		m.Put(e, time.Hour)
	}
}
