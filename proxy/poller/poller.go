package poller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"pollux/cache"
	"pollux/providers"
	"pollux/providers/strictyaml"
	"pollux/proxy/poller/schedule"
	"pollux/proxy/poller/stuck"
	"pollux/proxy/poller/sweep"
	"pollux/proxy/poller/trend"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/trace"
)

// Config is what a Poller needs to know.
type Config struct {
	Upstreams       map[string]upstream.Config
	MissesPerSecond float64 // polls per partition that memory cannot answer; 0 means unlimited
	MissesBurst     int
	WatchedTasks    int // tasks that Pollux polls by itself; 0 means as many as can be planned
}

// Validate returns everything wrong with the upstreams, by key and without
// place; set is what their providers are looked up in.
func (c *Config) Validate(set *providers.Set) strictyaml.Faults {
	var faults strictyaml.Faults
	for _, name := range slices.Sorted(maps.Keys(c.Upstreams)) {
		cfg := c.Upstreams[name]
		faults = append(faults, cfg.Validate(name, set)...)
	}
	return faults
}

// Poller answers polls. It is safe for concurrent use.
type Poller struct {
	secret  *cache.Secret
	store   cache.Cluster
	memory  *cache.Memory
	log     *slog.Logger
	metrics *upstream.Metrics
	faults  *faults

	registry   atomic.Pointer[registry]
	reloading  sync.Mutex
	partitions *upstream.Partitions
	records    records
	flights    singleflight.Group // by key
	loads      singleflight.Group // of partitions, by ID
	arrivals   arrivals
	rereads    rereads
	leased     leased
	owed       keySet       // of what the store lacks: it did not answer, or take it
	cut        atomic.Int64 // since epoch: what was looked up before is not believed; 0: all is
	settling   *schedule.Queue[Request]
	unstored   unstored
	onLost     func(*cache.ID) // p.unwritten, made once
	words      logged          // native words that no provider file lists
	strangers  logged          // credentials that were refused and never accepted
	watches    watches
	observers  []Observer
	tracer     *trace.Tracer // nil: nothing is traced
	tracker    *stuck.Tracker
	hints      hints
	sweeps     *sweep.Table
	trends     *trend.Keeper

	base context.Context // of every flight; ends when Close is called
	stop context.CancelFunc
}

// registry is one configuration of upstreams; a reload swaps it whole.
type registry struct {
	byName          map[string]*upstream.Upstream
	sorted          []*upstream.Upstream
	missesPerSecond float64
	missesBurst     int
}

// New returns a Poller over the given tiers. It starts no goroutine; Run does
// the work that no client waits for. The error joins every fault.
func New(cfg Config, set *providers.Set, store cache.Store, memory *cache.Memory, secret *cache.Secret, reg prometheus.Registerer, log *slog.Logger) (*Poller, error) {
	p := &Poller{secret: secret, store: cache.ClusterOf(store), memory: memory, log: log, metrics: upstream.NewMetrics(reg), faults: newFaults(reg, log), partitions: upstream.NewPartitions()}
	p.base, p.stop = context.WithCancel(context.Background())
	p.records.init()
	p.arrivals.byKey = map[cache.ID][]chan struct{}{}
	p.rereads.init()
	p.leased.init(reg)
	p.settling = schedule.New(schedule.Rules[Request]{Slots: p.slots})
	p.initWatches()
	p.sweeps = sweep.New(sweep.Host{
		Slots:    p.slots,
		Upstream: func(name string) *upstream.Upstream { return p.Upstream([]byte(name)) },
		Wanted:   p.stillWanted, Secret: secret,
	}, reg)
	p.onLost = p.unwritten
	_, use, err := p.Prepare(cfg, set)
	if err != nil {
		return nil, err
	}
	use()
	p.tracker = stuck.New(store, func(name string) *upstream.Upstream { return p.registry.Load().byName[name] })
	p.hints = newHints(reg)
	p.trends = trend.New(p.tracker.Index(), p.Upstreams)
	reg.MustRegister(pressureMetric{p})
	return p, nil
}

// Prepare builds the upstreams of another configuration, sorted by name, and
// changes nothing. Whoever calls use puts them in force: polls under way finish
// on the old ones; an upstream that keeps its name and base URL keeps its
// breaker. Between two calls of Prepare, use is called once at most.
func (p *Poller) Prepare(cfg Config, set *providers.Set) (upstreams []*upstream.Upstream, use func(), err error) {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	old := p.registry.Load()
	next := &registry{byName: map[string]*upstream.Upstream{}, missesPerSecond: cfg.MissesPerSecond, missesBurst: cfg.MissesBurst}
	host := upstream.Host{Base: p.base, Metrics: p.metrics, Secret: p.secret, Roots: p.faults.roots}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(cfg.Upstreams)) {
		u, err := upstream.New(&host, name, cfg.Upstreams[name], set)
		if err != nil {
			faults = append(faults, fmt.Errorf("upstreams.%s: %w", name, err))
			continue
		}
		if old != nil {
			u.Inherit(old.byName[name])
		}
		next.byName[name] = u
		next.sorted = append(next.sorted, u)
	}
	if len(faults) > 0 {
		return nil, nil, errors.Join(faults...)
	}
	return next.sorted, func() {
		p.registry.Store(next)
		p.watches.setLimit(cfg.WatchedTasks)
		p.askSooner(next.sorted)
		if old != nil {
			for _, u := range old.sorted {
				u.Close()
			}
		}
	}, nil
}

