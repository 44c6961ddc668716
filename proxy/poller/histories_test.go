package poller

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/cache"
	"pollux/cache/clustertest"
	"pollux/cache/sqlite"
	"pollux/providers"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
)

// steps is a provider whose tasks count.
const steps = `name: steps
identity: {headers: [Authorization], need: none}
params: {id: {in: path}}
poll: {request: "GET /jobs/{id}", min: 1ms}
status: {path: state, words: {running: in_progress, done: completed}}
fields: {id: id, output.text: text}
`

// play is at random what befalls one task that several replicas are polled
// for: slow and hanging upstream answers, leases that run out, forgets, notices
// that are late or cut, replicas without the store. Clients, and whoever observes,
// never see a task go back at one replica, and what was forgotten is seen nowhere
// a second later, as far as the store can be reached. These are the rules of
// docs/design.md, played with the engine itself.
type play struct {
	t      *testing.T
	seed   uint64
	shared *clustertest.Shared // nil: one replica, on a store of its own
	nodes  []*node
	ctx    context.Context
	work   sync.WaitGroup
	began  time.Time

	mu        sync.Mutex // guards what follows
	rnd       *rand.Rand
	value     int
	end       int // of the task; 0: never
	forgotten []forgottenAt
	answers   int
}

// forgottenAt is a generation that ended what was known before.
type forgottenAt struct {
	at         time.Time
	generation uint64
}

// node is one replica.
type node struct {
	h     *play
	n     int
	store *clustertest.Replica // nil where there is no other
	*Poller

	mu            sync.Mutex // guards what follows
	client, heard place      // the last that a client, an observer was shown
	back          time.Time  // when it last had the store again
}

// place is how far a task has got.
type place struct {
	generation uint64
	value      int
	over       bool
}

func (a place) less(b place) bool {
	return cmp.Or(cmp.Compare(a.generation, b.generation), cmp.Compare(a.value, b.value)) < 0 || a.generation == b.generation && b.over && !a.over
}

func (h *play) between(low, high int) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Duration(low+h.rnd.IntN(high-low+1)) * time.Millisecond
}

func (h *play) chance(percent int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rnd.IntN(100) < percent
}

// every does f again and again until the history is over.
func (h *play) every(low, high int, f func()) {
	h.work.Go(func() {
		for {
			select {
			case <-h.ctx.Done():
				return
			case <-time.After(h.between(low, high)):
				f()
			}
		}
	})
}

// RoundTrip is the upstream: it says what is so at half of the time it takes.
func (h *play) RoundTrip(_ *cache.ID, req *http.Request) (*http.Response, error) {
	took := h.between(5, 200)
	if h.chance(50) {
		took = h.between(5, 790)
	}
	hangs := time.Duration(0)
	if h.chance(3) {
		hangs = h.between(1000, 2500) // past its deadline
	}
	pause := func(d time.Duration) error {
		select {
		case <-time.After(d):
			return nil
		case <-req.Context().Done():
			return req.Context().Err()
		}
	}
	if err := pause(took / 2); err != nil {
		return nil, err
	}
	h.mu.Lock()
	state, value := "running", h.value
	if h.end > 0 && value >= h.end {
		state = "done"
	}
	h.mu.Unlock()
	if err := pause(took - took/2 + hangs); err != nil {
		return nil, err
	}
	return reply(200, fmt.Sprintf(`{"id":"j","state":%q,"text":"%d"}`, state, value))
}

func (*play) Close() {}

// placeOf is how far an entry says that the task has got.
func (h *play) placeOf(e *cache.Entry) place {
	var native struct{ Text string }
	if err := json.Unmarshal(e.Native, &native); err != nil {
		h.t.Fatalf("history %d: %s: %v", h.seed, e.Native, err)
	}
	value, _ := strconv.Atoi(native.Text)
	return place{generation: e.Generation, value: value, over: e.Terminal}
}

// shown checks what a replica shows, to somebody who asked then, against what it
// showed before.
func (n *node) shown(who string, asked time.Time, last *place, e *cache.Entry) {
	now, at := n.h.placeOf(e), time.Now()
	n.mu.Lock()
	before := *last
	if !now.less(before) {
		*last = now
	}
	back := n.back
	n.mu.Unlock()
	if now.less(before) {
		n.h.t.Errorf("history %d: at %v %s of replica %d went back from %+v to %+v", n.h.seed, at.Sub(n.h.began), who, n.n, before, now)
	}
	n.h.mu.Lock()
	defer n.h.mu.Unlock()
	n.h.answers++
	if n.store != nil && (n.store.Away() || at.Sub(back) < time.Second) {
		return
	}
	for _, f := range n.h.forgotten {
		if now.generation < f.generation && asked.Sub(f.at) > time.Second {
			n.h.t.Errorf("history %d: at %v %s of replica %d was shown %+v, forgotten %v before it asked at %v; the store was back at %v", n.h.seed, at.Sub(n.h.began), who, n.n, now, asked.Sub(f.at), asked.Sub(n.h.began), back.Sub(n.h.began))
		}
	}
}

