package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"pollux/providers/strictyaml"
	"pollux/proxy/roots"
	"pollux/proxy/wire"
)

// readTime is how long a reload may take to read its files. A mount that hangs
// is given up then.
const readTime = 10 * time.Second

// reloads reads src again on every hangup until ctx ends.
func (s *service) reloads(ctx context.Context, src source, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			s.reload(ctx, src)
		}
	}
}

// reload puts what src says now in force, all of it or nothing, and says in log
// and metrics what came of it.
func (s *service) reload(ctx context.Context, src source) {
	reading, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	var l *loaded
	err := errors.New("the files of the reload before are still being read")
	if s.reading.CompareAndSwap(false, true) {
		config := s.config // a read that was given up may still look at it
		l, err = src.loadUntil(reading, &config, func() { s.reading.Store(false) })
	}
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		err = s.use(l)
	}
	s.metrics.reloaded(err == nil)
	if faults, ok := errors.AsType[strictyaml.Faults](err); ok {
		for _, fault := range faults {
			s.log.Error("configuration not reloaded", "fault", fault.Error())
		}
	} else if err != nil {
		s.log.Error("configuration not reloaded", "err", err)
	}
}

// use builds everything that l needs, and then puts it in force.
func (s *service) use(l *loaded) error {
	upstreams, useUpstreams, err := s.poller.Prepare(l.pollerConfig(), l.Providers)
	if err != nil {
		return err
	}
	useSettings, err := s.server.Prepare(l.Config.Config, upstreams)
	if err != nil {
		return err
	}
	changed := changedKeys(&s.config, &l.Config)
	useUpstreams()
	useSettings()
	s.log.configure(l.Log, slices.Concat(s.config.secrets(), l.secrets())) // requests under way may still name the old ones
	s.config = l.Config
	s.watch(l)
	for _, warning := range l.Warnings {
		s.log.Warn(warning)
	}
	for _, key := range l.Restart {
		s.log.Warn("a change needs a restart", "key", key)
	}
	s.log.Info("configuration reloaded", "upstreams", len(l.Upstreams), "changed", strings.Join(changed, " "))
	return nil
}

// watch says which files l came from, if their changes are to be noticed.
func (s *service) watch(l *loaded) {
	var paths []string
	if l.Reload == "watch" && l.File != "" {
		paths = append(paths, l.File)
		if l.ProviderDir != "" {
			paths = append(paths, l.ProviderDir)
		}
	}
	s.watched.Store(&paths)
}

// loadUntil is load, given up when ctx ends: what a file system never answers
// to goes on waiting, and holds up nobody.
// It calls ended once nothing reads any more.
func (src source) loadUntil(ctx context.Context, running *Config, ended func()) (*loaded, error) {
	type result struct {
		loaded *loaded
		err    error
	}
	done := make(chan result, 1)
	go func() {
		defer ended()
		defer func() {
			if v := recover(); v != nil {
				done <- result{err: errors.New("panic while the files were read: " + roots.Said(v))}
			}
		}()
		l, err := src.load(running)
		done <- result{l, err}
	}()
	select {
	case r := <-done:
		return r.loaded, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("read the files: %w", ctx.Err())
	}
}

// restartKeys are those that only a start can set, by prefix.
var restartKeys = []string{"listen", "limits.request_header_bytes", "cache", "store", "log.format"}

// fit makes l what the running process can turn into: what needs a restart stays
// as it is. It returns what is wrong with that, although the file by itself is
// right.
func (l *loaded) fit(running *Config, root *strictyaml.Node, allowEmpty bool) strictyaml.Faults {
	for _, key := range changedKeys(running, &l.Config) {
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
