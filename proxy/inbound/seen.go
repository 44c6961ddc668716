package inbound

import (
	"crypto/sha256"
	"sync"
)

// maxSeen is how many messages of an upstream are remembered at least, and twice
// as many at most. Where the time is among what is signed, older ones are
// refused by it.
const maxSeen = 8192

// seen is which messages have come. The zero value has seen none. It is safe for
// concurrent use.
type seen struct {
	mu         sync.Mutex // guards what follows
	byUpstream map[string]*recent
}

// recent is a set of hashes of ids. When it is full, the older half goes.
type recent struct{ young, old map[[sha256.Size]byte]bool }

// first reports whether the message of that id comes for the first time.
func (s *seen) first(upstream, id string) bool {
	hash := sha256.Sum256([]byte(id)) // ids may be long
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.byUpstream[upstream]
	if r == nil {
		if s.byUpstream == nil {
			s.byUpstream = map[string]*recent{}
		}
		r = &recent{young: map[[sha256.Size]byte]bool{}}
		s.byUpstream[upstream] = r
	}
	if r.young[hash] || r.old[hash] {
		return false
	}
	if len(r.young) >= maxSeen {
		r.young, r.old = map[[sha256.Size]byte]bool{}, r.young
	}
	r.young[hash] = true
	return true
}
