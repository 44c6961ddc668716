package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"pollux/cmd/pollux/config"
	"pollux/providers/strictyaml"
)

// readTime is how long a reload may take to read its files. A mount that hangs
// is given up then.
const readTime = 10 * time.Second

// reloads reads src again on every hangup until ctx ends.
func (s *service) reloads(ctx context.Context, src config.Source, hangups <-chan os.Signal) {
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
func (s *service) reload(ctx context.Context, src config.Source) {
	reading, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	var l *config.Loaded
	err := errors.New("the files of the reload before are still being read")
	if s.reading.CompareAndSwap(false, true) {
		running := s.config // a read that was given up may still look at it
		l, err = src.LoadUntil(reading, &running, func() { s.reading.Store(false) })
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
func (s *service) use(l *config.Loaded) error {
	upstreams, useUpstreams, err := s.poller.Prepare(l.Poller(), l.Providers)
	if err != nil {
		return err
	}
	useSettings, err := s.server.Prepare(l.Config.Config, upstreams)
	if err != nil {
		return err
	}
	changed := config.Changed(&s.config, &l.Config)
	useUpstreams()
	useSettings()
	s.log.configure(l.Log, slices.Concat(s.config.Secrets(), l.Secrets())) // requests under way may still name the old ones
	s.config = l.Config
	paths := l.Watched()
	s.watched.Store(&paths)
	for _, warning := range l.Warnings {
		s.log.Warn(warning)
	}
	for _, key := range l.Restart {
		s.log.Warn("a change needs a restart", "key", key)
	}
	s.log.Info("configuration reloaded", "upstreams", len(l.Upstreams), "changed", strings.Join(changed, " "))
	return nil
}
