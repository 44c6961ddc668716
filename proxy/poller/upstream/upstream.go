// Package upstream is one configured upstream, and the partitions of those who
// hold a credential for it: how it is asked, what of it and of them is known,
// and when it is left alone. What a task is, and what becomes known of it, is
// the engine's (package poller).
package upstream

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"pollux/cache"
	"pollux/providers"
	"pollux/providers/format"
	"pollux/proxy/poller/adaptive"
	"pollux/proxy/poller/schedule"
	"pollux/proxy/poller/transport"
	"pollux/proxy/problem"
	"pollux/proxy/roots"
)

// Upstream is one configured instance of a provider. Its exported fields are
// read-only.
type Upstream struct {
	Name     string
	Provider *providers.Provider
	Config   Config
	Parser   *providers.Parser
	Base     *url.URL
	Held     bool // Pollux holds the credential; callers bring a Pollux key

	held      *held // nil: callers bring theirs
	Transport roundTripper
	Elsewhere http.RoundTripper // fetches results that are not at the upstream itself
	InFlight  *schedule.Slots   // max_in_flight
	passing   *passing
	breaker   *breaker
	witnesses *witnesses
	stats     *stats
	messages  *messages
	before    *FreshnessConfig // of the config that was in force before, where an answer was fresh for longer; nil: none
	signers   *signers         // nil: it signs with a secret, or not at all
	Learned   *adaptive.Durations
	Metrics   Series
	NotFound  *problem.Problem // prepared, for the hit path
	gone      *problem.Problem
}

// roundTripper is what an upstream's requests go through: *transport.Connections.
type roundTripper interface {
	RoundTrip(partition *cache.ID, req *http.Request) (*http.Response, error)
	Close()
}

// hop names this process in Via, so that an upstream that leads back to it is
// noticed (RFC 9110, section 7.6.3).
var hop = func() string {
	b := make([]byte, 6)
	rand.Read(b)
	return "pollux-" + hex.EncodeToString(b)
}()

// ownVia is shared: whoever adds to it gets a copy, since it is full.
var ownVia = []string{"1.1 " + hop}

// Hop is the pseudonym under which this process stands in the Via header of
// the requests it sends upstream.
func Hop() string { return hop }

// idlePerPoll is how many connections without a request an upstream keeps for
// each poll that it may have under way: each partition needs its own.
const idlePerPoll = 4

// Host is what the upstreams of one process share.
type Host struct {
	Base    context.Context // until its end an upstream asks for what it needs besides, such as access tokens
	Metrics *Metrics
	Secret  *cache.Secret
	Roots   *roots.Roots
}

// New returns the upstream of that name. It starts nothing.
func New(host *Host, name string, cfg Config, set *providers.Set) (*Upstream, error) {
	provider := set.Get(cfg.Provider)
	if provider == nil {
		return nil, fmt.Errorf("provider %q is not known", cfg.Provider)
	}
	at, err := baseURL(cfg.BaseURL, provider)
	if err != nil {
		return nil, err
	}
	parser, err := providers.NewParser(provider, cfg.Params)
	if err != nil {
		return nil, err
	}
	u := &Upstream{
		Name: name, Provider: provider, Config: cfg, Parser: parser, Base: at,
		Held:      !cfg.Credential.Caller,
		InFlight:  schedule.NewSlots(cfg.MaxInFlight),
		passing:   &passing{by: map[cache.ID]int{}},
		witnesses: &witnesses{},
		stats:     &stats{},
		messages:  &messages{},
		Learned:   adaptive.NewDurations(newGroups(cfg, provider)),
		Metrics:   host.Metrics.upstream(name),
		NotFound: &problem.Problem{Type: problem.TaskNotFound, Status: http.StatusNotFound, Upstream: name, UpstreamStatus: http.StatusNotFound,
			Detail: "the upstream knows no such task, or hides it from this credential"},
		gone: &problem.Problem{Type: problem.TaskGone, Status: http.StatusGone, Upstream: name, UpstreamStatus: http.StatusNotFound,
			Detail: "the task was known, and the upstream has lost it"},
	}
	way, err := newRoute(&cfg)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	u.Elsewhere = elsewhere{way}
	if u.Transport, err = way.connections(transport.Config{
		Base: at, DialTimeout: cfg.Timeout, Patience: ForwardPatience,
		MaxIdle: idlePerPoll * max(1, cfg.MaxInFlight), Unasked: u.Metrics.unasked.Inc, Panics: host.Roots,
	}, way.roots); err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	if u.Held {
		if u.held, err = newHeld(cfg.Credential, provider, host.Secret); err != nil {
			return nil, err
		}
		if cfg.Credential.OAuth2 != nil {
			if u.held.client, err = newClient(host, cfg, provider, way, u.Metrics.tokens); err != nil {
				return nil, fmt.Errorf("proxy: %w", err)
			}
		}
	}
	if u.signers, err = newSigners(host, cfg, provider, way); err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	u.breaker = newBreaker(cfg.Breaker, u.countsForUpstream, u.Metrics.breakerChanged)
	return u, nil
}

