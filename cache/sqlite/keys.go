package sqlite

import (
	"database/sql"
	"encoding/binary"
	"sync/atomic"
	"time"

	"pollux/cache"
)

const (
	// A file's filter has 1<<keyBits bits, 2 MiB: of a million keys, two in a
	// thousand others seem to be there, of four million every sixth.
	keyBits = 24
	// keysAtOnce are read in one go, in some milliseconds, and keysPause lies between.
	keysAtOnce = 2000
	keysPause  = 20 * time.Millisecond

	sqlKeys = `SELECT key FROM tasks WHERE key > ?1 ORDER BY key LIMIT ?2`
)

// newKeys is the filter of a file of which no key was read yet.
func newKeys() keys {
	return keys{bits: make([]atomic.Uint64, 1<<keyBits/64), last: []byte{}}
}

// keys is a Bloom filter of the keys in a file: it tells of most others that they
// are not there, so that the first poll of a task need not look. Keys are hashes,
// of which it takes the bits as they are. One writer adds to it, in any order with
// readers: a key is in it before its row is.
type keys struct {
	bits  []atomic.Uint64
	whole atomic.Bool // it has all that were there when the file was opened, too
	last  []byte      // of those the last that was read; the writer's
}

// add puts key into the filter and reports whether it may have been in the file.
func (k *keys) add(key *cache.ID) (known bool) {
	known = k.mayHold(key)
	for i := 16; i < len(key); i += 4 {
		word, bit := place(key, i)
		k.bits[word].Or(bit)
	}
	return known
}

// mayHold reports whether key may be in the file.
func (k *keys) mayHold(key *cache.ID) bool {
	if !k.whole.Load() {
		return true
	}
	for i := 16; i < len(key); i += 4 {
		if word, bit := place(key, i); k.bits[word].Load()&bit == 0 {
			return false
		}
	}
	return true
}

// place is the bit that four bytes of key stand for.
func place(key *cache.ID, at int) (word int, bit uint64) {
	n := binary.LittleEndian.Uint32(key[at:]) >> (32 - keyBits)
	return int(n / 64), 1 << (n % 64)
}

// readKeys puts more of the file's keys into its filter, and returns when to go on.
func (w *writer) readKeys() time.Duration {
	if d := w.file.Load(); d == nil || d.keys.whole.Load() {
		return lookEvery // there may be another file then
	}
	err := w.useFile(func(d *database) error {
		n := 0
		err := eachRow(d.write, sqlKeys, []any{d.keys.last, keysAtOnce}, func(rows *sql.Rows) error {
			var found blob
			err := rows.Scan(&found)
			var key cache.ID
			if copy(key[:], found) == len(key) {
				d.keys.add(&key)
			}
			n, d.keys.last = n+1, append(d.keys.last[:0], found...)
			return err
		})
		if err == nil && n < keysAtOnce {
			d.keys.whole.Store(true)
		}
		return err
	})
	if err != nil {
		return lookEvery
	}
	return keysPause
}
