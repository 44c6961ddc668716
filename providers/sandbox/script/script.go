// Package script is the language in which a provider file says how the sandbox
// plays its upstream.
package script

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"pollux/normalize"
	"pollux/providers/strictyaml"
)

// Simulation is how the sandbox plays a provider: what a task goes through,
// and what the upstream would say at each point. The routes come from the rest
// of the file. It is immutable and safe for concurrent use.
type Simulation struct {
	// ID makes the id of a new task; it must fit the parameter's pattern.
	ID Template `yaml:"id"`
	// Values are pieces of text that any template may insert by name. Of a
	// list, each task has one; of two lists of equal length, the same of both.
	Values map[string]Choice `yaml:"values"`
	// Stages are what {stage}, {step} and {steps} walk through while a task runs.
	Stages     []string                  `yaml:"stages"`
	States     map[string]SimulatedState `yaml:"states"`
	Lifecycles map[string]Lifecycle      `yaml:"lifecycles"`
	// Create answers a creating request: the entry for its route, or one that
	// names no route. Several for the same route take turns at random.
	Create   []CreateAnswer `yaml:"create"`
	Cancel   *Transition    `yaml:"cancel"`   // nil: the answer bad_route
	Continue *Transition    `yaml:"continue"` // nil: a continuing request creates anew
	Actions  []Transition   `yaml:"actions"`
	// Listing answers sweep.request: {tasks} is what each of the caller's tasks
	// would answer to its own poll, joined by commas, {cursor} names the next
	// page, and is empty on the last. nil: the answer bad_route.
	Listing *Listing `yaml:"listing"`
	// Message is what the upstream posts to a webhook about a task; it is
	// signed as inbound.verify says. nil: it sends none.
	Message *AnswerSpec           `yaml:"message"`
	Headers map[string]Template   `yaml:"headers"` // of every answer
	Answers map[string]AnswerSpec `yaml:"answers"` // by situation, see Situations

	node *strictyaml.Node
}

// Situations lists what Simulation.Answers may hold.
//
//   - not_found: no such task (default: 404, empty object)
//   - foreign: a task of another credential (default: not_found)
//   - invalid: a malformed value, a missing parameter, an unreadable body (default: 400)
//   - unauthenticated: no credential; without it such callers are let in
//   - refused: a credential that is not accepted (default: 401)
//   - rate_limited, server_error, unavailable: 429, 500 and 503
//   - bad_route: no such route (default: 404 in plain text)
var Situations = [...]string{
	"not_found", "foreign", "invalid", "unauthenticated", "refused",
	"rate_limited", "server_error", "unavailable", "bad_route",
}

// AnswerSpec is one answer of a simulated upstream.
type AnswerSpec struct {
	Code    StatusCode          `yaml:"code"`    // 0: what the situation says, 200 for states
	Headers map[string]Template `yaml:"headers"` // Content-Type is application/json unless set
	Body    Template            `yaml:"body"`
}

// StatusCode is an HTTP status from 200 to 599, or 0 where none is written.
type StatusCode int

// SimulatedState is one answer to a status poll, and the canonical status that
// the rest of the provider file must make of it.
type SimulatedState struct {
	Status normalize.Status `yaml:"status"`
	AnswerSpec
}

// CreateAnswer answers a creating request.
type CreateAnswer struct {
	Request string `yaml:"request"` // as in create.request; "" fits every create of the provider
	AnswerSpec
}

// Listing is a page that tells about many tasks.
type Listing struct {
	AnswerSpec
	Page int      `yaml:"page"` // tasks a page; 0: 100
	Item Template `yaml:"item"` // of one task; empty: the body of its state
	Path string   `yaml:"path"` // GJSON, of what the listing has of it; "": all
}

// Of is what the listing has of a task that s would tell, appended to dst.
func (l *Listing) Of(dst []byte, s SimulatedState, fill func(dst []byte, p Piece) []byte) []byte {
	item := l.Item
	if item.Empty() {
		item = s.Body
	}
	if l.Path == "" {
		return item.Append(dst, fill)
	}
	return append(dst, gjson.GetBytes(item.Append(nil, fill), l.Path).Raw...)
}

// Lifecycle is one course that tasks take.
type Lifecycle struct {
	Weight    float64          `yaml:"weight"`     // share among the lifecycles; 0: only on demand
	BodyBytes strictyaml.Bytes `yaml:"body_bytes"` // least size of a body holding {filler}; 0 leaves it empty
	Path      []Leg            `yaml:"path"`
}

// Leg is a stay in one state, written "running 4s..20s", "running 4s", or
// "completed" for a stay without end.
type Leg struct {
	State    string
	Min, Max time.Duration // drawn between them; both 0: for ever
	node     *strictyaml.Node
}

