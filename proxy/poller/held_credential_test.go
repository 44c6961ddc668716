package poller

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pollux/providers/strictyaml"
	"pollux/proxy/poller/upstream"
)

// fileLook is how often a file that holds a credential is looked at.
const fileLook = time.Second

// replaceHeld makes Pollux hold another credential.
func (b *bench) replaceHeld(value strictyaml.Secret) {
	b.t.Helper()
	b.reload(func(c *upstream.Config) { c.Credential = upstream.CredentialConfig{Value: value} })
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
		held := func(c *upstream.Config) {
			c.Credential = upstream.CredentialConfig{Value: "old"}
			c.Breaker.Failures = 1000
		}
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
			if may := r.Partition.Authorized(b.up(), time.Now()); may != (want == shown) {
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

		again := newBenchOver(t, store, "vessl", refuse, func(c *upstream.Config) { held(c); c.Credential.Value = "new" })
		want("after a restart", again, shown)
		other := newBenchOver(t, store, "vessl", refuse, func(c *upstream.Config) { held(c); c.Credential.Value = "third" })
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
		}, func(c *upstream.Config) { c.Credential = upstream.CredentialConfig{File: path} })
		want := func(ref, key string, shown bool) {
			t.Helper()
			b.poll("ours", ref)
			if sent != "Bearer "+key {
				t.Errorf("the upstream was sent %q, want %q", sent, key)
			}
			if may := b.request("ours", "job1").Partition.Authorized(b.up(), time.Now()); may != shown {
				t.Errorf("with %s, what is stored may be shown: %v", key, may)
			}
		}
		want("job1", "first-key", true)
		write(t, path, "first-key")
		time.Sleep(fileLook)
		want("job2", "first-key", true)
		down = true
		write(t, path, "second-key")
		time.Sleep(fileLook)
		want("job3", "second-key", false)
		down = false
		want("job4", "second-key", true)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(fileLook)
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
			time.Sleep(fileLook)
			return reply(200, vesslDone)
		}, func(c *upstream.Config) { c.Credential = upstream.CredentialConfig{File: path} })
		b.poll("ours", "job1")
		part := b.request("ours", "job1").Partition
		if part.Authorized(b.up(), time.Now()) {
			t.Error("the second key was taken for accepted")
		}
		b.poll("ours", "job2")
		if !part.Authorized(b.up(), time.Now()) {
			t.Error("the second key is not accepted after a success")
		}
	})
}

func TestCredentialInHeaders(t *testing.T) {
	var sent http.Header
	b := newBench(t, "aitronos", func(_ int64, req *http.Request) (*http.Response, error) {
		sent = req.Header
		return reply(404, "{}")
	}, func(c *upstream.Config) {
		c.Credential = upstream.CredentialConfig{Headers: map[string]strictyaml.Secret{"x-api-key": "k", "Authorization": "Bearer b"}}
	})
	b.poll("ours", "resp_1")
	if sent.Get("X-Api-Key") != "k" || sent.Get("Authorization") != "Bearer b" {
		t.Errorf("the upstream was sent X-Api-Key %q, Authorization %q", sent.Get("X-Api-Key"), sent.Get("Authorization"))
	}
}
