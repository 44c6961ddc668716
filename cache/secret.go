package cache

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// minSecret is the shortest secret accepted, in bytes: 128 bits when random.
const minSecret = 16

// Secret keys every hash and seals every stored value. Losing it means an
// empty store, never an error. It is safe for concurrent use and prints as
// "[redacted]".
type Secret struct {
	root    []byte
	warning string

	domains atomic.Pointer[map[string]*sync.Pool] // of *Hash; replaced as a whole
	grow    sync.Mutex                            // held while replacing domains
	sealers sealers
}

// NewSecret derives a Secret from raw, which must hold at least 16 bytes and
// should come from a random source. raw is not kept.
func NewSecret(raw []byte) (*Secret, error) {
	if len(raw) < minSecret {
		return nil, fmt.Errorf("store secret has %d bytes, want at least %d", len(raw), minSecret)
	}
	root, err := hkdf.Extract(sha256.New, raw, []byte("pollux store secret"))
	if err != nil {
		return nil, fmt.Errorf("derive store secret: %w", err)
	}
	s := &Secret{root: root}
	s.domains.Store(&map[string]*sync.Pool{})
	for _, domain := range []string{"partition", "key"} {
		s.prepare(domain)
	}
	return s, nil
}

// LoadSecret returns the Secret made from env, the value of
// ${POLLUX_STORE_KEY}, or if that is empty from the file at path. A missing
// file is made with random content and mode 0600, whole or not at all; when
// several processes race, all read the same one. A file that is too short is an
// error and stays as it is. A file that others may read is used, and Warning
// says so.
func LoadSecret(path, env string) (*Secret, error) {
	if env != "" {
		s, err := NewSecret([]byte(env))
		if err != nil {
			return nil, fmt.Errorf("POLLUX_STORE_KEY: %w", err)
		}
		return s, nil
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeSecretFile(path); err == nil {
			raw, err = os.ReadFile(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("store secret file: %w", err)
	}
	s, err := NewSecret(bytes.TrimSpace(raw))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if info, err := os.Stat(path); err == nil && exposed(info.Mode()) {
		s.warning = fmt.Sprintf("store secret file %s has mode %04o and can be read by others: chmod 600 it", path, info.Mode().Perm())
	}
	return s, nil
}

// Warning says what is unsafe about where the secret came from, "" if nothing.
func (s *Secret) Warning() string { return s.warning }

// String, GoString and LogValue keep the secret out of logs and messages.
func (*Secret) String() string             { return "[redacted]" }
func (*Secret) GoString() string           { return "[redacted]" }
func (*Secret) LogValue() slog.Value       { return slog.StringValue("[redacted]") }
func (*Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// derive returns the 32-byte key for one purpose (HKDF-Expand, RFC 5869).
func (s *Secret) derive(purpose string) []byte {
	key, err := hkdf.Expand(sha256.New, s.root, purpose, 32)
	if err != nil {
		panic("BUG: HKDF refuses 32 bytes: " + err.Error())
	}
	return key
}

// makeSecretFile puts a fresh secret at path. It leaves an existing file alone.
func makeSecretFile(path string) error {
	var raw [32]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, ".secret-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.WriteString(hex.EncodeToString(raw[:]) + "\n")
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err != nil {
		return err
	}
	// A link appears whole and never replaces what another process just made;
	// a file system without links gets a rename.
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		if err := os.Rename(temp.Name(), path); err != nil {
			return err
		}
	}
	return SyncDir(dir)
}
