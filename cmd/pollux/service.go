package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pollux/cache"
	"pollux/cache/postgres"
	"pollux/cache/sqlite"
	"pollux/cmd/pollux/config"
	"pollux/proxy"
	"pollux/proxy/poller"
	"pollux/proxy/roots"
	"pollux/proxy/trace"
)

// drainTime is how long clients have to get their answers once the process was
// told to end. Supervisors usually kill after ten seconds.
const drainTime = 8 * time.Second

// tracesTime is how long a collector has to take the last traces.
const tracesTime = time.Second

// service is everything that runs, in the order in which it is built.
type service struct {
	log      *logger
	config   config.Config // in force; of the one goroutine that reloads
	reading  atomic.Bool
	watched  atomic.Pointer[[]string] // files and directories that a change of which is a reload
	registry *prometheus.Registry
	metrics  *metrics
	memory   *cache.Memory
	store    cache.Store
	poller   *poller.Poller
	learned  *learned
	server   *proxy.Server
	roots    *roots.Roots
	tracer   *trace.Tracer // nil: nothing is traced

	closeOnce sync.Once
}

// newService builds a service. It serves nobody before run, and must be closed.
func newService(ctx context.Context, l *config.Loaded, log *logger, env func(string) (string, bool)) (_ *service, err error) {
	s := &service{log: log, config: l.Config, registry: prometheus.NewRegistry()}
	panics := promauto.With(s.registry).NewCounter(prometheus.CounterOpts{Name: "pollux_background_panics_total", Help: "Panics caught in the stores, in reloads and in what is saved now and then."})
	s.roots = roots.New(panics, log.Logger)
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	secret, err := storeSecret(l.Store, env)
	if err != nil {
		return nil, err
	}
	if warning := secret.Warning(); warning != "" {
		log.Warn("the store key can be read by others", "warning", warning)
	}
	if s.memory, err = cache.NewMemory(cache.Config{MaxBytes: int64(l.Cache.MaxBytes)}); err != nil {
		return nil, fmt.Errorf("memory tier: %w", err)
	}
	if s.store, err = openStore(ctx, l.Store, secret, s.roots.Keep, log); err != nil {
		return nil, err
	}
	s.metrics = newMetrics(s.registry, s.memory, s.store)
	if s.poller, err = poller.New(l.Poller(), l.Providers, s.store, s.memory, secret, s.registry, log.Logger); err != nil {
		return nil, err
	}
	log.follow(s.poller.Secrets)
	s.learned = newLearned(l.Store, s.store, secret, s.poller, log)
	s.learned.load()
	if s.server, err = proxy.New(l.Config.Config, s.poller.Upstreams(), s.poller, secret, s.registry, s.registry, log.Logger); err != nil {
		return nil, err
	}
	v, _ := buildVersion()
	s.server.SetAbout(v)
	if s.tracer, err = trace.New(ctx, v, env, log.Logger); err != nil {
		log.Warn("nothing is traced", "err", err)
	}
	s.poller.Trace(s.tracer)
	s.server.Trace(s.tracer)
	if err = s.server.OpenWebhooks(ctx, outboxOf(s.store), s.registry); err != nil {
		return nil, err
	}
	if shared, ok := s.store.(cache.Cluster); ok {
		shared.Listen(s.server.Heard)
	}
	paths := l.Watched()
	s.watched.Store(&paths)
	s.metrics.reloaded(true)
	return s, nil
}

// storeSecret is the key that seals the store: ${POLLUX_STORE_KEY}, or a file
// beside the store of one process. Without a store nothing outlives the process,
// and neither need its key.
func storeSecret(c config.Store, env func(string) (string, bool)) (*cache.Secret, error) {
	key, _ := env("POLLUX_STORE_KEY")
	switch {
	case c.Driver == "none":
		var raw [32]byte
		rand.Read(raw[:]) // never fails
		return cache.NewSecret(raw[:])
	case c.Driver == "postgres" && key == "":
		return nil, errors.New("store.driver: postgres needs ${POLLUX_STORE_KEY}, the same on every replica: make one with openssl rand -hex 32 and keep it")
	case c.Driver == "postgres":
		return cache.LoadSecret("", key)
	}
	if err := os.MkdirAll(filepath.Dir(c.Path), 0o700); err != nil {
		return nil, fmt.Errorf("store directory: %w", err)
	}
	return cache.LoadSecret(c.Path+".key", key)
}

// keeper is roots.Roots.Keep; nil lets panics end the process.
type keeper = func(stop <-chan struct{}, what string, f func())

func openStore(ctx context.Context, c config.Store, secret *cache.Secret, keep keeper, log *logger) (cache.Store, error) {
	switch c.Driver {
	case "none":
		return cache.None{}, nil
	case "postgres":
		version, _ := buildVersion()
		db, err := postgres.Open(ctx, postgres.Config{Address: string(c.Address), Notify: c.Notify, Retention: time.Duration(c.Retention), Version: version, Keep: keep}, secret, log.Logger)
		if err != nil {
			return nil, err // and not db, which would be a store that is not nil
		}
		return db, nil
	}
	db, err := sqlite.Open(ctx, sqlite.Config{Path: c.Path, Retention: time.Duration(c.Retention), Keep: keep}, secret, log.Logger)
	if err != nil {
		return nil, err // and not db, which would be a store that is not nil
	}
	return db, nil
}

// outboxOf is the outbox of a store, or one that ends with the process if the
// store has none.
func outboxOf(store cache.Store) cache.Outbox {
	if outbox, ok := store.(cache.Outbox); ok {
		return outbox
	}
	return new(cache.MemoryOutbox)
}

// run serves connections of ln until ctx ends, then drains: no request that
// was accepted goes unanswered, unless it takes longer than drainTime.
func (s *service) run(ctx context.Context, ln net.Listener) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var children sync.WaitGroup
	children.Go(func() {
		if err := s.poller.Run(background); err != nil && !errors.Is(err, context.Canceled) {
			s.log.Error("the poller ended", "err", err)
		}
	})
	children.Go(func() {
		s.roots.Keep(background.Done(), "saving what was learned", func() { s.learned.run(background) })
	})
	children.Go(func() { s.server.RunWebhooks(background) })
	ended := make(chan error, 1)
	go func() { ended <- s.server.Serve(ln) }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		s.log.Info("shutting down")
		grace, cancel := context.WithTimeout(background, drainTime)
		if late := s.server.Shutdown(grace); late != nil {
			s.log.Warn("some requests were cut off", "err", late)
		} else {
			err = <-ended
		}
		cancel()
	}
	s.poller.Close()
	stop()
	children.Wait()
	return err
}

// close flushes the store and releases everything. It may be called twice.
func (s *service) close() (err error) {
	s.closeOnce.Do(func() {
		if s.poller != nil {
			s.poller.Close()
		}
		last, cancel := context.WithTimeout(context.Background(), tracesTime)
		defer cancel()
		if late := s.tracer.Shutdown(last); late != nil {
			s.log.Warn("the last traces could not be sent", "err", late)
		}
		if s.store != nil {
			err = s.store.Close()
		}
		if s.memory != nil {
			s.memory.Close()
		}
	})
	return err
}