// Transition is a request that changes the course of a task. Only actions name
// a Request, as in "POST /api/v1/tasks/{task_id}/resume": a route that the rest
// of the file does not know.
type Transition struct {
	Request string     `yaml:"request"`
	From    []string   `yaml:"from"` // states that it works in; empty: all
	To      []Leg      `yaml:"to"`   // the course from then on; empty: unchanged
	Answer  AnswerSpec `yaml:"answer"`
	Refused AnswerSpec `yaml:"refused"` // in any other state
	node    *strictyaml.Node
}

// Choice is one template, or a list of which each task has one.
type Choice []Template

// UnmarshalNode reads a scalar or a list of scalars.
func (c *Choice) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	nodes := []*strictyaml.Node{n}
	if n.Kind() == strictyaml.List {
		nodes = n.List()
	}
	*c = nil
	var faults strictyaml.Faults
	for _, node := range nodes {
		var t Template
		faults = append(faults, t.UnmarshalNode(node)...)
		*c = append(*c, t)
	}
	if len(nodes) == 0 {
		faults = append(faults, n.Fault("want a text or a list of texts"))
	}
	return faults
}

// UnmarshalNode reads a code that a server may answer with.
func (c *StatusCode) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	if faults := n.Decode((*int)(c)); len(faults) > 0 {
		return faults
	}
	if *c < 200 || *c > 599 {
		return strictyaml.Faults{n.Fault("want an HTTP status from 200 to 599")}
	}
	return nil
}

// UnmarshalNode reads "state", "state 3s" or "state 3s..10s".
func (l *Leg) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	l.node = n
	state, span, timed := strings.Cut(n.Scalar(), " ")
	l.State = state
	if !timed {
		return nil
	}
	low, high, ranged := strings.Cut(strings.TrimSpace(span), "..")
	if !ranged {
		high = low
	}
	var errLow, errHigh error
	l.Min, errLow = time.ParseDuration(low)
	l.Max, errHigh = time.ParseDuration(high)
	if errLow != nil || errHigh != nil || l.Min < 0 || l.Max < l.Min || l.Max == 0 {
		return strictyaml.Faults{n.Fault("want a state and how long it lasts, such as running 4s..20s")}
	}
	return nil
}

// UnmarshalNode reads a mapping and keeps where it stands.
func (t *Transition) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	type plain Transition
	t.node = n
	return n.Decode((*plain)(t))
}

// UnmarshalNode decodes the section and checks everything that can be checked
// without the rest of the file.
func (s *Simulation) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	type plain Simulation // without this method, or Decode would come back here
	s.node = n
	faults := n.Decode((*plain)(s))
	if len(faults) > 0 {
		return faults
	}
	for _, t := range s.templates() {
		faults = append(faults, t.checkNames(s.Values)...)
	}
	faults = append(faults, s.checkValues(n)...)
	faults = append(faults, s.checkStates(n)...)
	return append(faults, s.checkCourses(n)...)
}

// File is what the rest of a provider file says that its simulation depends on.
type File struct {
	HasParam  func(name string) bool
	Request   func(route string) []string // what is wrong with "POST /jobs/{id}/pause"
	Documents []int                       // codes that need no body
	Sweep     bool                        // it has one
	Inbound   bool                        // it has one
}

// CheckFile checks the section against the rest of its file.
func (s *Simulation) CheckFile(f File) strictyaml.Faults {
	var faults strictyaml.Faults
	for _, t := range s.templates() {
		for _, piece := range t.pieces {
			if piece.Name == "param" && !f.HasParam(piece.Args) {
				faults = append(faults, t.node.Fault("{param:NAME} names no parameter of this file"))
			}
		}
	}
	for _, t := range s.transitions() {
		faults = append(faults, t.checkRequest(f, t != s.Cancel && t != s.Continue)...)
	}
	for name, state := range s.States {
		if state.Body.Empty() && !slices.Contains(f.Documents, cmp.Or(int(state.Code), 200)) {
			faults = append(faults, s.node.Get("states").Get(name).Fault("wants a body, or a code of poll.documents"))
		}
	}
	if s.Listing != nil && !f.Sweep {
		faults = append(faults, s.node.Get("listing").Fault("is the answer to sweep.request, and this file has no sweep"))
	}
	if s.Message != nil && !f.Inbound {
		faults = append(faults, s.node.Get("message").Fault("is signed as inbound.verify says, and this file has no inbound"))
	}
	return faults
}

// checkRequest checks that an action, and nothing else, names a request.
func (t *Transition) checkRequest(f File, action bool) strictyaml.Faults {
	if !action {
		if t.Request != "" {
			return strictyaml.Faults{t.node.Get("request").Fault("means nothing here: the file's own requests are meant")}
		}
		return nil
	}
	at := t.node
	if n := t.node.Get("request"); n != nil {
		at = n
	}
	var faults strictyaml.Faults
	for _, message := range f.Request(t.Request) {
		faults = append(faults, at.Fault("%s", message))
	}
	return faults
}

