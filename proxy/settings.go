package proxy

import (
	"errors"
	"net"
	"slices"
	"strings"

	"pollux/cache"
	"pollux/proxy/poller"
	"pollux/proxy/webhooks"
)

// settings is one configuration, prepared. It is immutable; a reload swaps it
// whole, and requests under way finish on the one they started with.
type settings struct {
	Config
	strict    strictness
	secret    *cache.Secret
	publicURL string // without a slash at its end
	clients   []client
	targets   map[string]*target // by name
	sorted    []*target          // the same, by name
	webhooks  *webhooks.Settings
}

// prepare returns settings for a configuration whose clients may name any of
// the given upstreams. The error joins every fault.
func prepare(c Config, upstreams []*poller.Upstream, secret *cache.Secret) (*settings, error) {
	names := make([]string, len(upstreams))
	for i, u := range upstreams {
		names[i] = u.Name
	}
	if faults := c.Validate(names); len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, err
	}
	st := &settings{
		Config:    c,
		secret:    secret,
		strict:    newStrictness(&c, host, identityNames(upstreams)),
		publicURL: strings.TrimRight(c.PublicURL, "/"),
		targets:   make(map[string]*target, len(upstreams)),
	}
	st.webhooks = webhooks.Prepare(c.Webhooks, c.Limits.WatchedTasks, st.publicURL)
	for i := range c.Clients {
		cl, err := newClient(&c.Clients[i])
		if err != nil {
			return nil, err
		}
		st.clients = append(st.clients, cl)
	}
	st.Clients = nil // only hashes are kept
	for _, u := range upstreams {
		t := newTarget(u, st.keyed())
		st.targets[u.Name] = t
		st.sorted = append(st.sorted, t)
	}
	return st, nil
}

// keyed reports whether callers need a Pollux key.
func (st *settings) keyed() bool { return len(st.clients) > 0 }

// target returns the upstream of that name, nil if there is none. Requests look
// upstreams up here and never in the engine, where a reload may be further.
func (st *settings) target(name []byte) *target { return st.targets[string(name)] }

// identityParam reports whether an upstream takes its credential in that query
// parameter.
func (st *settings) identityParam(name string) bool {
	return slices.ContainsFunc(st.sorted, func(t *target) bool { return slices.Contains(t.Provider.Identity.Query, name) })
}

// upstreams are all of them, sorted by name.
func (st *settings) upstreams() []*poller.Upstream {
	all := make([]*poller.Upstream, len(st.sorted))
	for i, t := range st.sorted {
		all[i] = t.Upstream
	}
	return all
}

// client is one holder of a Pollux key.
type client struct {
	name      string
	hash      keyHash
	upstreams []string
	any       bool // every upstream
	scopes    []string
}

func newClient(c *ClientConfig) (client, error) {
	hash, err := parseKey(c.Key)
	if err != nil {
		return client{}, err
	}
	return client{
		name: c.Name, hash: hash, scopes: slices.Clone(c.Scopes),
		upstreams: slices.Clone(c.Upstreams), any: slices.Contains(c.Upstreams, "*"),
	}, nil
}

func (c *client) has(scope string) bool { return slices.Contains(c.scopes, scope) }

func (c *client) may(upstream string) bool { return c.any || slices.Contains(c.upstreams, upstream) }
