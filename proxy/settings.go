package proxy

import (
	"errors"
	"net"
	"strings"

	"pollux/cache"
	"pollux/proxy/access"
	"pollux/proxy/poller"
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
}

// prepare returns settings for a configuration whose clients may name any of
// the given upstreams. The error joins every fault.
func prepare(c Config, upstreams []*poller.Upstream, engine access.Partitions, secret *cache.Secret) (*settings, error) {
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
	st := &settings{Config: c, wire: wire.Settings{
		Limits:    c.Limits,
		Strict:    wire.NewStrictness(c.PublicURL, host, access.IdentityNames(upstreams)),
		PublicURL: strings.TrimRight(c.PublicURL, "/"),
	}}
	if st.access, err = access.NewRules(c.Clients, upstreams, &st.wire.Strict, engine, secret); err != nil {
		return nil, err
	}
	st.webhooks = webhooks.Prepare(c.Webhooks, c.Limits.WatchedTasks, st.wire.PublicURL, st.access)
	st.Clients = nil // only hashes are kept
	return st, nil
}