// checkValues refuses values that insert themselves, however indirectly.
func (s *Simulation) checkValues(n *strictyaml.Node) strictyaml.Faults {
	var faults strictyaml.Faults
	var inserts func(name string, trail []string) bool
	inserts = func(name string, trail []string) bool {
		if slices.Contains(trail, name) {
			return true
		}
		for _, t := range s.Values[name] {
			for _, piece := range t.pieces {
				_, fallback := piece.Request()
				if next := cmp.Or(fallback, piece.Name); s.Values[next] != nil && inserts(next, append(trail, name)) {
					return true
				}
			}
		}
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(s.Values)) {
		if inserts(name, nil) {
			faults = append(faults, n.Get("values").Get(name).Fault("inserts itself"))
		}
		if builtin(name) {
			faults = append(faults, n.Get("values").Get(name).Fault("is the name of a built-in placeholder"))
		}
	}
	return faults
}

func (s *Simulation) checkStates(n *strictyaml.Node) strictyaml.Faults {
	var faults strictyaml.Faults
	if s.ID.Empty() {
		faults = append(faults, n.Fault("wants an id"))
	}
	for _, name := range slices.Sorted(maps.Keys(s.States)) {
		node, state := n.Get("states").Get(name), s.States[name]
		if !state.Status.Valid() {
			faults = append(faults, node.Fault("wants a status, one of the nine"))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Answers)) {
		if !slices.Contains(Situations[:], name) {
			faults = append(faults, n.Get("answers").Get(name).Fault("want one of %s", strings.Join(Situations[:], ", ")))
		}
	}
	return faults
}

// checkCourses checks that every course leads through known states and only
// its last leg lasts for ever.
func (s *Simulation) checkCourses(n *strictyaml.Node) strictyaml.Faults {
	var faults strictyaml.Faults
	course := func(legs []Leg) {
		for i, leg := range legs {
			if _, ok := s.States[leg.State]; !ok {
				faults = append(faults, leg.node.Fault("names no state of this section"))
			}
			if last := i == len(legs)-1; last != (leg.Max == 0) {
				faults = append(faults, leg.node.Fault("every state but the last lasts for a time, the last for ever"))
			}
		}
	}
	weights := 0.0
	for _, name := range slices.Sorted(maps.Keys(s.Lifecycles)) {
		node, l := n.Get("lifecycles").Get(name), s.Lifecycles[name]
		if len(l.Path) == 0 {
			faults = append(faults, node.Fault("wants a path"))
		}
		if l.Weight < 0 || l.BodyBytes < 0 || l.BodyBytes > 64<<20 {
			faults = append(faults, node.Fault("weight and body_bytes are not negative, and body_bytes at most 64MiB"))
		}
		weights += l.Weight
		course(l.Path)
	}
	if weights <= 0 {
		faults = append(faults, n.Fault("wants a lifecycle with a weight"))
	}
	for _, t := range s.transitions() {
		course(t.To)
		for i, name := range t.From {
			if _, ok := s.States[name]; !ok {
				faults = append(faults, t.node.Get("from").List()[i].Fault("names no state of this section"))
			}
		}
	}
	return faults
}

func (s *Simulation) transitions() []*Transition {
	var all []*Transition
	for _, t := range []*Transition{s.Cancel, s.Continue} {
		if t != nil {
			all = append(all, t)
		}
	}
	for i := range s.Actions {
		all = append(all, &s.Actions[i])
	}
	return all
}

// answers lists every answer of the section in a fixed order.
func (s *Simulation) answers() []AnswerSpec {
	var all []AnswerSpec
	for _, name := range slices.Sorted(maps.Keys(s.States)) {
		all = append(all, s.States[name].AnswerSpec)
	}
	for _, c := range s.Create {
		all = append(all, c.AnswerSpec)
	}
	for _, t := range s.transitions() {
		all = append(all, t.Answer, t.Refused)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Answers)) {
		all = append(all, s.Answers[name])
	}
	if s.Listing != nil {
		all = append(all, s.Listing.AnswerSpec)
	}
	if s.Message != nil {
		all = append(all, *s.Message)
	}
	return all
}

// templates lists every template of the section that is written.
func (s *Simulation) templates() []Template {
	all := []Template{s.ID}
	if s.Listing != nil {
		all = append(all, s.Listing.Item)
	}
	collect := func(headers map[string]Template) {
		for _, name := range slices.Sorted(maps.Keys(headers)) {
			all = append(all, headers[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Values)) {
		all = append(all, s.Values[name]...)
	}
	collect(s.Headers)
	for _, a := range s.answers() {
		collect(a.Headers)
		all = append(all, a.Body)
	}
	return slices.DeleteFunc(all, Template.Empty)
}

// RequestPaths lists the GJSON paths that templates read from the body of a
// creating request, each once.
func (s *Simulation) RequestPaths() []string {
	var paths []string
	for _, t := range s.templates() {
		for _, piece := range t.pieces {
			if path, _ := piece.Request(); path != "" && !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
	}
	return paths
}
