// Package webhooks tells receivers of tasks that have ended or want something:
// registrations, the messages that are owed, attempts, and where they may go.
package webhooks

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/cache"
	"pollux/providers"
	"pollux/providers/strictyaml"
	"pollux/proxy/egress"
	"pollux/proxy/poller"
	"pollux/proxy/poller/schedule"
	"pollux/proxy/problem"
	"pollux/proxy/roots"
)

// storeTimeout bounds one call of the outbox.
const storeTimeout = 5 * time.Second

// Engine is what webhooks need of a *poller.Poller.
type Engine interface {
	Poll(ctx context.Context, r poller.Request) poller.Answer
	Watch(r poller.Request) (release func(), why *problem.Problem)
	Known(key *cache.ID) *cache.Entry
	Withholds(partition *cache.ID) bool
}

// Resume makes the poll of a task again that was registered before a restart,
// with the credential that was sealed meanwhile. It reports false while the
// upstream is not configured as it was then: a credential never goes elsewhere.
type Resume func(t *Task, c providers.Credential) (*poller.Request, bool)

// Config bounds deliveries.
type Config struct {
	// AllowNetworks lists private networks (CIDR) that targets may be in, and
	// plain http with them.
	AllowNetworks []string `yaml:"allow_networks"`
	// Proxy is what all targets are reached through, whatever the environment
	// says. Empty means nothing.
	Proxy       egress.URL    `yaml:"proxy"`
	Timeout     time.Duration `yaml:"timeout"`       // of one attempt
	GiveUpAfter time.Duration `yaml:"give_up_after"` // of one delivery
}

// DefaultConfig is what holds where the file is silent.
func DefaultConfig() Config {
	return Config{Timeout: 15 * time.Second, GiveUpAfter: 24 * time.Hour}
}

// Validate returns everything wrong with c, by its keys.
func (c *Config) Validate() (faults strictyaml.Faults) {
	for i, network := range c.AllowNetworks {
		if _, err := netip.ParsePrefix(network); err != nil {
			faults.Add(fmt.Sprintf("allow_networks[%d]", i), "want a network such as 10.1.0.0/16")
		}
	}
	if c.Proxy != "" {
		if _, err := egress.New(c.Proxy, nil); err != nil {
			faults.Add("proxy", "%v", err)
		}
	}
	faults.Want(c.Timeout > 0, "timeout", "more than 0")
	faults.Want(c.GiveUpAfter > 0, "give_up_after", "more than 0")
	return faults
}

// Settings are one configuration, prepared. They are immutable.
type Settings struct {
	addresses            *addresses
	plain, secure        http.RoundTripper
	timeout, giveUpAfter time.Duration
	maxTasks             int
	publicURL            string
	rules                Rules
}

// Service tells receivers of tasks that have ended or want something. It keeps
// what it knows in an outbox, so that a crash loses nothing: a message is sent
// at least once, always with the same id. It implements [poller.Observer] and
// is safe for concurrent use.
type Service struct {
	engine   Engine
	outbox   cache.Outbox
	shared   shared // outbox, if other processes have it too; nil: none has
	changes  changes
	vault    vault
	resume   Resume
	log      *slog.Logger
	metrics  *metrics
	roots    *roots.Roots
	settings atomic.Pointer[Settings]
	looks    *schedule.Queue[*followed] // first polls

	mu       sync.RWMutex // guards what follows
	byID     map[string]*webhook
	byKey    map[cache.ID][]*followed // tasks that are not done
	sent     map[string]*delivery     // every delivery of every webhook
	rooms    map[cache.ID]*room
	open     int // tasks that are not done
	queue    queue
	fresh    []freshDelivery // to be stored, then sent
	bodies   openPayloads
	ended    []*delivery // given up outside of an attempt, to be stored
	releases []func()    // of watches that are not needed any more
	dirty    map[*webhook]struct{}
	news     chan struct{} // of capacity 1: there is something fresh, to release or dirty
}

// freshDelivery is a message that was not stored yet.
type freshDelivery struct {
	delivery *delivery
	event    *event
}

var _ poller.Observer = (*Service)(nil)

// New returns a Service that follow tasks through engine. It starts
// nothing: call Use, Load and then Run. Nothing may be written to the
// store before.
func New(engine Engine, outbox cache.Outbox, secret *cache.Secret, resume Resume, reg prometheus.Registerer, log *slog.Logger) *Service {
	w := &Service{
		engine: engine, outbox: outbox, vault: vault{secret}, resume: resume, log: log,
		byID: map[string]*webhook{}, byKey: map[cache.ID][]*followed{}, sent: map[string]*delivery{}, rooms: map[cache.ID]*room{},
		queue: newQueue(), dirty: map[*webhook]struct{}{}, news: make(chan struct{}, 1), looks: newLooks(),
	}
	w.shared, _ = outbox.(shared)
	w.changes.ids, w.changes.wake = map[string]struct{}{}, make(chan struct{}, 1)
	w.metrics = newMetrics(reg, w)
	w.roots = roots.New(w.metrics.panics, log)
	outbox.OnPut(w.caused)
	return w
}

