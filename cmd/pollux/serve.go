package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"pollux/cmd/pollux/console"
	"pollux/providers/strictyaml"
)

func serveCommand(ctx context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("serve", `Runs the proxy until it is told to end. SIGTERM or Ctrl-C lets clients get their
answers first, a second one ends it at once. SIGHUP reads the config and the
provider files again; if anything is wrong with them, nothing changes.
Without a config it listens on 127.0.0.1:8080, with an upstream for every
built-in provider that says where it is.`,
		"pollux serve",
		"pollux serve --config /etc/pollux/config.yaml")
	file := configFlag(fs)
	if _, code, done := t.Parse(fs, args, 0); done {
		return code
	}
	l, err := load(*file, t.Env)
	if err != nil {
		fmt.Fprintln(t.Stderr, err)
		return exitFailure
	}
	log := newLogger(t.Stderr, l.Log, l.secrets())
	for _, warning := range l.Warnings {
		log.Warn(warning)
	}
	limitMemory(l.Cache.MaxBytes, t.Env)
	s, err := newService(ctx, l, log, t.Env)
	if err != nil {
		return t.Fail("serve", err)
	}
	if err := s.serve(ctx, *file, t.Env); err != nil {
		return t.Fail("serve", err)
	}
	return exitOK
}

// serve runs s on its configured address, and reloads on SIGHUP.
func (s *service) serve(ctx context.Context, file string, env func(string) (string, bool)) (err error) {
	defer func() { err = errors.Join(err, s.close()) }()
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	ln, err := s.server.Listen()
	if err != nil {
		return err
	}
	var reloads sync.WaitGroup
	defer reloads.Wait()
	serving, stop := context.WithCancel(ctx)
	defer stop()
	reloads.Go(func() {
		for {
			select {
			case <-serving.Done():
				return
			case <-hangups:
				s.reloadFile(file, env)
			}
		}
	})
	return s.run(ctx, ln)
}

// reloadFile reads the configuration again, and says in log and metrics what
// came of it.
func (s *service) reloadFile(file string, env func(string) (string, bool)) {
	l, err := load(file, env)
	if err == nil {
		err = s.reload(l)
	}
	s.metrics.reloaded(err == nil)
	if err == nil {
		for _, warning := range l.Warnings {
			s.log.Warn(warning)
		}
		s.log.Info("configuration reloaded", "upstreams", len(l.Upstreams))
		return
	}
	if faults, ok := errors.AsType[strictyaml.Faults](err); ok {
		for _, fault := range faults {
			s.log.Error("configuration not reloaded", "fault", fault.Error())
		}
		return
	}
	s.log.Error("configuration not reloaded", "err", err)
}
