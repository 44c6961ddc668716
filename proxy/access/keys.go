package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"

	"pollux/providers"
)

// KeyHash is SHA-256 of a Pollux key. Keys are random, so a plain hash cannot
// be guessed back.
type KeyHash [sha256.Size]byte

const keyHashPrefix = "sha256:"

// NewKey returns a new Pollux key, 256 random bits, and its hash in the form
// that ClientConfig.Key takes.
func NewKey() (plain, hash string) {
	var b [32]byte
	rand.Read(b[:]) // never fails
	plain = "plx_" + base64.RawURLEncoding.EncodeToString(b[:])
	sum := sha256.Sum256([]byte(plain))
	return plain, keyHashPrefix + hex.EncodeToString(sum[:])
}

// ParseKey reads ClientConfig.Key: a key, or the hash of one.
func ParseKey(s string) (KeyHash, error) {
	if digits, ok := strings.CutPrefix(s, keyHashPrefix); ok {
		b, err := hex.DecodeString(digits)
		if err != nil || len(b) != sha256.Size {
			return KeyHash{}, errors.New("want sha256: and 64 hexadecimal digits")
		}
		return KeyHash(b), nil
	}
	if s == "" {
		return KeyHash{}, errors.New("want a key or its hash, as pollux key new prints")
	}
	if !providers.Visible(s) {
		return KeyHash{}, errors.New("want visible ASCII characters only, since it travels in a header")
	}
	return sha256.Sum256([]byte(s)), nil
}