// Prepare builds what c needs, which has been validated. Webhooks follow maxTasks
// tasks at the same time; publicURL has no slash at its end, "" makes links
// relative.
func Prepare(c Config, maxTasks int, publicURL string, rules Rules) *Settings {
	var allow []netip.Prefix
	for _, network := range c.AllowNetworks {
		if p, err := netip.ParsePrefix(network); err == nil {
			allow = append(allow, p)
		}
	}
	t := newAddresses(allow, nil)
	var proxy *egress.Proxy
	if c.Proxy != "" {
		proxy, _ = egress.New(c.Proxy, nil) // it has been validated
	}
	return &Settings{
		addresses: t, plain: t.transport(true, proxy), secure: t.transport(false, proxy),
		timeout: c.Timeout, giveUpAfter: c.GiveUpAfter, maxTasks: maxTasks, publicURL: publicURL, rules: rules,
	}
}

// Use puts st in force, also for webhooks that are there already: those that it
// leaves without their client or upstream end.
func (w *Service) Use(st *Settings) {
	if old := w.settings.Swap(st); old != nil {
		old.closeIdle()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, hook := range w.byID {
		w.enforce(st.rules, hook)
	}
}

func (st *Settings) closeIdle() {
	for _, t := range []http.RoundTripper{st.plain, st.secure} {
		if t, ok := t.(*http.Transport); ok {
			t.CloseIdleConnections()
		}
	}
}

// Run polls, stores and sends until ctx ends and all that it started has
// returned. What is not sent by then is after the next start.
func (w *Service) Run(ctx context.Context) {
	var children sync.WaitGroup
	for what, loop := range map[string]func(context.Context){"sending webhooks": w.dispatch, "news for webhooks": w.work, "first looks": w.look, "sweep of webhooks": w.sweeps, "webhooks of other replicas": w.keepUp} {
		children.Go(func() { w.roots.Keep(ctx.Done(), what, func() { loop(ctx) }) })
	}
	children.Wait()
	w.settings.Load().closeIdle()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, hook := range w.byID {
		for _, t := range hook.tasks {
			w.unwatch(t)
		}
	}
	for _, release := range w.releases {
		release()
	}
	w.releases = nil
}

// poke wakes the worker.
func (w *Service) poke() { wake(w.news) }

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// room is one partition as webhooks see it.
type room struct {
	tasks     int // of all webhooks
	open      int // of these, not done
	suspended bool
}

// index takes hook in.
func (w *Service) index(hook *webhook) {
	w.byID[hook.id] = hook
	for _, t := range hook.tasks {
		r := w.rooms[t.Partition]
		if r == nil {
			r = &room{}
			w.rooms[t.Partition] = r
		}
		r.tasks++
		if !t.done {
			r.open++
			w.open++
			w.byKey[t.Key] = append(w.byKey[t.Key], t)
		}
	}
}

// remove takes hook out, with everything that waits for it.
func (w *Service) remove(hook *webhook) {
	hook.deleted = true
	delete(w.byID, hook.id)
	for _, t := range hook.tasks {
		w.finish(t, "")
		if r := w.rooms[t.Partition]; r != nil {
			if r.tasks--; r.tasks == 0 {
				delete(w.rooms, t.Partition)
			}
		}
	}
	delete(w.dirty, hook)
	for _, d := range hook.deliveries {
		w.queue.remove(d)
		delete(w.sent, d.id)
	}
}

// unwatch lets go of a task when the lock is free again.
func (w *Service) unwatch(t *followed) {
	if t.release != nil {
		w.releases = append(w.releases, t.release)
		t.release = nil
	}
}

// finish ends the following of a task. why is the type of the problem, "" if it just ended.
func (w *Service) finish(t *followed, why string) {
	if t.done {
		return
	}
	t.done, t.problem, t.request = true, why, nil
	w.unwatch(t)
	w.rooms[t.Partition].open--
	w.open--
	rest := slices.DeleteFunc(slices.Clone(w.byKey[t.Key]), func(o *followed) bool { return o == t })
	if len(rest) == 0 {
		delete(w.byKey, t.Key)
	} else {
		w.byKey[t.Key] = rest
	}
	if t.hook.forget() || !slices.ContainsFunc(t.hook.tasks, func(o *followed) bool { return !o.done }) {
		w.dirty[t.hook] = struct{}{}
	}
}

// end stops everything for a webhook whose receiver is gone.
func (w *Service) end(hook *webhook) {
	hook.gone = true
	for _, t := range hook.tasks {
		w.finish(t, "")
	}
	for _, d := range hook.deliveries {
		if d.state == DeliveryPending {
			w.queue.remove(d)
			d.state = DeliveryGaveUp
		}
	}
	w.dirty[hook] = struct{}{}
}
