package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tidwall/gjson"
	"github.com/zeebo/xxh3"
	"golang.org/x/time/rate"

	"pollux/providers"
	"pollux/providers/sandbox/script"
	"pollux/providers/template"
)

// maxRequestValue bounds what one placeholder may copy from a creating request.
const maxRequestValue = 4 << 10

// errUnknownLifecycle says that a task was asked to take a course that the
// provider file does not have.
var errUnknownLifecycle = errors.New("no such lifecycle")

// upstream is one simulated provider.
type upstream struct {
	provider *providers.Provider
	sim      *script.Simulation
	routes   []route
	idName   string // the parameter that is the task's id
	paths    []string
	courses  []string // lifecycles by name, for drawing one
	opts     Options

	mu     sync.Mutex // guards everything below
	tasks  map[string]*task
	order  []string // ids in a ring, oldest at next once full
	next   int
	made   uint64
	quotas map[owner]*rate.Limiter
	counts counts
}

func newUpstream(p *providers.Provider, opts Options) (*upstream, error) {
	u := &upstream{
		provider: p, sim: p.Simulation, opts: opts, idName: idParam(p),
		paths: p.Simulation.RequestPaths(), courses: slices.Sorted(maps.Keys(p.Simulation.Lifecycles)),
		tasks: map[string]*task{}, quotas: map[owner]*rate.Limiter{},
	}
	if u.idName == "" {
		return nil, errors.New("no parameter is the task's id")
	}
	slashes := ""
	for _, param := range p.Params {
		if param.Slashes {
			slashes = "{" + param.Name + "}"
		}
	}
	var faults []error
	add := func(kind kind, text string) *route {
		r, err := parseRoute(kind, text)
		r.slashes = slashes
		faults = append(faults, err)
		u.routes = append(u.routes, r)
		return &u.routes[len(u.routes)-1]
	}
	add(poll, p.Poll.Request.String())
	for _, c := range p.Creates {
		add(create, c.Request.String()).continues = c.Continues
	}
	if p.Cancel != nil && u.sim.Cancel != nil {
		add(cancel, p.Cancel.Request.String())
	}
	if p.Sweep != nil && u.sim.Listing != nil {
		add(listing, p.Sweep.Request.String())
	}
	for i := range u.sim.Actions {
		add(action, u.sim.Actions[i].Request).action = &u.sim.Actions[i]
	}
	return u, errors.Join(faults...)
}

// idParam is the last parameter that names the task, as in
// Parser.TaskID; "" if there is none.
func idParam(p *providers.Provider) string {
	if i := p.Params.Task(); i >= 0 {
		return p.Params[i].Name
	}
	return ""
}

// newTask is what a task is made from.
type newTask struct {
	params     map[string]string // of its reference, the id too if it is given
	credential string            // bare; "" lets everyone see the task
	owner      owner             // overrides credential when set
	lifecycle  string            // "" draws one
	bodyBytes  int               // 0: as the lifecycle says
	body       []byte            // of the creating request
	now        time.Time
}

// add makes a task and forgets the oldest if there are too many.
func (u *upstream) add(n newTask) (task, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.made++
	t := &task{
		seed: xxh3.HashSeed(binary.BigEndian.AppendUint64([]byte(u.provider.Name), u.made), u.opts.Seed),
		id:   n.params[u.idName], created: n.now, bodyBytes: n.bodyBytes, owner: n.owner,
		request: u.read(n.body),
		params:  maps.Clone(n.params),
	}
	delete(t.params, u.idName)
	if t.id == "" {
		c := &scene{sim: u.sim, task: *t, params: n.params, now: n.now, raw: true}
		t.id = string(u.sim.ID.Append(nil, c.fill))
	}
	if t.owner == everyone && n.credential != "" {
		t.owner = ownerOf([]string{bare(n.credential)})
	}
	t.canary = canary(u.opts.Seed, bare(n.credential), t.id)
	lifecycle, ok := u.lifecycle(n.lifecycle, t)
	if !ok {
		return task{}, errUnknownLifecycle
	}
	if t.bodyBytes == 0 {
		t.bodyBytes = int(lifecycle.BodyBytes)
	}
	t.course = plan(lifecycle.Path, n.now, u.opts.Speed, t.draw(0))
	u.keep(t)
	return *t, nil
}

