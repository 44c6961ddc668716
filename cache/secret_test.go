package cache

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func testSecret(t testing.TB, raw string) *Secret {
	t.Helper()
	s, err := NewSecret([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sum hashes parts; a nil one is absent.
func sum(s *Secret, domain string, parts ...[]byte) (id ID) {
	h := s.Hash(domain)
	for _, p := range parts {
		if p == nil {
			h.Absent()
		} else {
			h.Part(p)
		}
	}
	h.Sum(&id)
	return id
}

func TestLoadSecretFromEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	s, err := LoadSecret(path, "sixteen bytes ok")
	if err != nil {
		t.Fatal(err)
	}
	if sum(s, "key") != sum(testSecret(t, "sixteen bytes ok"), "key") {
		t.Error("the environment's value is not what keys the hashes")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a file was made although the environment has the secret")
	}
	_, err = LoadSecret(path, "fifteen bytes..")
	if err == nil || !strings.Contains(err.Error(), "POLLUX_STORE_KEY") || strings.Contains(err.Error(), "fifteen") {
		t.Errorf("15 bytes: %v, want an error that names the variable and not its value", err)
	}
}

func TestLoadSecretFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "pollux.db.key")
	ids := make([]ID, 8)
	var starts sync.WaitGroup
	for i := range ids { // several processes may start at once
		starts.Go(func() {
			s, err := LoadSecret(path, "")
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = sum(s, "key")
		})
	}
	starts.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatal("processes that start at once have different secrets")
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("secret file: %v, %v, want mode 0600", info.Mode(), err)
	}
	if names, _ := os.ReadDir(filepath.Dir(path)); len(names) != 1 {
		t.Errorf("%d files beside each other, want 1", len(names))
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := LoadSecret("", strings.TrimSpace(string(raw))); err != nil || sum(s, "key") != ids[0] {
		t.Errorf("the file's text in the environment is another secret (%v)", err)
	}

	s, err := LoadSecret(path, "")
	if err != nil || s.Warning() != "" {
		t.Errorf("a 0600 file: %v, warning %q", err, s.Warning())
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	s, err = LoadSecret(path, "")
	if err != nil || !strings.Contains(s.Warning(), path) || !strings.Contains(s.Warning(), "0640") {
		t.Errorf("a 0640 file: %v, warning %q, want one that says what and where", err, s.Warning())
	}

	if err := os.WriteFile(path, []byte("cut short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSecret(path, ""); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that is too short: %v, want an error that names it", err)
	}
	if raw, _ := os.ReadFile(path); string(raw) != "cut short" {
		t.Error("a file that is too short was overwritten")
	}
}

func TestSecretIsNotPrinted(t *testing.T) {
	s := testSecret(t, "marker-marker-marker")
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("text", "secret", s)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		fmt.Fprintf(&out, verb+"\n", s)
	}
	if got := strings.Count(out.String(), "[redacted]"); got != 8 {
		t.Errorf("printed %q", out.String())
	}
}

func TestHash(t *testing.T) {
	s := testSecret(t, "a secret of enough bytes")
	b := func(s string) []byte { return []byte(s) }
	lists := [][][]byte{
		{}, {nil}, {nil, nil}, {b("")}, {b(""), nil}, {nil, b("")}, {b("ab"), b("c")}, {b("a"), b("bc")}, {b("abc")},
		{b("a"), b("b"), b("c")}, {b("\x00")}, {b("\x01\x00")}, {b("\x01"), b("\x00")}, {bytes.Repeat(b("x"), 127)}, {bytes.Repeat(b("x"), 128)},
	}
	seen := map[ID]string{}
	for _, domain := range []string{"partition", "key", "another"} {
		for _, parts := range lists {
			id := sum(s, domain, parts...)
			what := fmt.Sprintf("%s%q", domain, parts)
			if other, ok := seen[id]; ok {
				t.Errorf("%s and %s have the same sum", what, other)
			}
			seen[id] = what
			if sum(s, domain, parts...) != id {
				t.Errorf("%s: two sums differ", what)
			}
		}
	}
	if sum(testSecret(t, "a secret of other bytes."), "key", b("abc")) == sum(s, "key", b("abc")) {
		t.Error("two secrets give the same sum")
	}
	h := s.Hash("key")
	h.PartString("abc")
	var id ID
	if h.Sum(&id); id != sum(s, "key", b("abc")) {
		t.Error("Part and PartString differ")
	}
}

