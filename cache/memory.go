package cache

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"
	"github.com/puzpuzpuz/xsync/v4"
)

// Config configures the memory tier.
type Config struct {
	// MaxBytes bounds the weight of all entries, as Entry.Size counts it. The
	// process takes up to twice that between two garbage collections.
	MaxBytes int64
}

// tier is one ristretto cache.
type tier = ristretto.Cache[[]byte, *Entry]

// heedEvery is of how many reads one counts for what is evicted: it costs more
// than many others.
const heedEvery = 16

// Memory is the memory tier. Whatever it loses (evicted, refused, dropped under
// load) is a miss and comes back from the store or the upstream; it never
// returns anything but the last Put under that very key. It is safe for
// concurrent use, Close included.
//
// Reads look into a map without locks, and ristretto decides what stays in it.
// That in two tiers, because it loses the second of two quick writes of a new
// key, and its expiry deletes entries that were made permanent meanwhile: done
// holds frozen entries and never a TTL, live the others and always one, and no
// key moves back out of done.
type Memory struct {
	// entries has them by the first word of their key, so every entry is compared
	// on the way out. What a tier loses is taken out.
	entries    *xsync.Map[uint64, *Entry]
	hash       func([]byte) (uint64, uint64)
	done, live *tier

	writes [64]sync.Mutex // by key: held until a write is visible
	state  sync.RWMutex   // held for reading while the tiers are used
	closed bool           // guarded by state; ristretto panics when used after Close

	dropped, evicted atomic.Uint64
}

// MemoryStats is what the memory tier holds, and what it lost since it was made.
type MemoryStats struct {
	DoneBytes, LiveBytes int64 // weight of the entries held
	MaxBytes             int64
	Dropped              uint64 // writes lost under load
	Evicted              uint64 // entries that made room for others
}

// NewMemory returns an empty memory tier. It runs until Close.
func NewMemory(cfg Config) (*Memory, error) { return newMemory(cfg, hashID) }

// hashID makes the two words by which ristretto knows a key: the key is an HMAC
// already, nothing hashes it better.
func hashID(key []byte) (uint64, uint64) {
	return binary.LittleEndian.Uint64(key), binary.LittleEndian.Uint64(key[8:])
}

func newMemory(cfg Config, hash func([]byte) (uint64, uint64)) (*Memory, error) {
	if cfg.MaxBytes < 2 {
		return nil, fmt.Errorf("memory tier of %d bytes: want a positive size", cfg.MaxBytes)
	}
	m := &Memory{entries: xsync.NewMap[uint64, *Entry](), hash: hash}
	// Halves: entries of reopenable providers never freeze and all the others
	// end there, so which half is the busy one is for the upstreams to say.
	half := cfg.MaxBytes / 2
	var err error
	if m.done, err = m.newTier(half, hash); err != nil {
		return nil, fmt.Errorf("memory tier: %w", err)
	}
	if m.live, err = m.newTier(half, hash); err != nil {
		m.done.Close()
		return nil, fmt.Errorf("memory tier: %w", err)
	}
	return m, nil
}

func (m *Memory) newTier(bytes int64, hash func([]byte) (uint64, uint64)) (*tier, error) {
	return ristretto.NewCache(&ristretto.Config[[]byte, *Entry]{
		// Ten counters for each entry of 2 KiB, as ristretto advises; a counter
		// takes about three bytes.
		NumCounters:            min(max(bytes/2048*10, 1<<12), 1<<24),
		MaxCost:                bytes,
		BufferItems:            64,
		IgnoreInternalCost:     true, // Size has it
		KeyToHash:              hash,
		TtlTickerDurationInSec: 1,
		OnReject:               func(item *ristretto.Item[*Entry]) { m.lose(item.Value) },
		OnEvict: func(item *ristretto.Item[*Entry]) {
			m.lose(item.Value)
			if item.Expiration.IsZero() {
				m.evicted.Add(1)
			}
		},
	})
}

// Get returns the entry under key. It does not allocate if key already lives
// on the heap.
func (m *Memory) Get(key *ID) (*Entry, bool) {
	if rand.Uint32()%heedEvery == 0 {
		m.heed(key)
	}
	return m.lookUp(key)
}

func (m *Memory) lookUp(key *ID) (*Entry, bool) {
	e, ok := m.entries.Load(m.slot(key))
	if !ok || e.Key != *key {
		return nil, false
	}
	return e, true
}

