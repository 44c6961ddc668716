package cache

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"slices"
	"sync"
)

// sealVersion starts every sealed value: version, nonce, AES-256-GCM.
const sealVersion = 1

// maxSealers bounds the prepared ciphers; one weighs about a kilobyte, making
// one takes some microseconds.
const maxSealers = 1024

// ErrUnsealable is returned by Open for whatever Seal did not return for the
// same secret, partition and key.
var ErrUnsealable = errors.New("sealed value is damaged or not ours")

// sealers keeps one prepared cipher per partition.
type sealers struct {
	mu          sync.RWMutex
	byPartition map[ID]cipher.AEAD // guarded by mu
}

// Seal appends plaintext to dst, encrypted under a key of the partition and
// bound to key: moved to another key or partition it cannot be opened. Equal
// plaintexts differ when sealed. A partition's key is good for 2^32 values
// (NIST SP 800-38D, section 8.3).
func (s *Secret) Seal(dst []byte, partition, key *ID, plaintext []byte) []byte {
	aead := s.sealer(partition)
	dst = append(slices.Grow(dst, 1+len(plaintext)+aead.Overhead()), sealVersion)
	return aead.Seal(dst, nil, plaintext, sealedFor(key))
}

// Open appends to dst what Seal was given, or returns ErrUnsealable.
func (s *Secret) Open(dst []byte, partition, key *ID, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != sealVersion {
		return nil, ErrUnsealable
	}
	plaintext, err := s.sealer(partition).Open(dst, nil, sealed[1:], sealedFor(key))
	if err != nil {
		return nil, ErrUnsealable
	}
	return plaintext, nil
}

// sealedFor is the associated data of a value under key.
func sealedFor(key *ID) []byte { return append(key[:len(key):len(key)], sealVersion) }

// sealer returns the cipher of a partition.
func (s *Secret) sealer(partition *ID) cipher.AEAD {
	s.sealers.mu.RLock()
	aead, ok := s.sealers.byPartition[*partition]
	s.sealers.mu.RUnlock()
	if ok {
		return aead
	}
	block, err := aes.NewCipher(s.derive("pollux seal " + string(partition[:])))
	if err != nil {
		panic("BUG: AES refuses 32 bytes: " + err.Error())
	}
	aead, err = cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("BUG: GCM refuses AES: " + err.Error())
	}
	s.sealers.keep(partition, aead)
	return aead
}

// keep remembers a cipher, in place of any other when there are too many.
func (s *sealers) keep(partition *ID, aead cipher.AEAD) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byPartition == nil {
		s.byPartition = make(map[ID]cipher.AEAD)
	}
	if len(s.byPartition) >= maxSealers {
		for other := range s.byPartition {
			delete(s.byPartition, other)
			break
		}
	}
	s.byPartition[*partition] = aead
}
