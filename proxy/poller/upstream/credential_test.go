package upstream

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pollux/cache"
	"pollux/providers"
	"pollux/providers/strictyaml"
)

// TestAccountCoversEveryHeader: a change of any part is another account, however
// it is written.
func TestAccountCoversEveryHeader(t *testing.T) {
	secret, err := cache.NewSecret([]byte("a secret of the tests, long enough"))
	if err != nil {
		t.Fatal(err)
	}
	account := func(headers map[string]strictyaml.Secret) [16]byte {
		h, err := newHeld(CredentialConfig{Headers: headers}, nil, secret)
		if err != nil {
			t.Fatal(err)
		}
		return h.current().account
	}
	first := account(map[string]strictyaml.Secret{"X-API-Key": "k", "Authorization": "Bearer b"})
	if account(map[string]strictyaml.Secret{"x-api-key": "k", "authorization": "Bearer b"}) != first {
		t.Error("the case of a name makes another account")
	}
	for _, other := range []map[string]strictyaml.Secret{
		{"X-API-Key": "K", "Authorization": "Bearer b"}, {"X-API-Key": "k", "Authorization": "Bearer c"}, {"X-API-Key": "k"},
	} {
		if account(other) == first {
			t.Errorf("%v is the same account", other)
		}
	}
}

func TestSecretFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	large, empty, odd := filepath.Join(dir, "large"), filepath.Join(dir, "empty"), filepath.Join(dir, "odd")
	for path, text := range map[string]string{large: strings.Repeat("x", maxSecretFile+1), empty: "\n", odd: "hidden-key\nand more"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{fifo, large, empty, odd, dir, filepath.Join(dir, "missing"), filepath.Join(dir, "a\x00b")} {
		if bare, err := readSecret(path); err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %q, %v", path, bare, err)
		}
	}
}

func TestHeldFaults(t *testing.T) {
	set, err := providers.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		credential CredentialConfig
		fault      string
	}{
		"another header":   {CredentialConfig{Headers: map[string]strictyaml.Secret{"X-Odd": "k"}}, "has no place for X-Odd"},
		"a control byte":   {CredentialConfig{Headers: map[string]strictyaml.Secret{"Authorization": "a\x01b"}}, "want printable ASCII"},
		"no file":          {CredentialConfig{File: "/nonexistent/key"}, "cannot be read"},
		"nothing":          {CredentialConfig{}, "want visible ASCII"},
		"as it should be":  {CredentialConfig{Headers: map[string]strictyaml.Secret{"Authorization": "Bearer k"}}, ""},
		"as always it was": {CredentialConfig{Value: "k"}, ""},
	} {
		v := &validation{}
		v.credential(c.credential, set.Get("vessl"))
		said := v.Faults.Error()
		if (said == "") != (c.fault == "") || !strings.Contains(said, c.fault) {
			t.Errorf("%s: %q, want %q", name, said, c.fault)
		}
	}
}
