// Package demo is the clients of pollux demo, what goes wrong at their simulated
// upstreams, and the picture of it all.
package demo

import (
	"context"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"pollux/cmd/pollux/console"
	"pollux/providers"
	"pollux/providers/format"
	"pollux/providers/sandbox"
	"pollux/providers/template"
	"pollux/proxy/poller/upstream"
)

const (
	// teams is how many credentials the clients have; those of one team poll
	// the same tasks, and share what Pollux knows.
	teams = 3
	// tasksPerTeam is how many tasks a team has at each upstream.
	tasksPerTeam = 3
	// pollEvery is how often a client asks for each task of its team, give or
	// take a third: as eager as clients are.
	pollEvery = time.Second
	// keepEnded is how long a task that has ended is still asked for, at most.
	keepEnded = 20 * time.Second
	// troubleEvery and troubleFor say when an upstream fails, and for how long.
	troubleEvery, troubleFor = 20 * time.Second, 6 * time.Second
)

// Fleet is the clients of the demo and what they see.
type Fleet struct {
	base      string
	receivers string // of webhooks, see WithReceivers
	upstreams []*upstream.Upstream
	sandbox   *sandbox.Server
	client    *http.Client
	started   time.Time

	mu      sync.Mutex
	seen    map[string]*counts // guarded by mu; by upstream
	tasks   [teams][]*task     // guarded by mu
	trouble string             // guarded by mu; the upstream that fails, "" if none

	hooks []string // ids of webhooks, the oldest first; of the goroutine that registers them
}

// counts is what clients were told by one upstream's answers.
type counts struct{ polls, hits, collapsed, stale, asked, notModified, problems int64 }

// task is one simulated task.
type task struct {
	upstream   string
	path       string // at Pollux, with its query
	credential providers.Credential
	keep       time.Duration // how long it is asked for after its end

	mu     sync.Mutex
	status string    // guarded by mu; as a client saw it last, "" before
	ended  time.Time // guarded by mu
}

// NewFleet makes the first tasks, and no goroutine. Pollux is at base; receivers
// is where WithReceivers serves.
func NewFleet(upstreams []*upstream.Upstream, server *sandbox.Server, base, receivers string) *Fleet {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil // of loopback addresses
	transport.MaxIdleConnsPerHost = 1000
	f := &Fleet{
		base: base, receivers: receivers, upstreams: upstreams, sandbox: server, started: time.Now(), seen: map[string]*counts{},
		client: &http.Client{Transport: transport, Timeout: 30 * time.Second},
	}
	for _, u := range upstreams {
		f.seen[u.Name] = new(counts)
	}
	f.refill(time.Now())
	return f
}

// Run polls with so many clients until ctx ends, and shows on t what they see.
func (f *Fleet) Run(ctx context.Context, clients int, t *console.Terminal) error {
	s := newScreen(t)
	defer f.client.CloseIdleConnections()
	var running sync.WaitGroup
	defer running.Wait()
	for i := range clients {
		running.Go(func() { f.pollLoop(ctx, i%teams) })
	}
	running.Go(func() { f.registerLoop(ctx) })
	redraw, refill, trouble := time.NewTicker(s.interval()), time.NewTicker(250*time.Millisecond), time.NewTicker(troubleEvery)
	defer redraw.Stop()
	defer refill.Stop()
	defer trouble.Stop()
	for {
		select {
		case <-ctx.Done():
			s.show(f.picture(clients))
			return nil
		case <-redraw.C:
			s.show(f.picture(clients))
		case now := <-refill.C:
			f.refill(now)
		case now := <-trouble.C:
			if err := f.makeTrouble(now); err != nil {
				return err
			}
		}
	}
}

// refill replaces tasks that ended a while ago, so that there is always work
// under way.
func (f *Fleet) refill(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for team := range teams {
		f.tasks[team] = slices.DeleteFunc(f.tasks[team], func(t *task) bool {
			t.mu.Lock()
			defer t.mu.Unlock()
			return !t.ended.IsZero() && now.Sub(t.ended) > t.keep
		})
		has := map[string]int{}
		for _, t := range f.tasks[team] {
			has[t.upstream]++
		}
		for _, u := range f.upstreams {
			if u.Name == f.trouble {
				continue // nobody can make a task there now
			}
			for range tasksPerTeam - has[u.Name] {
				if t, err := f.create(u, team); err == nil {
					f.tasks[team] = append(f.tasks[team], t)
				}
			}
		}
	}
}

// TeamKeys are the credentials of the teams.
func TeamKeys() []string { return []string{"team-1", "team-2", "team-3"}[:teams] }

