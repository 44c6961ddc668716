package proxy

import (
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"

	"pollux/providers/format"
	"pollux/providers/strictyaml"
	"pollux/proxy/access"
	"pollux/proxy/edge"
	"pollux/proxy/wire"
)

// Validate returns every fault of c. Upstreams are the names that the
// configuration defines; nil leaves the names in clients unchecked.
func (c *Config) Validate(upstreams []string) strictyaml.Faults {
	v := validation{upstreams: upstreams}
	v.listen(c)
	v.publicURL(c.PublicURL)
	v.door(c)
	v.clients(c.Clients)
	v.limits(&c.Limits)
	return append(v.Faults, c.Webhooks.Validate().Below("webhooks")...)
}

type validation struct {
	strictyaml.Faults
	upstreams []string
}

func (v *validation) listen(c *Config) {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		v.Add("listen", "want host:port, such as 127.0.0.1:8080")
		return
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		v.Add("listen", "want a port from 0 to 65535")
	}
	if len(c.Clients) == 0 && !c.AllowAnonymous && !wire.LoopbackHost(host) {
		v.Add("listen", "want a loopback address while there are no clients: add clients, or set allow_anonymous")
	}
}

// door checks what connections go through before HTTP.
func (v *validation) door(c *Config) {
	for i, network := range c.TrustedProxies {
		if _, err := edge.ParseTrusted(network); err != nil {
			v.Add(fmt.Sprintf("trusted_proxies[%d]", i), "%v", err)
		}
	}
	if c.TLS == nil {
		return
	}
	if c.TLS.Cert == "" || c.TLS.Key == "" {
		v.Add("tls", "want cert and key, both files in PEM")
		return
	}
	_, err := edge.NewTLS(*c.TLS, slog.New(slog.DiscardHandler))
	for _, wrong := range edge.FileErrors(err) {
		v.Add("tls."+wrong.Key, "%v", wrong.Err)
	}
}

func (v *validation) publicURL(s string) {
	if s == "" {
		return
	}
	if _, err := format.ParseBaseURL(s); err != nil {
		v.Add("public_url", "%v", err)
	}
}

func (v *validation) clients(clients []access.ClientConfig) {
	names, keys := map[string]bool{}, map[access.KeyHash]bool{}
	for i := range clients {
		c := &clients[i]
		at := "clients[" + strconv.Itoa(i) + "]"
		switch {
		case c.Name == "":
			v.Add(at+".name", "want a name")
		case names[c.Name]:
			v.Add(at+".name", "is used twice")
		}
		names[c.Name] = true
		switch hash, err := access.ParseKey(string(c.Key)); {
		case err != nil:
			v.Add(at+".key", "%v", err)
		case keys[hash]:
			v.Add(at+".key", "is used twice")
		default:
			keys[hash] = true
		}
		known := strings.Join(access.Scopes, ", ")
		v.Want(len(c.Scopes) > 0, at+".scopes", "at least one of %s", known)
		for j, scope := range c.Scopes {
			v.Want(slices.Contains(access.Scopes, scope), fmt.Sprintf("%s.scopes[%d]", at, j), "one of %s", known)
		}
		for j, name := range c.Upstreams {
			if name != "*" && v.upstreams != nil && !slices.Contains(v.upstreams, name) {
				v.Add(fmt.Sprintf("%s.upstreams[%d]", at, j), "names no upstream")
			}
		}
	}
}

func (v *validation) limits(l *wire.Limits) {
	for _, n := range []struct {
		key   string
		value int
	}{
		{"connections", l.Connections}, {"connections_per_ip", l.ConnectionsPerIP},
		{"misses_per_partition.burst", l.MissesPerPartition.Burst}, {"batch", l.Batch},
		{"streams", l.Streams}, {"streams_per_partition", l.StreamsPerPartition},
		{"waits_per_partition", l.WaitsPerPartition}, {"watched_tasks", l.WatchedTasks},
	} {
		v.Want(n.value >= 1, "limits."+n.key, "at least 1")
	}
	v.Want(l.MissesPerPartition.PerSecond > 0, "limits.misses_per_partition.per_second", "more than 0")
	v.Want(l.Wait > 0, "limits.wait", "a duration such as 60s")
	v.Want(l.RequestHeaderBytes >= 4<<10 && l.RequestHeaderBytes <= 1<<20, "limits.request_header_bytes", "4KiB to 1MiB")
}
