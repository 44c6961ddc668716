package proxy

import (
	"errors"
	"net"
	"slices"
	"strings"

	"pollux/cache"
	"pollux/proxy/poller"
)

// settings is one configuration, prepared. It is immutable; a reload swaps it
// whole, and requests under way finish on the one they started with.
type settings struct {
	Config
	strict    strictness
	secret    *cache.Secret
	publicURL string // without a slash at its end
	clients   []client
	targets   map[*poller.Upstream]*target
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
		targets:   make(map[*poller.Upstream]*target, len(upstreams)),
	}
	for i := range c.Clients {
		cl, err := newClient(&c.Clients[i])
		if err != nil {
			return nil, err
		}
		st.clients = append(st.clients, cl)
	}
	st.Clients = nil // only hashes are kept
	for _, u := range upstreams {
		st.targets[u] = newTarget(u, st.keyed())
	}
	return st, nil
}

// keyed reports whether callers need a Pollux key.
func (st *settings) keyed() bool { return len(st.clients) > 0 }

// target returns what is prepared for u. Between a reload of the poller and
// ours an upstream may be new: then it is prepared for this request alone.
func (st *settings) target(u *poller.Upstream) *target {
	if t := st.targets[u]; t != nil {
		return t
	}
	return newTarget(u, st.keyed())
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