// create starts a task at the simulated upstream.
func (f *Fleet) create(u *upstream.Upstream, team int) (*task, error) {
	key := TeamKeys()[team]
	params := map[string]string{}
	id := ""
	for _, param := range u.Provider.Params {
		if param.Task {
			id = param.Name // the last one; those before it only lead there
		}
	}
	for _, param := range u.Provider.Params {
		if param.Name != id && !optional(u.Provider, param) {
			params[param.Name] = sample(param)
		}
	}
	value, err := f.sandbox.Create(u.Provider.Name, params, key, "")
	if err != nil {
		return nil, err
	}
	params[id] = value
	reference := providers.Reference{Values: make([]string, len(u.Provider.Params))}
	for i, param := range u.Provider.Params {
		reference.Values[i] = params[param.Name]
	}
	return &task{
		upstream:   u.Name,
		path:       "/v1/tasks/" + u.Name + "/" + u.Parser.Format(reference),
		credential: credentialOf(u.Provider, key),
		keep:       time.Duration(rand.Float64() * float64(keepEnded)),
	}, nil
}

// credentialOf is what a team sends: its key, and whatever else the provider
// wants to see beside it.
func credentialOf(p *providers.Provider, key string) providers.Credential {
	c := p.HeldCredential(key)
	if p.Identity.Need == format.NeedAll {
		for _, name := range p.Identity.Headers[1:] {
			c.Headers = append(c.Headers, providers.Field{Name: name, Value: "demo"})
		}
	}
	return c
}

// optional reports whether a reference does without param. Of a one-of group
// the first is sent.
func optional(p *providers.Provider, param template.Param) bool {
	first := slices.ContainsFunc(p.OneOf, func(group []string) bool { return group[0] == param.Name })
	return param.Optional && !first
}

// sample is a value that param's pattern takes.
func sample(param template.Param) string {
	values := []string{"demo-" + param.Name, "demo", "1", strings.Repeat("0", 24)}
	if param.Pattern == nil {
		return values[0]
	}
	for _, value := range append(values, strings.Split(param.Pattern.String(), "|")...) {
		if param.Pattern.Match([]byte(value)) {
			return value
		}
	}
	return "demo"
}

// makeTrouble lets one upstream fail for a while, each in its turn.
func (f *Fleet) makeTrouble(now time.Time) error {
	u := f.upstreams[int(now.Sub(f.started)/troubleEvery)%len(f.upstreams)]
	fault := sandbox.Fault{Provider: u.Provider.Name, Route: "poll", Kind: "503", For: troubleFor}
	if err := f.sandbox.AddFault(fault); err != nil {
		return err
	}
	f.setTrouble(u.Name)
	time.AfterFunc(troubleFor, func() { f.setTrouble("") })
	return nil
}

func (f *Fleet) setTrouble(upstream string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trouble = upstream
}

// pollLoop is one client: it asks for its team's tasks, one after the other, as
// long as there are any.
func (f *Fleet) pollLoop(ctx context.Context, team int) {
	etags := map[*task]string{}
	for {
		f.mu.Lock()
		tasks := slices.Clone(f.tasks[team])
		f.mu.Unlock()
		for _, t := range tasks {
			pause := pollEvery / time.Duration(len(tasks))
			pause += time.Duration((rand.Float64() - 0.5) * float64(pause) * 2 / 3)
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			f.poll(ctx, t, etags)
		}
		maps.DeleteFunc(etags, func(t *task, _ string) bool { return !slices.Contains(tasks, t) })
		if len(tasks) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pollEvery):
			}
		}
	}
}

// poll asks Pollux for t once, and counts what came of it.
func (f *Fleet) poll(ctx context.Context, t *task, etags map[*task]string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.base+t.path, nil)
	if err != nil {
		return
	}
	for _, field := range t.credential.Headers {
		request.Header.Set(field.Name, field.Value)
	}
	if etag := etags[t]; etag != "" {
		request.Header.Set("If-None-Match", etag)
	}
	answer, err := f.client.Do(request)
	if err != nil {
		return // the demo ends
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return
	}
	f.count(t.upstream, answer)
	if answer.StatusCode == http.StatusOK {
		etags[t] = answer.Header.Get("ETag")
		t.saw(gjson.GetBytes(body, "status").Str, gjson.GetBytes(body, "terminal").Bool())
	}
}

// count notes one answer by its Cache-Status (RFC 9211).
func (f *Fleet) count(upstream string, answer *http.Response) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.seen[upstream]
	c.polls++
	if answer.StatusCode == http.StatusNotModified {
		c.notModified++
	}
	status := answer.Header.Get("Cache-Status")
	has := func(s string) bool { return strings.Contains(status, s) }
	switch {
	case answer.StatusCode >= 400:
		c.problems++
	case has("detail=stale-if-error"), has("detail=breaker-open"), has("detail=rate-limited"):
		c.stale++
	case has("collapsed"):
		c.collapsed++
	case has("fwd="):
		c.asked++
	default:
		c.hits++
	}
}

// saw notes the status that a client was told.
func (t *task) saw(status string, terminal bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status = status
	switch {
	case !terminal:
		t.ended = time.Time{}
	case t.ended.IsZero():
		t.ended = time.Now()
	}
}