// Published implements Observer.
func (n *node) Published(e *cache.Entry)            { n.shown("an observer", time.Now(), &n.heard, e) }
func (*node) Lost(*cache.ID, *problem.Problem)      {}
func (*node) Suspended(*cache.ID, *problem.Problem) {}
func (*node) Resumed(*cache.ID)                     {}

// join adds a replica over a store.
func (h *play) join(set *providers.Set, store cache.Store) *node {
	secret, err := cache.NewSecret([]byte("a secret of the tests, long enough"))
	if err != nil {
		h.t.Fatal(err)
	}
	memory, err := cache.NewMemory(cache.Config{MaxBytes: 1 << 20})
	if err != nil {
		h.t.Fatal(err)
	}
	cfg := upstream.DefaultConfig()
	cfg.Provider, cfg.BaseURL = "steps", "http://upstream.test"
	cfg.Timeout = 800 * time.Millisecond
	cfg.Freshness.InProgress, cfg.Freshness.Queued = 300*time.Millisecond, 300*time.Millisecond
	p, err := New(Config{Upstreams: map[string]upstream.Config{"steps": cfg}}, set, store, memory, secret, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		h.t.Fatal(err)
	}
	p.Upstream([]byte("steps")).Transport = h
	n := &node{h: h, n: len(h.nodes), Poller: p}
	n.store, _ = store.(*clustertest.Replica)
	p.Observe(n)
	if n.store != nil {
		n.store.Listen(p.Heard)
	}
	h.work.Go(func() { _ = p.Run(h.ctx) })
	h.t.Cleanup(func() {
		p.Close()
		memory.Close()
		if err := store.Close(); err != nil {
			h.t.Errorf("Close: %v", err)
		}
	})
	h.nodes = append(h.nodes, n)
	return n
}

// polls has a client poll a replica.
func (n *node) polls() {
	b := &bench{Poller: n.Poller, t: n.h.t, name: "steps"}
	r := b.request("a", "j")
	n.h.every(20, 250, func() {
		asked, again := time.Now(), r
		again.NoCache = n.h.chance(10)
		a, ok := n.Cached(r.Upstream, r.Partition, &r.Key, time.Now())
		if !ok || again.NoCache {
			a = n.Poll(n.h.ctx, again)
		}
		if a.Entry != nil && n.h.ctx.Err() == nil {
			n.shown("a client", asked, &n.client, a.Entry)
		}
	})
}

// forgets has somebody forget the task at one of the replicas.
func (h *play) forgets() {
	h.mu.Lock()
	n := h.nodes[h.rnd.IntN(len(h.nodes))]
	h.mu.Unlock()
	r := (&bench{Poller: n.Poller, t: h.t, name: "steps"}).request("a", "j")
	if n.Forget(&r.Key) != nil {
		return
	}
	rec := n.records.pin(&r.Key)
	defer n.records.unpin(rec)
	rec.mu.Lock()
	generation := rec.generation
	rec.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forgotten = append(h.forgotten, forgottenAt{time.Now(), generation})
}

// troubles takes the store, or the notices, from one of the replicas for a while.
func (h *play) troubles(what func(*clustertest.Replica, bool), low, high int) func() {
	return func() {
		h.mu.Lock()
		n := h.nodes[h.rnd.IntN(len(h.nodes))]
		h.mu.Unlock()
		what(n.store, true)
		select {
		case <-time.After(h.between(low, high)):
		case <-h.ctx.Done():
		}
		n.mu.Lock()
		n.back = time.Now()
		n.mu.Unlock()
		what(n.store, false)
	}
}

func newPlay(t *testing.T, seed uint64) *play {
	h := &play{t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 0))}
	h.end = []int{0, 5, 15}[h.rnd.IntN(3)]
	return h
}

// run plays the history for so long.
func (h *play) run(set *providers.Set, stores []cache.Store, long time.Duration) {
	h.began = time.Now()
	var stop context.CancelFunc
	h.ctx, stop = context.WithCancel(context.Background())
	for _, store := range stores {
		h.join(set, store)
	}
	for _, n := range h.nodes {
		n.polls()
		n.watched()
	}
	h.every(100, 700, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.end == 0 || h.value < h.end {
			h.value++
		}
	})
	h.every(2000, 6000, h.forgets)
	if h.shared != nil {
		h.every(1500, 5000, h.troubles((*clustertest.Replica).Lose, 200, 3000))
		h.every(800, 4000, h.troubles((*clustertest.Replica).Cut, 50, 2500))
	}
	time.Sleep(long)
	stop()
	h.work.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.answers < 2*int(long/time.Second)*len(stores) {
		h.t.Errorf("history %d: %d answers", h.seed, h.answers)
	}
}