// Secrets are the credentials that Pollux holds at this moment and that stand in
// no config: what was read from files, and access tokens.
func (p *Poller) Secrets() (all []string) {
	for _, u := range p.Upstreams() {
		all = append(all, u.Secrets()...)
	}
	return all
}

// Upstream returns the upstream of that name, nil if there is none.
func (p *Poller) Upstream(name []byte) *upstream.Upstream {
	return p.registry.Load().byName[string(name)]
}

// Upstreams returns every upstream, sorted by name. The slice is shared: read it only.
func (p *Poller) Upstreams() []*upstream.Upstream { return p.registry.Load().sorted }

// Run makes the polls that no client waits for, of settling and of watched
// tasks, and stores what the store refused at first, until ctx ends and all
// that it started has returned.
func (p *Poller) Run(ctx context.Context) error {
	var children sync.WaitGroup
	defer children.Wait()
	spawn := func(f func()) { go p.faults.roots.Run("scheduled poll", f) }
	for name, loop := range map[string]func(){
		"settling":         func() { p.settling.Run(ctx, spawn, p.settleOnce) },
		"sweeping":         func() { p.sweeps.Run(ctx, spawn, p.sweepOnce) },
		"watching":         func() { p.watches.queue.Run(ctx, spawn, p.watchOnce) },
		"storing again":    func() { p.retryUnstored(ctx) },
		"trends":           func() { p.trends.Run(ctx) },
		"remembered tasks": func() { p.remember(ctx) },
		"hints":            func() { p.followHints(ctx) },
		"notices":          func() { p.followNotices(ctx) },
	} {
		children.Go(func() { p.faults.roots.Keep(ctx.Done(), name, loop) })
	}
	<-ctx.Done()
	return nil
}

// Close ends the polls under way: their callers get a problem. Call it after
// the server has drained.
func (p *Poller) Close() {
	p.stop()
	for _, u := range p.Upstreams() {
		u.Close()
	}
}

// Partition returns the state of a partition of u, loading from the store what
// was known before a restart: once for all who ask at the same time, since all
// clients of a credential do so after a start. A known one costs no allocation.
func (p *Poller) Partition(u *upstream.Upstream, id *cache.ID) *upstream.Partition {
	if part := p.partitions.Get(id); part != nil {
		return part
	}
	part, _, _ := p.loads.Do(string(id[:]), func() (any, error) { return p.loadPartition(u, id), nil })
	return part.(*upstream.Partition)
}

func (p *Poller) loadPartition(u *upstream.Upstream, id *cache.ID) *upstream.Partition {
	part := &upstream.Partition{ID: *id, Upstream: u.Name}
	ctx, cancel := context.WithTimeout(p.base, storeTimeout)
	defer cancel()
	switch state, err := p.store.Partition(ctx, id); {
	case err == nil:
		part.Restore(state, time.Now())
		if state.Of != (cache.ID{}) {
			part.Under(p.Partition(u, &state.Of))
		}
	case !errors.Is(err, cache.ErrNotFound):
		p.faults.storeErrors.WithLabelValues("partition").Inc()
	}
	return p.partitions.Add(part)
}

// Known returns what memory has of a task, fresh or not, nil if nothing.
func (p *Poller) Known(key *cache.ID) *cache.Entry {
	if e, ok := p.memory.Get(key); ok && !e.Missing {
		return e
	}
	return nil
}

// Index is where tasks are listed from.
func (p *Poller) Index() cache.Index { return p.tracker.Index() }

// Stuck tells which tasks take longer than they should.
func (p *Poller) Stuck() *stuck.Tracker { return p.tracker }

// Trends tells how the upstreams did lately.
func (p *Poller) Trends() *trend.Keeper { return p.trends }

// remember loads what the index knows from before the start, and then what other
// processes see.
func (p *Poller) remember(ctx context.Context) {
	tick := time.NewTicker(stuck.ElsewhereEvery)
	defer tick.Stop()
	for err := p.tracker.Load(ctx); ; err = p.tracker.Elsewhere(ctx, time.Now()) {
		if err != nil && ctx.Err() == nil && !errors.Is(err, cache.ErrUnavailable) { // of an outage the store tells
			p.faults.storeErrors.WithLabelValues("list").Inc()
			p.log.Warn("stored tasks cannot be listed: what they would teach is not known", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