func TestHashConcurrently(t *testing.T) {
	s := testSecret(t, "a secret of enough bytes")
	want := sum(s, "key", []byte("task"))
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 500 {
				sum(s, fmt.Sprintf("domain %d", (g+i)%5), []byte("other"))
				if sum(s, "key", []byte("task")) != want {
					t.Error("a sum changed under concurrent use")
					return
				}
			}
		})
	}
	all.Wait()
}

// twoSums is what a request costs: its partition and its key.
func twoSums(s *Secret, token []byte, task string) ID {
	var partition, key ID
	h := s.Hash("partition")
	h.PartString("shannon")
	h.PartString("http://localhost:8081")
	h.Part(token)
	h.Absent()
	h.Sum(&partition)
	h = s.Hash("key")
	h.Part(partition[:])
	h.PartString(task)
	h.Sum(&key)
	return key
}

func BenchmarkHash(b *testing.B) {
	s := testSecret(b, "a secret of enough bytes")
	token := []byte("Bearer sk_0123456789abcdef0123456789abcdef")
	b.ReportAllocs()
	for b.Loop() {
		twoSums(s, token, "task-0f2c-1761129000")
	}
}

func TestSeal(t *testing.T) {
	s := testSecret(t, "a secret of enough bytes")
	partition, key, plain := &ID{1}, &ID{2}, []byte("a task document")
	sealed := s.Seal([]byte("before"), partition, key, plain)
	sealed, ok := bytes.CutPrefix(sealed, []byte("before"))
	if !ok || bytes.Contains(sealed, plain) {
		t.Fatalf("Seal = %q", sealed)
	}
	if got, err := s.Open([]byte("x"), partition, key, sealed); err != nil || string(got) != "xa task document" {
		t.Errorf("Open = %q, %v", got, err)
	}
	if bytes.Equal(sealed, s.Seal(nil, partition, key, plain)) {
		t.Error("sealing twice gives the same bytes")
	}
	refuse := func(what string, s *Secret, partition, key *ID, sealed []byte) {
		t.Helper()
		if got, err := s.Open(nil, partition, key, sealed); err != ErrUnsealable {
			t.Errorf("Open %s = %q, %v, want ErrUnsealable", what, got, err)
		}
	}
	refuse("under another key", s, partition, &ID{3}, sealed)
	refuse("in another partition", s, &ID{3}, key, sealed)
	refuse("with another secret", testSecret(t, "a secret of other bytes."), partition, key, sealed)
	for n := range sealed {
		refuse(fmt.Sprintf("cut to %d bytes", n), s, partition, key, sealed[:n])
		flipped := bytes.Clone(sealed)
		flipped[n] ^= 0x10
		refuse(fmt.Sprintf("with a flip in byte %d", n), s, partition, key, flipped)
	}
}

func TestSealersAreBounded(t *testing.T) {
	s := testSecret(t, "a secret of enough bytes")
	key := &ID{9}
	first := s.Seal(nil, &ID{}, key, []byte("x"))
	for n := range maxSealers + 10 {
		s.Seal(nil, &ID{1, byte(n), byte(n >> 8)}, key, []byte("x"))
	}
	if n := len(s.sealers.byPartition); n != maxSealers {
		t.Errorf("%d ciphers are kept, want %d", n, maxSealers)
	}
	if _, err := s.Open(nil, &ID{}, key, first); err != nil {
		t.Errorf("Open after its cipher was dropped: %v", err)
	}
}