// watched watches the task at a replica, so that Pollux polls by itself too.
func (n *node) watched() {
	r := (&bench{Poller: n.Poller, t: n.h.t, name: "steps"}).request("a", "j")
	n.h.work.Go(func() {
		release, why := n.Watch(r)
		if why != nil {
			return
		}
		<-n.h.ctx.Done()
		release()
	})
}

// stepsSet is the provider of the histories.
func stepsSet(t *testing.T) *providers.Set {
	t.Helper()
	set, err := providers.Load(fstest.MapFS{"steps.yaml": {Data: []byte(steps)}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// histories is how many are played: few on every change, as many as
// POLLUX_HISTORIES says in a soak.
func histories(t *testing.T, few uint64) uint64 {
	t.Helper()
	text := os.Getenv("POLLUX_HISTORIES")
	if text == "" {
		return few
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatalf("POLLUX_HISTORIES: %v", err)
	}
	return n
}

// TestHistories plays three replicas over one store that they share.
func TestHistories(t *testing.T) {
	set := stepsSet(t)
	for seed := range histories(t, 20) {
		synctest.Test(t, func(t *testing.T) {
			h := newPlay(t, seed)
			h.shared = clustertest.New(clustertest.Faults{
				Call:   func() time.Duration { return h.between(1, 15) },
				Notice: func() time.Duration { return h.between(1, 60) },
			})
			h.run(set, []cache.Store{h.shared.Join(), h.shared.Join(), h.shared.Join()}, 40*time.Second)
		})
		if t.Failed() {
			return
		}
	}
}

// TestHistoriesAlone plays one replica over the embedded store, in the time of
// the clock: its encoders do not live in synctest's.
func TestHistoriesAlone(t *testing.T) {
	t.Parallel()
	set := stepsSet(t)
	var plays sync.WaitGroup
	defer plays.Wait()
	for seed := range histories(t, 8) {
		secret, err := cache.NewSecret([]byte("a secret of the tests, long enough"))
		if err != nil {
			t.Fatal(err)
		}
		db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "p.db")}, secret, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		plays.Go(func() { newPlay(t, seed).run(set, []cache.Store{db}, 5*time.Second) })
	}
}

// slowFirst answers the second poll before the first.
type slowFirst struct {
	polls   atomic.Int64
	release chan struct{}
}

func (s *slowFirst) RoundTrip(*cache.ID, *http.Request) (*http.Response, error) {
	n := s.polls.Add(1)
	if n == 1 {
		<-s.release
	}
	return reply(200, fmt.Sprintf(`{"id":"j","state":"running","text":"%d"}`, n))
}

func (*slowFirst) Close() {}

// TestTwoPollsAfterAForget: of a poll that was granted just after the task was
// forgotten, and one made after it without the store, the later one stands.
func TestTwoPollsAfterAForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlay(t, 0)
		var stop context.CancelFunc
		h.ctx, stop = context.WithCancel(context.Background())
		const call = 100 * time.Millisecond
		shared := clustertest.New(clustertest.Faults{Call: func() time.Duration { return call }})
		n := h.join(stepsSet(t), shared.Join())
		up := &slowFirst{release: make(chan struct{})}
		n.Upstream([]byte("steps")).Transport = up
		r := (&bench{Poller: n.Poller, t: t, name: "steps"}).request("a", "j")
		var polls sync.WaitGroup
		polls.Go(func() { n.Poll(t.Context(), r) })
		time.Sleep(call / 2) // the store is being asked
		if err := n.Forget(&r.Key); err != nil {
			t.Fatal(err)
		}
		time.Sleep(call)
		n.store.Lose(true)
		if a := n.Poll(t.Context(), r); a.Entry == nil || n.h.placeOf(a.Entry).value != 2 {
			t.Fatalf("second poll: %+v", a)
		}
		close(up.release)
		polls.Wait()
		if a, ok := n.Cached(r.Upstream, r.Partition, &r.Key, time.Now()); !ok || n.h.placeOf(a.Entry).value != 2 {
			t.Errorf("what stands in the end: %v, %s; want the answer to the later poll", ok, a.Entry.Native)
		}
		stop()
		h.work.Wait()
	})
}
