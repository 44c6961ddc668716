package poller

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
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
