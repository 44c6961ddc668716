package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"pollux/cmd/pollux/config"
	"pollux/cmd/pollux/console"
)

func serveCommand(ctx context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("serve", `Runs the proxy until it is told to end. SIGTERM or Ctrl-C lets clients get their
answers first, a second one ends it at once. SIGHUP reads the config and the
provider files again, with reload: watch every change of them does; if anything
is wrong with them, nothing changes.
Without a config it listens on 127.0.0.1:8080, with an upstream for every
built-in provider that says where it is.`,
		"pollux serve",
		"pollux serve --config /etc/pollux/config.yaml")
	file := configFlag(fs)
	allowEmpty := fs.Bool("allow-empty-config", false, `take a config file without any key, and let a reload drop all clients:
while others than this machine can connect`)
	if _, code, done := t.Parse(fs, args, 0); done {
		return code
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	src := config.Source{File: *file, Env: t.Env, AllowEmpty: *allowEmpty}
	l, err := src.LoadUntil(ctx, nil, func() {})
	if err != nil {
		fmt.Fprintln(t.Stderr, err)
		return exitFailure
	}
	src.File = l.File // a reload must not take its absence for the defaults
	log := newLogger(t.Stderr, l.Log, l.Secrets())
	for _, warning := range l.Warnings {
		log.Warn(warning)
	}
	config.LimitMemory(l.Cache.MaxBytes, t.Env)
	s, err := newService(ctx, l, log, t.Env)
	if err != nil {
		return t.Fail("serve", err)
	}
	if err := s.serve(ctx, src, hangups); err != nil {
		return t.Fail("serve", err)
	}
	return exitOK
}

// serve runs s on its configured address, and reloads src on a hangup.
func (s *service) serve(ctx context.Context, src config.Source, hangups chan os.Signal) (err error) {
	defer func() {
		err = errors.Join(err, s.close())
		s.log.leftOut()
		if err == nil {
			s.log.Info("stopped")
		}
	}()
	ln, err := s.server.Listen()
	if err != nil {
		return err
	}
	s.announce(src.File, ln.Addr())
	var reloads sync.WaitGroup
	defer reloads.Wait()
	serving, stop := context.WithCancel(ctx)
	defer stop()
	reloads.Go(func() { s.roots.Keep(serving.Done(), "reloads", func() { s.reloads(serving, src, hangups) }) })
	reloads.Go(func() {
		s.roots.Keep(serving.Done(), "watch of files", func() { config.Watch(serving, func() []string { return *s.watched.Load() }, hangups, s.log.Logger) })
	})
	return s.run(ctx, ln)
}

// announce says in the log what is about to serve, and where.
func (s *service) announce(file string, at net.Addr) {
	if file == "" {
		file = "none: the defaults"
	}
	store := s.config.Store.Driver
	if store == "sqlite" {
		store += " " + s.config.Store.Path
	}
	v, revision := buildVersion()
	s.log.Info("pollux starts", "version", v, "commit", revision, "config", file,
		"upstreams", strings.Join(slices.Sorted(maps.Keys(s.config.Upstreams)), " "), "store", store, "address", at.String())
}
