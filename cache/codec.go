package cache

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// How the encoded entry inside a sealed value is packed; the first byte.
const (
	packedPlain   byte = 1
	packedZstd    byte = 2 // of no generation and version, as is the one before
	numberedPlain byte = 3
	numberedZstd  byte = 4
)

// From these sizes on an encoded entry is compressed: below the first, the saving
// is smaller than the frame's cost, and one that has not ended is soon replaced.
const (
	minZstd     = 512
	minZstdOpen = 2 << 10
)

// maxUnpacked bounds what one value may unpack to, as SQLite bounds a value.
const maxUnpacked = 1 << 30

// ErrDamaged is returned by OpenEntry for a value that cannot be opened. It is
// an ErrNotFound.
var ErrDamaged = fmt.Errorf("damaged or sealed under another secret: %w", ErrNotFound)

var zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err != nil {
		panic("BUG: zstd encoder options: " + err.Error())
	}
	return z
})

var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithDecoderMaxMemory(maxUnpacked))
	if err != nil {
		panic("BUG: zstd decoder options: " + err.Error())
	}
	return z
})

// SealEntry renders e for a store: encoded, compressed when that pays, sealed
// for its partition and key. Stored and PersistedAt are not part of it;
// times lose their monotonic reading. Of how long a running task is fresh, what the
// upstream asked for is: the rest only the process knows that asked.
func (s *Secret) SealEntry(e *Entry) []byte {
	least, fresh := minZstd, e.FreshUntil
	if !e.Terminal {
		least, fresh = minZstdOpen, earlier(e.FreshUntil, e.ObservedAt.Add(e.Asked))
	}
	c := scratches.Get().(*scratch)
	defer c.release()
	c.plain = appendEntry(append(slices.Grow(c.plain[:0], int(e.Size())), numberedPlain), e, fresh)
	return s.Seal(nil, &e.Partition, &e.Key, c.pack(least))
}

// OpenEntry is the reverse of SealEntry for a value found under key in
// partition. Stored is true; ObservedAt is never after now, and neither is
// FreshUntil while a task settles: when it is asked again, only the process knows
// that asked. Nothing is fresh that is from the future, as after a clock was set
// back. Anything but a whole value of this key, partition and secret is ErrDamaged.
func (s *Secret) OpenEntry(partition, key *ID, sealed []byte, now time.Time) (*Entry, error) {
	packed, err := s.Open(nil, partition, key, sealed)
	if err != nil {
		return nil, ErrDamaged
	}
	encoded, numbered, err := unpack(packed)
	if err != nil {
		return nil, ErrDamaged
	}
	e, err := decodeEntry(encoded, numbered)
	if err != nil {
		return nil, ErrDamaged
	}
	e.Key, e.Partition, e.Stored = *key, *partition, true
	if !e.Terminal {
		e.Asked = max(0, e.FreshUntil.Sub(e.ObservedAt))
	}
	if e.Settling || e.ObservedAt.After(now) {
		e.ObservedAt, e.FreshUntil = earlier(e.ObservedAt, now), earlier(e.FreshUntil, now)
	}
	return e, nil
}

// SealPartition renders the state of a partition for a store.
func (s *Secret) SealPartition(id *ID, state PartitionState) []byte {
	suspended := byte(0)
	if state.Suspended {
		suspended = 1
	}
	plain := appendText(appendTime([]byte{numberedPlain, suspended}, state.LastSuccess), state.Upstream)
	plain = append(plain, state.Credential[:]...)
	if state.Of != (ID{}) { // a version that does not know it asks the upstream again
		plain = append(plain, state.Of[:]...)
	}
	return s.Seal(nil, id, id, plain)
}

