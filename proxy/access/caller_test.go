package access

import (
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
	"pgregory.net/rapid"

	"pollux/cache"
	"pollux/providers"
	"pollux/providers/strictyaml"
	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
)

// target is an upstream of a built-in provider, whose credential Pollux holds if
// one is given.
func target(t *testing.T, provider, credential string) (*Upstream, *cache.Secret) {
	t.Helper()
	set, err := providers.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := cache.NewSecret(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	cfg := upstream.DefaultConfig()
	cfg.Provider, cfg.BaseURL = provider, "http://127.0.0.1:1"
	if credential != "" {
		cfg.Credential = upstream.CredentialConfig{Value: strictyaml.Secret(credential)}
	}
	p, err := poller.New(poller.Config{Upstreams: map[string]upstream.Config{provider: cfg}}, set, cache.None{}, nil, secret, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return newUpstream(p.Upstream([]byte(provider)), false), secret
}

// TestPartitionsDiffer: whatever the upstream would see differently has a
// partition of its own, and nothing else has.
func TestPartitionsDiffer(t *testing.T) {
	tgt, secret := target(t, "shannon", "")
	value := rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[ab]{1,3}`))
	header := rapid.Custom(func(r *rapid.T) [4]string {
		return [4]string{value.Draw(r, "X-API-Key"), value.Draw(r, "Authorization"), value.Draw(r, "x-user-id"), value.Draw(r, "x-tenant-id")}
	})
	identify := func(values [4]string) (cache.ID, string) {
		var h fasthttp.RequestHeader
		for i, name := range []string{"X-API-Key", "Authorization", "x-user-id", "x-tenant-id"} {
			if values[i] != "" || len(values[(i+1)%4]) == 2 { // absent, or empty
				h.Set(name, values[i])
			}
		}
		var c Caller
		c.Reset(tgt)
		c.ReadHeaders(tgt, &h)
		var id cache.ID
		c.Partition(secret, tgt, &id)
		forwarded := ""
		for _, f := range c.Credential(tgt).Headers {
			forwarded += f.Name + "\x00" + f.Value + "\x00"
		}
		return id, forwarded
	}
	rapid.Check(t, func(r *rapid.T) {
		a, b := header.Draw(r, "a"), header.Draw(r, "b")
		idA, sentA := identify(a)
		idB, sentB := identify(b)
		if (idA == idB) != (sentA == sentB) {
			r.Fatalf("%q and %q: same partition %v, forwarded alike %v", a, b, idA == idB, sentA == sentB)
		}
	})
}

// TestSelects: what a caller selects parts the cache and is forwarded, whoever
// holds the credential, and is no credential itself.
func TestSelects(t *testing.T) {
	for name, value := range map[string]string{"own": "", "held": "k"} {
		tgt, secret := target(t, "openai", value)
		isHeld := value != ""
		identify := func(project string) (cache.ID, providers.Credential, *Caller) {
			var h fasthttp.RequestHeader
			h.Set("OpenAI-Project", project)
			c := &Caller{}
			c.Reset(tgt)
			c.ReadHeaders(tgt, &h)
			c.ReadSelects(tgt, &h)
			var id cache.ID
			c.Partition(secret, tgt, &id)
			return id, c.Credential(tgt), c
		}
		none, _, _ := identify("")
		one, credential, c := identify("p1")
		two, _, _ := identify("p2")
		if one == two || one == none {
			t.Errorf("%s: two projects share a partition", name)
		}
		if len(credential.Select) != 1 || credential.Select[0].Value != "p1" || len(credential.Headers) == 1 != isHeld {
			t.Errorf("%s: %d selected and %d identity headers", name, len(credential.Select), len(credential.Headers))
		}
		if c.sentAny() || c.Sufficient(tgt) {
			t.Errorf("%s: a project counts as a credential", name)
		}
		var again Caller
		again.Reset(tgt)
		var id cache.ID
		if restored := again.restore(tgt, credential); isHeld != restored {
			t.Errorf("%s: restored %v", name, restored)
		}
		if again.Partition(secret, tgt, &id); id != one {
			t.Errorf("%s: a restored caller is another", name)
		}
	}
}

// TestStreamSelectsNothing: who asks Pollux for a stream of events has the vendor
// asked for what everybody is.
func TestStreamSelectsNothing(t *testing.T) {
	tgt, _ := target(t, "github-actions", "")
	for accept, want := range map[string]int{"": 0, "text/event-stream": 0, "text/event-stream, application/json;q=0.5": 0, "application/vnd.github+json": 1} {
		var h fasthttp.RequestHeader
		h.Set("Accept", accept)
		c := &Caller{}
		c.Reset(tgt)
		c.ReadSelects(tgt, &h)
		if got := c.Credential(tgt).Select; len(got) != want {
			t.Errorf("Accept %q: %d headers are forwarded, want %d", accept, len(got), want)
		}
	}
}
