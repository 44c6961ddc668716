package config

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"pollux/cache/postgres"
	"pollux/providers"
	"pollux/providers/strictyaml"
)

// validate returns everything wrong with c as a whole, by key and without place.
func (c *Config) validate(set *providers.Set) strictyaml.Faults {
	names := slices.Sorted(maps.Keys(c.Upstreams))
	faults := c.Config.Validate(names)
	for i, client := range c.Clients {
		if len(client.Upstreams) == 0 {
			faults.Add(fmt.Sprintf("clients[%d].upstreams", i), `want names of upstreams, or "*" for all`)
		}
	}
	poller := c.Poller()
	faults = append(faults, poller.Validate(set)...)
	for _, name := range names {
		base := c.Upstreams[name].BaseURL
		if p := set.Get(c.Upstreams[name].Provider); base == "" && p != nil {
			base = p.BaseURL
		}
		if leadsBack(base, c.Listen, c.PublicURL) {
			faults.Add("upstreams."+name+".base_url", "is the address that Pollux itself listens on")
		}
	}
	if c.Cache.MaxBytes < 1<<20 {
		faults.Add("cache.max_bytes", "want at least 1MiB")
	}
	c.Store.validate(&faults)
	if c.Reload != "signal" && c.Reload != "watch" {
		faults.Add("reload", "want signal or watch")
	}
	c.Log.validate(&faults)
	return faults
}

func (c *Store) validate(faults *strictyaml.Faults) {
	switch {
	case !slices.Contains([]string{"sqlite", "postgres", "none"}, c.Driver):
		faults.Add("store.driver", "want sqlite, postgres or none")
	case c.Driver == "sqlite" && c.Path == "":
		faults.Add("store.path", "want a file name")
	case c.Driver == "postgres" && c.Address == "":
		faults.Add("store.address", "want where the database is, as in ${DATABASE_URL}")
	case c.Driver != "postgres" && c.Address != "":
		faults.Add("store.address", "is for driver: postgres")
	}
	if !slices.Contains([]string{postgres.NotifyAuto, postgres.NotifyListen, postgres.NotifyTable}, c.Notify) {
		faults.Add("store.notify", "want auto, listen or table")
	}
}

func (c *Log) validate(faults *strictyaml.Faults) {
	if _, ok := logLevels[c.Level]; !ok {
		faults.Add("log.level", "want debug, info, warn or error")
	}
	if c.Format != "text" && c.Format != "json" {
		faults.Add("log.format", "want text or json")
	}
}

// leadsBack reports whether requests to base would reach our own listener: an
// upstream like that answers every poll with another one.
func leadsBack(base, listen, publicURL string) bool {
	b, err := url.Parse(base)
	if err != nil || b.Hostname() == "" {
		return false
	}
	if public, err := url.Parse(publicURL); err == nil && public.Host != "" &&
		strings.EqualFold(b.Hostname(), public.Hostname()) && portOf(b) == portOf(public) {
		return true
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port != portOf(b) || port == "0" {
		return false
	}
	us, them := loopbackAddr(host), loopbackAddr(b.Hostname())
	switch {
	case host == "", us.IsUnspecified():
		return them.IsLoopback() || them.IsUnspecified()
	case us.IsLoopback():
		return us == them || them.IsUnspecified() || localhost(host) && them.IsLoopback() || localhost(b.Hostname())
	}
	return strings.EqualFold(host, b.Hostname()) || us.IsValid() && us == them
}

func localhost(host string) bool { return strings.EqualFold(host, "localhost") }

// loopbackAddr is host as an address; localhost counts as one. Other names give
// the zero address: nothing is resolved here.
func loopbackAddr(host string) netip.Addr {
	if localhost(host) {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	addr, _ := netip.ParseAddr(host)
	return addr.Unmap()
}

func portOf(u *url.URL) string {
	return cmp.Or(u.Port(), map[string]string{"https": "443"}[u.Scheme], "80")
}