// OpenPartition is the reverse of SealPartition. LastSuccess is never after now.
// Anything but a whole value of this partition and secret is ErrDamaged.
func (s *Secret) OpenPartition(id *ID, sealed []byte, now time.Time) (PartitionState, error) {
	plain, err := s.Open(nil, id, id, sealed)
	if err != nil || len(plain) < 2 || plain[0] != packedPlain && plain[0] != numberedPlain || plain[1] > 1 {
		return PartitionState{}, ErrDamaged
	}
	d := decoder{rest: plain[2:]}
	state := PartitionState{Suspended: plain[1] == 1, LastSuccess: earlier(d.time(), now), Upstream: d.text()}
	if plain[0] == numberedPlain {
		copy(state.Credential[:], d.bytes(uint64(len(state.Credential))))
		if len(d.rest) > 0 {
			copy(state.Of[:], d.bytes(uint64(len(state.Of))))
		}
	}
	if d.failed || len(d.rest) > 0 {
		return PartitionState{}, ErrDamaged
	}
	return state, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// scratch is what a value is made in before it is sealed.
type scratch struct{ plain, packed []byte }

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// maxScratch is how large a buffer may be that waits for its next use.
const maxScratch = 64 << 10

func (c *scratch) release() {
	if cap(c.plain)+cap(c.packed) <= maxScratch {
		scratches.Put(c)
	}
}

// pack returns c.plain, what follows its first byte compressed if it has at least so
// many and becomes smaller. The result is good until c is used again.
func (c *scratch) pack(least int) []byte {
	if len(c.plain) < least {
		return c.plain
	}
	c.packed = zstdEncoder().EncodeAll(c.plain[1:], append(slices.Grow(c.packed[:0], len(c.plain)/2), numberedZstd))
	if len(c.packed) >= len(c.plain) {
		return c.plain
	}
	return c.packed
}

// unpack is the reverse of pack. numbered says whether the entry has a
// generation and a version.
func unpack(packed []byte) (encoded []byte, numbered bool, err error) {
	if len(packed) == 0 {
		return nil, false, errTruncated
	}
	switch packed[0] {
	case packedPlain, numberedPlain:
		encoded = packed[1:]
	case packedZstd, numberedZstd:
		encoded, err = zstdDecoder().DecodeAll(packed[1:], nil)
	default:
		return nil, false, fmt.Errorf("entry of unknown format %d", packed[0])
	}
	return encoded, packed[0] >= numberedPlain, err
}

// packedRow starts an encoded row, so that none is taken for an entry.
const packedRow byte = 5

// SealRow renders what a list shows of a task for a store.
func (s *Secret) SealRow(r *Row) []byte {
	terminal := byte(0)
	if r.Terminal {
		terminal = 1
	}
	c := scratches.Get().(*scratch)
	defer c.release()
	b := append(c.plain[:0], packedRow, terminal)
	for _, text := range r.texts() {
		b = appendText(b, *text)
	}
	for _, at := range r.times() {
		b = appendTime(b, *at)
	}
	c.plain = appendHistory(appendTexts(b, r.Values), r.History)
	return s.Seal(nil, &r.Partition, &r.Key, c.plain)
}

// OpenRow is the reverse of SealRow for a value found under key in partition.
// ObservedAt is never after now. Anything but a whole value of this key,
// partition and secret is ErrDamaged.
func (s *Secret) OpenRow(partition, key *ID, sealed []byte, now time.Time) (Row, error) {
	plain, err := s.Open(nil, partition, key, sealed)
	if err != nil || len(plain) < 2 || plain[0] != packedRow || plain[1] > 1 {
		return Row{}, ErrDamaged
	}
	r := Row{Key: *key, Partition: *partition, Terminal: plain[1] == 1}
	d := decoder{rest: plain[2:]}
	for _, text := range r.texts() {
		*text = d.text()
	}
	for _, at := range r.times() {
		*at = d.time()
	}
	r.Values, r.History = d.texts(), d.history()
	if d.failed || len(d.rest) > 0 {
		return Row{}, ErrDamaged
	}
	r.ObservedAt = earlier(r.ObservedAt, now)
	return r, nil
}

func (r *Row) texts() [9]*string {
	return [...]*string{
		&r.Upstream, &r.Provider, &r.Ref, &r.TaskID, &r.Status, &r.NativeStatus, &r.Model, &r.ErrorCode, &r.ErrorMessage,
	}
}

func (r *Row) times() [6]*time.Time {
	return [...]*time.Time{&r.CreatedAt, &r.CompletedAt, &r.UpdatedAt, &r.FirstSeen, &r.ObservedAt, &r.StatusSince}
}
