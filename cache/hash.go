package cache

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"sync"
)

// Tags before each part, so that an absent value differs from an empty one.
const (
	tagAbsent byte = iota
	tagPart
)

// maxPooledHash is the largest buffer that goes back to a pool, in bytes.
const maxPooledHash = 64 << 10

// Hash is one keyed hash (HMAC-SHA256, RFC 2104) being computed over a list of
// parts. Distinct lists give distinct input, whatever the parts hold. It belongs
// to one goroutine and must not be used after Sum.
type Hash struct {
	mac  hash.Hash
	buf  []byte
	sum  ID
	pool *sync.Pool
}

// Hash starts a hash in domain, a constant of the code: the same parts in two
// domains give unrelated sums. It does not allocate once a domain is warm.
func (s *Secret) Hash(domain string) *Hash {
	pool, ok := (*s.domains.Load())[domain]
	if !ok {
		pool = s.prepare(domain)
	}
	return pool.Get().(*Hash)
}

// Part adds a value that is there, possibly empty. b is copied.
func (h *Hash) Part(b []byte) {
	h.buf = binary.AppendUvarint(append(h.buf, tagPart), uint64(len(b)))
	h.buf = append(h.buf, b...)
}

// PartString is Part for a string.
func (h *Hash) PartString(s string) {
	h.buf = binary.AppendUvarint(append(h.buf, tagPart), uint64(len(s)))
	h.buf = append(h.buf, s...)
}

// Absent adds a value that was not sent.
func (h *Hash) Absent() { h.buf = append(h.buf, tagAbsent) }

// Sum stores the hash of all parts in out and ends the use of h.
func (h *Hash) Sum(out *ID) {
	h.mac.Reset()
	h.mac.Write(h.buf)
	h.mac.Sum(h.sum[:0]) // not into out: that would move every caller's ID to the heap
	*out = h.sum
	if cap(h.buf) > maxPooledHash {
		h.buf = nil
	}
	h.buf = h.buf[:0]
	h.pool.Put(h)
}

// Sum is the hash of parts that are all there.
func (s *Secret) Sum(domain string, parts ...string) (id ID) {
	h := s.Hash(domain)
	for _, part := range parts {
		h.PartString(part)
	}
	h.Sum(&id)
	return id
}

// prepare makes the pool of a domain that Hash did not find.
func (s *Secret) prepare(domain string) *sync.Pool {
	s.grow.Lock()
	defer s.grow.Unlock()
	known := *s.domains.Load()
	if pool, ok := known[domain]; ok {
		return pool
	}
	key := s.derive("pollux hash " + domain)
	pool := &sync.Pool{}
	pool.New = func() any {
		return &Hash{mac: hmac.New(sha256.New, key), buf: make([]byte, 0, 256), pool: pool}
	}
	known = maps.Clone(known)
	known[domain] = pool
	s.domains.Store(&known)
	return pool
}