// slot is where entries has what is under key.
func (m *Memory) slot(key *ID) uint64 {
	first, _ := m.hash(key[:])
	return first
}

// heed tells the tiers that key was asked for.
func (m *Memory) heed(key *ID) {
	m.state.RLock()
	defer m.state.RUnlock()
	if m.closed {
		return
	}
	if _, ok := m.done.Get(key[:]); !ok {
		m.live.Get(key[:])
	}
}

// lose hides e, which a tier has lost. Something else may stand there by now.
func (m *Memory) lose(e *Entry) {
	if e != nil {
		m.hideIf(&e.Key, func(now *Entry) bool { return now == e })
	}
}

// hide makes Get show nothing under key.
func (m *Memory) hide(key *ID) {
	m.hideIf(key, func(now *Entry) bool { return now.Key == *key })
}

func (m *Memory) hideIf(key *ID, is func(*Entry) bool) {
	m.entries.Compute(m.slot(key), func(now *Entry, there bool) (*Entry, xsync.ComputeOp) {
		if there && is(now) {
			return now, xsync.DeleteOp
		}
		return now, xsync.CancelOp
	})
}

// Put keeps e, which must not change any more, and returns when Get shows it or
// it is lost. A frozen entry stays until it is evicted; any other for keep, and
// up to ten seconds more (or until it is evicted, where the clock was set ahead
// meanwhile), and a keep that is not positive drops what was there.
// An entry that is not frozen changes nothing under the key of a frozen one of
// its generation.
func (m *Memory) Put(e *Entry, keep time.Duration) {
	m.state.RLock()
	defer m.state.RUnlock()
	if m.closed {
		return
	}
	// One writer per key: a second write of a new key before the first is
	// visible would be lost, and the older value stay.
	write := m.write(&e.Key)
	write.Lock()
	defer write.Unlock()
	known, ok := m.lookUp(&e.Key)
	switch {
	case e.Frozen:
		m.set(m.done, e, 0)
		if ok && !known.Frozen {
			drop(m.live, &e.Key)
		}
		return
	case ok && known.Frozen && known.Generation >= e.Generation:
		return
	case ok && known.Frozen: // it was forgotten, by another process, or is asked for once more
		drop(m.done, &e.Key)
	}
	if keep <= 0 { // ristretto would take zero for "for ever"
		m.hide(&e.Key)
		drop(m.live, &e.Key)
		return
	}
	m.set(m.live, e, keep)
}

// set returns when the tier has e, or it is lost. In place of an older value it
// has it at once.
func (m *Memory) set(t *tier, e *Entry, keep time.Duration) {
	m.entries.Store(m.slot(&e.Key), e) // before the tier can lose it
	if !t.SetWithTTL(e.Key[:], e, e.Size(), keep) {
		m.hide(&e.Key)
		m.dropped.Add(1)
		return
	}
	if now, _ := t.Get(e.Key[:]); now != e {
		t.Wait()
	}
}

// Delete drops what is under key. When it returns, Get does not show it.
func (m *Memory) Delete(key *ID) {
	m.state.RLock()
	defer m.state.RUnlock()
	if m.closed {
		return
	}
	write := m.write(key)
	write.Lock()
	defer write.Unlock()
	m.hide(key)
	drop(m.done, key)
	drop(m.live, key)
}

func drop(t *tier, key *ID) {
	t.Del(key[:])
	t.Wait()
}

// write returns the lock of the writers of key.
func (m *Memory) write(key *ID) *sync.Mutex { return &m.writes[int(key[31])%len(m.writes)] }

// Close drops everything and ends the goroutines. Afterwards Get misses and Put
// does nothing.
func (m *Memory) Close() {
	m.state.Lock()
	defer m.state.Unlock()
	if m.closed {
		return
	}
	m.closed = true
	m.done.Close()
	m.live.Close()
	m.entries.Clear()
}

// Stats returns the present numbers.
func (m *Memory) Stats() MemoryStats {
	m.state.RLock()
	defer m.state.RUnlock()
	stats := MemoryStats{
		Dropped: m.dropped.Load(), Evicted: m.evicted.Load(),
	}
	if !m.closed {
		stats.MaxBytes = m.done.MaxCost() + m.live.MaxCost()
		stats.DoneBytes = m.done.MaxCost() - m.done.RemainingCost()
		stats.LiveBytes = m.live.MaxCost() - m.live.RemainingCost()
	}
	return stats
}
