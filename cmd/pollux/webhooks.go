package main

import (
	"net/netip"

	"pollux/cache"
	"pollux/proxy/webhooks"
)

// prepared is c as deliveries take it. c has been validated.
func (c *WebhooksConfig) prepared() webhooks.Config {
	out := webhooks.Config{Timeout: c.Timeout, GiveUpAfter: c.GiveUpAfter}
	for _, network := range c.AllowNetworks {
		if p, err := netip.ParsePrefix(network); err == nil {
			out.AllowNetworks = append(out.AllowNetworks, p)
		}
	}
	return out
}

// outboxOf is the outbox of a store, or one that ends with the process if the
// store has none.
func outboxOf(store cache.Store) cache.Outbox {
	if outbox, ok := store.(cache.Outbox); ok {
		return outbox
	}
	return new(cache.MemoryOutbox)
}
