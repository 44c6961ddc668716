// Package proxy is the server of Pollux: routes to its faces (tasks, native,
// fleet, webhooks), configuration, lifecycle, metrics, the OpenAPI description.
package proxy

import (
	"time"

	"pollux/proxy/access"
	"pollux/proxy/edge"
	"pollux/proxy/webhooks"
	"pollux/proxy/wire"
)

// Config is what the HTTP face needs to know. DefaultConfig fills it before
// the file is decoded.
type Config struct {
	Listen         string                `yaml:"listen"`     // address; a change needs a restart
	PublicURL      string                `yaml:"public_url"` // for links; "" makes them relative
	Clients        []access.ClientConfig `yaml:"clients"`
	AllowAnonymous bool                  `yaml:"allow_anonymous"`
	// TLS makes the listener speak TLS; nil means plain.
	TLS *edge.TLSConfig `yaml:"tls"`
	// TrustedProxies are networks (CIDR) whose PROXY protocol headers and
	// X-Forwarded-For are believed, for limits per address.
	TrustedProxies []string    `yaml:"trusted_proxies"`
	Limits         wire.Limits `yaml:"limits"`

	Webhooks webhooks.Config `yaml:"webhooks"`
}

// DefaultConfig is what holds where the file is silent.
func DefaultConfig() Config {
	return Config{
		Listen: "127.0.0.1:8080",
		Limits: wire.Limits{
			Connections: 20000, ConnectionsPerIP: 2000,
			MissesPerPartition: wire.Rate{PerSecond: 1000, Burst: 10000},
			Wait:               time.Minute, Batch: 1000,
			Streams: 20000, StreamsPerPartition: 5000, WaitsPerPartition: 5000,
			WatchedTasks:       100000,
			RequestHeaderBytes: 16 << 10,
		},
		Webhooks: webhooks.DefaultConfig(),
	}
}