// keep stores t in place of the oldest task once the ring is full.
func (u *upstream) keep(t *task) {
	if _, known := u.tasks[t.id]; !known {
		if len(u.order) < u.opts.MaxTasks {
			u.order = append(u.order, t.id)
		} else {
			delete(u.tasks, u.order[u.next])
			u.order[u.next] = t.id
			u.next = (u.next + 1) % len(u.order)
		}
	}
	u.tasks[t.id] = t
}

// read takes from a creating request what templates want of it.
func (u *upstream) read(body []byte) map[string]string {
	if len(u.paths) == 0 || len(body) == 0 {
		return nil
	}
	values := make(map[string]string, len(u.paths))
	for _, path := range u.paths {
		if value := gjson.GetBytes(body, path).String(); len(value) <= maxRequestValue {
			values[path] = value
		}
	}
	return values
}

// lifecycle returns the one of that name, or draws one by weight.
func (u *upstream) lifecycle(name string, t *task) (script.Lifecycle, bool) {
	if name != "" {
		l, ok := u.sim.Lifecycles[name]
		return l, ok
	}
	sum := 0.0
	for _, name := range u.courses {
		sum += u.sim.Lifecycles[name].Weight
	}
	point := t.draw(0).Float64() * sum
	for _, name := range u.courses {
		if point -= u.sim.Lifecycles[name].Weight; point < 0 {
			return u.sim.Lifecycles[name], true
		}
	}
	panic("BUG: no lifecycle has a weight")
}

// find returns a copy of the task that params name, and whether who may see it.
func (u *upstream) find(params map[string]string, who owner) (t task, known, allowed bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	stored := u.lookup(params)
	if stored == nil {
		return task{}, false, false
	}
	return *stored, true, stored.owner == everyone || stored.owner == who
}

// list returns copies of the tasks that who may see and params do not exclude,
// the newest first, as most upstreams do.
func (u *upstream) list(params map[string]string, who owner) []task {
	u.mu.Lock()
	defer u.mu.Unlock()
	var all []task
	for i := range u.order {
		t := u.tasks[u.order[(u.next+len(u.order)-1-i)%len(u.order)]]
		if t.owner != everyone && t.owner != who {
			continue
		}
		fits := true
		for name, value := range t.params {
			if sent, ok := params[name]; ok && sent != value {
				fits = false
			}
		}
		if fits {
			all = append(all, *t)
		}
	}
	return all
}

// lookup must be called with u.mu held.
func (u *upstream) lookup(params map[string]string) *task {
	t := u.tasks[params[u.idName]]
	if t == nil {
		return nil
	}
	for _, p := range u.provider.Params {
		made, fixed := t.params[p.Name]
		if sent, ok := params[p.Name]; p.In == "path" && fixed && ok && sent != made {
			return nil
		}
	}
	return t
}

// apply turns the course of a task if its present state allows it, and returns
// the task as it is afterwards.
func (u *upstream) apply(params map[string]string, tr *script.Transition, now time.Time) (after task, done bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	t := u.lookup(params)
	if t == nil {
		return task{}, false
	}
	if len(tr.From) > 0 && !slices.Contains(tr.From, t.state(now)) {
		return *t, false
	}
	if len(tr.To) > 0 {
		t.turn(u.sim, tr.To, now, u.opts.Speed)
	}
	return *t, true
}

// validate checks the values of a request against the patterns of the file,
// and that of each one_of group one is sent.
func (u *upstream) validate(params map[string]string, strict bool) error {
	for _, p := range u.provider.Params {
		value, sent := params[p.Name]
		if sent && !fits(p, value) {
			return fmt.Errorf("malformed %s", p.Name)
		}
	}
	for _, group := range u.provider.OneOf {
		if strict && !slices.ContainsFunc(group, func(name string) bool { return params[name] != "" }) {
			return errors.New("one parameter of a group is required")
		}
	}
	return nil
}

// fits reports whether value can be the parameter's, as the upstream sees it.
func fits(p template.Param, value string) bool {
	return value != "" && len(value) <= p.Max && (p.Pattern == nil || p.Pattern.Match([]byte(value)))
}
