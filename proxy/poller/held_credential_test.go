package poller

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pollux/providers"
)

// replaceHeld makes Pollux hold another credential.
func (b *bench) replaceHeld(value string) {
	b.t.Helper()
	b.reload(func(c *UpstreamConfig) { c.Credential = CredentialConfig{Value: value} })
}

// TestReplacedHeldCredential: what the old account had seen is shown again only
// once the upstream has accepted the new credential, also after a restart.
func TestReplacedHeldCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		store := newMemStore()
		answer := func(n int64, req *http.Request) (*http.Response, error) {
			if down.Load() {
				return refuse(n, req)
			}
			return reply(200, vesslDone)
		}
		held := func(c *UpstreamConfig) { c.Credential = CredentialConfig{Value: "old"}; c.Breaker.Failures = 1000 }
		b := newBenchOver(t, store, "vessl", answer, held)
		b.poll("shared", "job1")
		only := func(b *bench) string {
			r := b.request("shared", "job1")
			r.OnlyIfCached = true
			return said(b.Poll(context.Background(), r))
		}
		const shown, hidden = "200 completed; pollux; hit; detail=terminal", "504 not-cached; pollux"
		want := func(what string, b *bench, want string) {
			t.Helper()
			r := b.request("shared", "job1")
			if got := only(b); got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
			if may := b.MayShow(b.up(), r.Partition, time.Now()); may != (want == shown) {
				t.Errorf("%s: a list may show it: %v", what, may)
			}
			if withheld := b.Withholds(&r.Partition.ID); withheld != (want == hidden) {
				t.Errorf("%s: webhooks are held back: %v", what, withheld)
			}
		}
		want("the first credential", b, shown)
		down.Store(true)
		b.replaceHeld("new")
		want("replaced", b, hidden)
		b.want(b.poll("shared", "job1"), "502 upstream-error; pollux; fwd=stale")
		b.replaceHeld("old")
		want("put back", b, shown)
		b.replaceHeld("new")
		down.Store(false)
		b.later()
		b.poll("shared", "job2")
		want("accepted", b, shown)

		again := newBenchOver(t, store, "vessl", refuse, func(c *UpstreamConfig) { held(c); c.Credential.Value = "new" })
		want("after a restart", again, shown)
		other := newBenchOver(t, store, "vessl", refuse, func(c *UpstreamConfig) { held(c); c.Credential.Value = "third" })
		want("replaced while it was down", other, hidden)
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCredentialInAFile is read again when it changes, and kept while it
// cannot be read. What its predecessor saw is shown once it was accepted.
func TestCredentialInAFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "key")
		write(t, path, "\n first-key \n")
		var sent string
		var down bool
		b := newBench(t, "vessl", func(n int64, req *http.Request) (*http.Response, error) {
			sent = req.Header.Get("Authorization")
			if down {
				return refuse(n, req)
			}
			return reply(200, vesslDone)
		}, func(c *UpstreamConfig) { c.Credential = CredentialConfig{File: path} })
		want := func(ref, key string, shown bool) {
			t.Helper()
			b.poll("ours", ref)
			if sent != "Bearer "+key {
				t.Errorf("the upstream was sent %q, want %q", sent, key)
			}
			if may := b.MayShow(b.up(), b.request("ours", "job1").Partition, time.Now()); may != shown {
				t.Errorf("with %s, what is stored may be shown: %v", key, may)
			}
		}
		want("job1", "first-key", true)
		write(t, path, "first-key")
		time.Sleep(secretFileEvery)
		want("job2", "first-key", true)
		down = true
		write(t, path, "second-key")
		time.Sleep(secretFileEvery)
		want("job3", "second-key", false)
		down = false
		want("job4", "second-key", true)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(secretFileEvery)
		want("job5", "second-key", true)
	})
}

// TestCredentialChangesInFlight: an answer to the old key accepts the old key.
func TestCredentialChangesInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "key")
		write(t, path, "first-key")
		b := newBench(t, "vessl", func(int64, *http.Request) (*http.Response, error) {
			write(t, path, "second-key")
			time.Sleep(secretFileEvery)
			return reply(200, vesslDone)
		}, func(c *UpstreamConfig) { c.Credential = CredentialConfig{File: path} })
		b.poll("ours", "job1")
		part := b.request("ours", "job1").Partition
		if b.MayShow(b.up(), part, time.Now()) {
			t.Error("the second key was taken for accepted")
		}
		b.poll("ours", "job2")
		if !b.MayShow(b.up(), part, time.Now()) {
			t.Error("the second key is not accepted after a success")
		}
	})
}

// TestAccountCoversEveryHeader: a change of any part is another account, however
// it is written.
func TestAccountCoversEveryHeader(t *testing.T) {
	account := func(headers map[string]string) [16]byte {
		b := newBench(t, "aitronos", refuse, func(c *UpstreamConfig) { c.Credential = CredentialConfig{Headers: headers} })
		return b.up().held.current().account
	}
	first := account(map[string]string{"X-API-Key": "k", "Authorization": "Bearer b"})
	if account(map[string]string{"x-api-key": "k", "authorization": "Bearer b"}) != first {
		t.Error("the case of a name makes another account")
	}
	for _, other := range []map[string]string{
		{"X-API-Key": "K", "Authorization": "Bearer b"}, {"X-API-Key": "k", "Authorization": "Bearer c"}, {"X-API-Key": "k"},
	} {
		if account(other) == first {
			t.Errorf("%v is the same account", other)
		}
	}
}

func TestCredentialInHeaders(t *testing.T) {
	var sent http.Header
	b := newBench(t, "aitronos", func(_ int64, req *http.Request) (*http.Response, error) {
		sent = req.Header
		return reply(404, "{}")
	}, func(c *UpstreamConfig) {
		c.Credential = CredentialConfig{Headers: map[string]string{"x-api-key": "k", "Authorization": "Bearer b"}}
	})
	b.poll("ours", "resp_1")
	if sent.Get("X-Api-Key") != "k" || sent.Get("Authorization") != "Bearer b" {
		t.Errorf("the upstream was sent X-Api-Key %q, Authorization %q", sent.Get("X-Api-Key"), sent.Get("Authorization"))
	}
}

func TestSecretFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	large, empty, odd := filepath.Join(dir, "large"), filepath.Join(dir, "empty"), filepath.Join(dir, "odd")
	write(t, large, strings.Repeat("x", maxSecretFile+1))
	write(t, empty, "\n")
	write(t, odd, "hidden-key\nand more")
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
		"another header":   {CredentialConfig{Headers: map[string]string{"X-Odd": "k"}}, "has no place for X-Odd"},
		"a control byte":   {CredentialConfig{Headers: map[string]string{"Authorization": "a\x01b"}}, "want printable ASCII"},
		"no file":          {CredentialConfig{File: "/nonexistent/key"}, "cannot be read"},
		"nothing":          {CredentialConfig{}, "want visible ASCII"},
		"as it should be":  {CredentialConfig{Headers: map[string]string{"Authorization": "Bearer k"}}, ""},
		"as always it was": {CredentialConfig{Value: "k"}, ""},
	} {
		v := &validation{}
		v.credential(c.credential, set.Get("vessl"))
		said := v.faults.Error()
		if (said == "") != (c.fault == "") || !strings.Contains(said, c.fault) {
			t.Errorf("%s: %q, want %q", name, said, c.fault)
		}
	}
}