// countsForUpstream: failures of one partition alone come as errServer and do
// not count here; guard turns them into errTransport once a second partition
// has seen one.
func (u *Upstream) countsForUpstream(err error) bool { return errors.Is(err, errTransport) }

func baseURL(configured string, provider *providers.Provider) (*url.URL, error) {
	raw := cmp.Or(configured, provider.BaseURL)
	if raw == "" {
		return nil, fmt.Errorf("base_url: provider %s has none of its own, so it is required", provider.Name)
	}
	base, err := format.ParseBaseURL(raw)
	if err != nil {
		return nil, fmt.Errorf("base_url: %w", err)
	}
	return base, nil
}

// Continues reports whether u is what old was before a reload: the same API at the
// same address, with the credential from the same side. Only then may u be asked
// what somebody wanted of old, with the credential that they sent to it.
func (u *Upstream) Continues(old *Upstream) bool {
	return u.Provider.Name == old.Provider.Name && u.Base.String() == old.Base.String() && u.Held == old.Held
}

// Inherit keeps what a reload must not forget.
func (u *Upstream) Inherit(old *Upstream) {
	if old == nil || old.Base.String() != u.Base.String() {
		return
	}
	if u.held != nil && old.held != nil && u.held.client.same(old.held.client) {
		u.held.client = old.held.client
	}
	if u.before = old.before; old.Config.Freshness != u.Config.Freshness {
		u.before = &old.Config.Freshness
	}
	u.witnesses, u.stats, u.passing, u.messages = old.witnesses, old.stats, old.passing, old.messages
	u.Learned.Inherit(old.Learned)
	if old.Config.Breaker == u.Config.Breaker {
		u.breaker = old.breaker
	}
	if old.Config.MaxInFlight == u.Config.MaxInFlight {
		u.InFlight = old.InFlight
	}
}

// Close ends what is kept open for u; requests under way go on.
func (u *Upstream) Close() {
	u.Transport.Close()
	u.signers.close()
}

// Credential is what Pollux sends for callers of a held upstream, with what the
// caller selects, and what the caller sent otherwise.
func (u *Upstream) Credential(caller providers.Credential) providers.Credential {
	if !u.Held {
		return caller
	}
	held := u.HeldCredential()
	held.Select = caller.Select
	return held
}

// grace is how much longer than reauthorize a partition is served while the
// upstream cannot be asked.
func (u *Upstream) grace() time.Duration {
	if u.Config.ReauthorizeGrace != nil {
		return *u.Config.ReauthorizeGrace
	}
	return u.Config.Reauthorize
}

// BreakerState is "closed", "half-open" or "open".
func (u *Upstream) BreakerState() string { return u.breaker.State() }
