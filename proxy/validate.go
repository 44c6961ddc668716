package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"

	"pollux/providers/format"
	"pollux/proxy/access"
	"pollux/proxy/edge"
	"pollux/proxy/wire"
)

// KeyError is one fault of a Config. Its text never holds a value that could
// be secret.
type KeyError struct {
	Key     string // dotted, as in "clients[0].scopes"
	Message string // lower case, no full stop
}

func (e *KeyError) Error() string { return e.Key + ": " + e.Message }

// Validate returns every fault of c as a *KeyError. Upstreams are the names
// that the configuration defines; nil leaves the names in clients unchecked.
func (c *Config) Validate(upstreams []string) []error {
	v := validation{upstreams: upstreams}
	v.listen(c)
	v.publicURL(c.PublicURL)
	v.door(c)
	v.clients(c.Clients)
	v.limits(&c.Limits)
	c.Webhooks.Validate(func(key, format string, args ...any) { v.fault("webhooks."+key, format, args...) })
	return v.faults
}

type validation struct {
	upstreams []string
	faults    []error
}

func (v *validation) fault(key, format string, args ...any) {
	v.faults = append(v.faults, &KeyError{Key: key, Message: fmt.Sprintf(format, args...)})
}

func (v *validation) listen(c *Config) {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		v.fault("listen", "want host:port, such as 127.0.0.1:8080")
		return
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		v.fault("listen", "want a port from 0 to 65535")
	}
	if len(c.Clients) == 0 && !c.AllowAnonymous && !wire.LoopbackHost(host) {
		v.fault("listen", "want a loopback address while there are no clients: add clients, or set allow_anonymous")
	}
}

// door checks what connections go through before HTTP.
func (v *validation) door(c *Config) {
	for i, network := range c.TrustedProxies {
		if _, err := edge.ParseTrusted(network); err != nil {
			v.fault(fmt.Sprintf("trusted_proxies[%d]", i), "%v", err)
		}
	}
	if c.TLS == nil {
		return
	}
	if c.TLS.Cert == "" || c.TLS.Key == "" {
		v.fault("tls", "want cert and key, both files in PEM")
		return
	}
	_, err := edge.NewTLS(*c.TLS, slog.New(slog.DiscardHandler))
	if wrong, ok := errors.AsType[*edge.FileError](err); ok {
		v.fault("tls."+wrong.Key, "%v", wrong.Err)
	} else if err != nil {
		v.fault("tls", "%v", err)
	}
}

func (v *validation) publicURL(s string) {
	if s == "" {
		return
	}
	if _, err := format.ParseBaseURL(s); err != nil {
		v.fault("public_url", "%v", err)
	}
}

func (v *validation) clients(clients []access.ClientConfig) {
	names, keys := map[string]bool{}, map[access.KeyHash]bool{}
	for i := range clients {
		c := &clients[i]
		at := "clients[" + strconv.Itoa(i) + "]"
		switch {
		case c.Name == "":
			v.fault(at+".name", "want a name")
		case names[c.Name]:
			v.fault(at+".name", "is used twice")
		}
		names[c.Name] = true
		switch hash, err := access.ParseKey(c.Key); {
		case err != nil:
			v.fault(at+".key", "%v", err)
		case keys[hash]:
			v.fault(at+".key", "is used twice")
		default:
			keys[hash] = true
		}
		if len(c.Scopes) == 0 {
			v.fault(at+".scopes", "want at least one of %s", strings.Join(access.Scopes, ", "))
		}
		for j, scope := range c.Scopes {
			if !slices.Contains(access.Scopes, scope) {
				v.fault(fmt.Sprintf("%s.scopes[%d]", at, j), "want one of %s", strings.Join(access.Scopes, ", "))
			}
		}
		for j, name := range c.Upstreams {
			if name != "*" && v.upstreams != nil && !slices.Contains(v.upstreams, name) {
				v.fault(fmt.Sprintf("%s.upstreams[%d]", at, j), "names no upstream")
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
		if n.value <= 0 {
			v.fault("limits."+n.key, "want at least 1")
		}
	}
	if !(l.MissesPerPartition.PerSecond > 0) {
		v.fault("limits.misses_per_partition.per_second", "want more than 0")
	}
	if l.Wait <= 0 {
		v.fault("limits.wait", "want a duration such as 60s")
	}
	if l.RequestHeaderBytes < 4<<10 || l.RequestHeaderBytes > 1<<20 {
		v.fault("limits.request_header_bytes", "want 4KiB to 1MiB")
	}
}
