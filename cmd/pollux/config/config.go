// Package config is config.yaml: what it may hold, reading and checking it with
// the provider files that it names, what a reload may change of it, and noticing
// that it has changed.
package config

import (
	"log/slog"
	"strings"
	"time"

	"pollux/cache/postgres"
	"pollux/providers"
	"pollux/providers/strictyaml"
	"pollux/proxy"
	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
)

// Config is the whole of config.yaml: the sum of what the rooms need to know.
type Config struct {
	proxy.Config
	Cache       Cache                      `yaml:"cache"`
	Store       Store                      `yaml:"store"` // a change needs a restart
	ProviderDir string                     `yaml:"provider_dir"`
	Reload      string                     `yaml:"reload"` // signal | watch: when files are read again, beside SIGHUP
	Upstreams   map[string]upstream.Config `yaml:"upstreams"`
	Log         Log                        `yaml:"log"`
}

// Cache is the memory tier.
type Cache struct {
	// MaxBytes is what all entries may weigh. When left out, a quarter of the
	// memory that the container may use, at most 256MiB. A change needs a restart.
	MaxBytes strictyaml.Bytes `yaml:"max_bytes"`
}

// Store is the durable tier.
type Store struct {
	Driver    string            `yaml:"driver"`  // sqlite | postgres | none
	Path      string            `yaml:"path"`    // of the database of sqlite; the store key lies beside it
	Address   strictyaml.Secret `yaml:"address"` // of the database of postgres, with its password
	Notify    string            `yaml:"notify"`  // of postgres: auto | listen | table
	Retention Retention         `yaml:"retention"`
}

// Retention is how long the store keeps a document after it last changed.
// Zero means for ever, written forever.
type Retention time.Duration

// UnmarshalNode reads forever, or a duration such as 720h.
func (r *Retention) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	if n.Scalar() == "forever" {
		*r = 0
		return nil
	}
	d, err := time.ParseDuration(n.Scalar())
	if err != nil || d <= 0 {
		return strictyaml.Faults{n.Fault("want forever, or a duration such as 720h")}
	}
	*r = Retention(d)
	return nil
}

// Log says what is logged and how.
type Log struct {
	Level  string `yaml:"level"`  // debug | info | warn | error
	Format string `yaml:"format"` // text | json
}

var logLevels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// Threshold is the level below which nothing is logged.
func (c Log) Threshold() slog.Level { return logLevels[c.Level] }

// Default is what holds where the file is silent, upstreams excepted.
func Default() Config {
	return Config{
		Config: proxy.DefaultConfig(),
		Cache:  Cache{MaxBytes: defaultCache(usableMemory())},
		Store:  Store{Driver: "sqlite", Path: "pollux.db", Notify: postgres.NotifyAuto},
		Reload: "signal",
		Log:    Log{Level: "info", Format: "text"},
	}
}

// defaultUpstreams is an upstream for every provider that says where it is,
// for those who have not configured any. One that would lead back to ourselves
// is left out.
func defaultUpstreams(set *providers.Set, c *Config) map[string]upstream.Config {
	upstreams := map[string]upstream.Config{}
	for _, p := range set.All() {
		if p.BaseURL == "" || leadsBack(p.BaseURL, c.Listen, c.PublicURL) {
			continue
		}
		u := upstream.DefaultConfig()
		u.Provider = p.Name
		upstreams[p.Name] = u
	}
	return upstreams
}

// Poller is the poller's part of c.
func (c *Config) Poller() poller.Config {
	return poller.Config{
		Upstreams:       c.Upstreams,
		MissesPerSecond: c.Limits.MissesPerPartition.PerSecond,
		WatchedTasks:    c.Limits.WatchedTasks,
		MissesBurst:     c.Limits.MissesPerPartition.Burst,
	}
}

// Secrets is every credential in c, so that logs can leave them out.
func (c *Config) Secrets() []string {
	var all []string
	for _, client := range c.Clients {
		all = append(all, string(client.Key))
	}
	for _, u := range c.Upstreams {
		all = append(append(all, string(u.Credential.Value)), u.Proxy.Secrets()...)
		if u.Inbound != nil {
			all = append(all, string(u.Inbound.Secret))
		}
		for _, value := range u.Credential.Headers {
			_, token, _ := strings.Cut(string(value), " ") // after a scheme
			all = append(all, string(value), token)
		}
		if c := u.Credential.OAuth2; c != nil {
			all = append(all, string(c.ClientSecret))
		}
	}
	all = append(all, c.Webhooks.Proxy.Secrets()...)
	if password := postgres.Password(string(c.Store.Address)); password != "" {
		all = append(all, string(c.Store.Address), password)
	}
	return all
}
