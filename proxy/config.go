// Package proxy is the HTTP face of Pollux: the strict request check, routes,
// callers and their partitions, rendering, problems.
package proxy

import (
	"time"

	"pollux/providers/strictyaml"
	"pollux/proxy/webhooks"
)

// Config is what the HTTP face needs to know. DefaultConfig fills it before
// the file is decoded.
type Config struct {
	Listen         string         `yaml:"listen"`     // address; a change needs a restart
	PublicURL      string         `yaml:"public_url"` // for links; "" makes them relative
	Clients        []ClientConfig `yaml:"clients"`
	AllowAnonymous bool           `yaml:"allow_anonymous"`
	Limits         LimitsConfig   `yaml:"limits"`

	Webhooks webhooks.Config `yaml:"webhooks"`
}

// ClientConfig is one holder of a Pollux key.
type ClientConfig struct {
	Name      string   `yaml:"name"`
	Key       string   `yaml:"key"`       // the key, or its hash as printed by "pollux key new"; never printed
	Upstreams []string `yaml:"upstreams"` // names, or "*"
	Scopes    []string `yaml:"scopes"`    // read, submit, fleet, webhooks, purge
}

// LimitsConfig bounds what callers can take. None may be zero.
type LimitsConfig struct {
	Connections         int              `yaml:"connections"`
	ConnectionsPerIP    int              `yaml:"connections_per_ip"` // per /64 for IPv6
	MissesPerPartition  RateConfig       `yaml:"misses_per_partition"`
	Wait                time.Duration    `yaml:"wait"`  // longest Prefer: wait
	Batch               int              `yaml:"batch"` // references in one batch
	Streams             int              `yaml:"streams"`
	StreamsPerPartition int              `yaml:"streams_per_partition"`
	WaitsPerPartition   int              `yaml:"waits_per_partition"`
	WatchedTasks        int              `yaml:"watched_tasks"`
	RequestHeaderBytes  strictyaml.Bytes `yaml:"request_header_bytes"`
}

// RateConfig is a token bucket.
type RateConfig struct {
	PerSecond float64 `yaml:"per_second"`
	Burst     int     `yaml:"burst"`
}

// DefaultConfig is what holds where the file is silent.
func DefaultConfig() Config {
	return Config{
		Listen: "127.0.0.1:8080",
		Limits: LimitsConfig{
			Connections: 20000, ConnectionsPerIP: 2000,
			MissesPerPartition: RateConfig{PerSecond: 1000, Burst: 10000},
			Wait:               time.Minute, Batch: 1000,
			Streams: 20000, StreamsPerPartition: 5000, WaitsPerPartition: 5000,
			WatchedTasks:       100000,
			RequestHeaderBytes: 16 << 10,
		},
		Webhooks: webhooks.DefaultConfig(),
	}
}
