package config

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"pollux/providers/strictyaml"
	"pollux/proxy/roots"
	"pollux/proxy/wire"
)

// LoadUntil is Load, given up when ctx ends: what a file system never answers
// to goes on waiting, and holds up nobody.
// It calls ended once nothing reads any more.
func (src Source) LoadUntil(ctx context.Context, running *Config, ended func()) (*Loaded, error) {
	type result struct {
		Loaded *Loaded
		err    error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if v := recover(); v != nil {
				r = result{err: errors.New("panic while the files were read: " + roots.Said(v))}
			}
			ended() // before the caller knows, who may begin the next one at once
			done <- r
		}()
		r.Loaded, r.err = src.Load(running)
	}()
	select {
	case r := <-done:
		return r.Loaded, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("read the files: %w", ctx.Err())
	}
}

// restartKeys are those that only a start can set, by prefix.
var restartKeys = []string{"listen", "limits.request_header_bytes", "cache", "store", "log.format"}

// fit makes l what the running process can turn into: what needs a restart stays
// as it is. It returns what is wrong with that, although the file by itself is
// right.
func (l *Loaded) fit(running *Config, root *strictyaml.Node, allowEmpty bool) strictyaml.Faults {
	for _, key := range Changed(running, &l.Config) {
		if slices.ContainsFunc(restartKeys, func(k string) bool { return key == k || strings.HasPrefix(key, k+".") }) {
			l.Restart = append(l.Restart, key)
		}
	}
	l.Listen, l.Limits.RequestHeaderBytes = running.Listen, running.Limits.RequestHeaderBytes
	l.Cache, l.Store, l.Log.Format = running.Cache, running.Store, running.Log.Format
	faults := l.check(nil, root)
	if len(running.Clients) > 0 && len(l.Clients) == 0 && !reachableOnlyHere(l.Listen) && !allowEmpty {
		faults = place(faults, strictyaml.Faults{{Key: "clients",
			Message: "would let everybody in: a reload drops all clients only on a loopback address, or with --allow-empty-config"}}, root)
	}
	if slices.Contains(l.Restart, "listen") {
		for i := range faults {
			faults[i].Message += " (the process listens on " + running.Listen + " until a restart)"
		}
	}
	return faults
}

// reachableOnlyHere reports whether only this machine can connect to an address
// to listen on.
func reachableOnlyHere(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	return wire.LoopbackHost(host)
}
