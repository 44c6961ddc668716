package proxy

import (
	"log/slog"
	"net"
	"strings"

	"pollux/cache"
	"pollux/proxy/access"
	"pollux/proxy/edge"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/webhooks"
	"pollux/proxy/wire"
)

// settings is one configuration, prepared. It is immutable; a reload swaps it
// whole, and requests under way finish on the one they started with.
type settings struct {
	Config
	wire     wire.Settings
	access   *access.Rules
	webhooks *webhooks.Settings
	door     *wire.Door
}

// prepare returns settings for a configuration whose clients may name any of
// the given upstreams. The error is every fault.
func prepare(c Config, upstreams []*upstream.Upstream, engine access.Partitions, secret *cache.Secret, log *slog.Logger) (*settings, error) {
	names := make([]string, len(upstreams))
	for i, u := range upstreams {
		names[i] = u.Name
	}
	if err := c.Validate(names).Err(); err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, err
	}
	st := &settings{Config: c, wire: wire.Settings{
		Limits:    c.Limits,
		Strict:    wire.NewStrictness(c.PublicURL, host, access.IdentityNames(upstreams)),
		PublicURL: strings.TrimRight(c.PublicURL, "/"),
	}}
	if st.access, err = access.NewRules(c.Clients, upstreams, &st.wire.Strict, engine, secret); err != nil {
		return nil, err
	}
	st.webhooks = webhooks.Prepare(c.Webhooks, c.Limits.WatchedTasks, st.wire.PublicURL, st.access)
	if st.door, err = openDoor(&c, log); err != nil {
		return nil, err
	}
	st.wire.Trusted, st.wire.Secure = st.door.Trusted, c.TLS != nil || strings.HasPrefix(c.PublicURL, "https:")
	st.Clients = nil // only hashes are kept
	return st, nil
}

// openDoor reads what connections go through before HTTP.
func openDoor(c *Config, log *slog.Logger) (*wire.Door, error) {
	door := &wire.Door{}
	for _, network := range c.TrustedProxies {
		prefix, err := edge.ParseTrusted(network)
		if err != nil {
			return nil, err
		}
		door.Trusted = append(door.Trusted, prefix)
	}
	if c.TLS == nil {
		return door, nil
	}
	var err error
	door.TLS, err = edge.NewTLS(*c.TLS, log)
	return door, err
}
