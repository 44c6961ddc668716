package sandbox

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"pollux/normalize"
	"pollux/providers"
	"pollux/providers/format"
	"pollux/providers/sandbox/script"
	"pollux/providers/signatures"
)

// samples is how many tasks of each state are looked at, so that every
// template of a value has its turn.
const samples = 16

// sampleValue stands for parameters that only the caller knows.
const sampleValue = "sample1"

// Verify renders everything that p's simulation may say and checks that the
// rest of p's file makes of it what the section declares: each state its
// status, each create answer the task's id, each refusal its kind. So a
// sandbox cannot drift from the provider it plays.
func Verify(p *providers.Provider) error {
	v := verifier{p: p, sim: p.Simulation}
	for _, name := range slices.Sorted(maps.Keys(v.sim.States)) {
		v.state(name)
	}
	v.creates()
	v.situations()
	v.listing()
	v.message()
	return errors.Join(v.faults...)
}

type verifier struct {
	p      *providers.Provider
	sim    *script.Simulation
	faults []error
}

func (v *verifier) fault(format string, args ...any) {
	v.faults = append(v.faults, fmt.Errorf("%s.yaml: simulation.%s", v.p.Name, fmt.Sprintf(format, args...)))
}

// scene returns sample number i, in a state.
func (v *verifier) scene(i int, state string) *scene {
	now := time.Unix(1_770_000_000, 0)
	params := map[string]string{}
	for _, param := range v.p.Params {
		params[param.Name] = sampleValue
	}
	t := task{
		seed: uint64(i), canary: canary(0, sampleValue, sampleValue),
		created: now.Add(-time.Minute), course: []stay{{state, now.Add(-time.Second)}},
	}
	c := &scene{sim: v.sim, task: t, params: params, now: now, quota: quota{wait: time.Second}, raw: true}
	c.task.id = string(v.sim.ID.Append(nil, c.fill))
	params[idParam(v.p)] = c.task.id
	c.raw = false
	return c
}

// judge asks the provider what it makes of an answer about c's task.
func (v *verifier) judge(c *scene, a answer) providers.Verdict {
	ref := providers.Reference{Values: make([]string, len(v.p.Params))}
	for i, param := range v.p.Params {
		ref.Values[i] = c.params[param.Name]
	}
	return v.p.Judge(ref, a.code, headerOf(a), a.body, c.now)
}

func headerOf(a answer) http.Header {
	header := http.Header{}
	for name, value := range a.header {
		header.Set(name, value)
	}
	return header
}

func (v *verifier) state(name string) {
	want := v.sim.States[name]
	for i := range samples {
		c := v.scene(i, name)
		got := v.judge(c, c.render(want.AnswerSpec, http.StatusOK))
		switch {
		case got.Kind != providers.Answered:
			v.fault("states.%s: its body is no answer to a poll: %s", name, got.Reason)
			return
		case got.Task.Status != want.Status:
			v.fault("states.%s: its body means %s, not %s", name, got.Task.Status, want.Status)
			return
		case got.Task.ID != c.task.id:
			v.fault("states.%s: its body does not name the task that was asked for", name)
			return
		}
	}
}

// creates checks that each create answer tells the id of its task, and that
// made ids fit the pattern.
func (v *verifier) creates() {
	if len(v.p.Creates) > 0 && len(v.sim.Create) == 0 {
		v.fault("create: is missing: the answers to creating requests")
	}
	for _, param := range v.p.Params {
		if c := v.scene(0, v.anyState()); param.Name == idParam(v.p) && !fits(param, c.task.id) {
			v.fault("id: does not fit the pattern of %s", param.Name)
		}
	}
	for i, answer := range v.sim.Create {
		route := slices.IndexFunc(v.p.Creates, func(c format.Create) bool {
			return answer.Request == "" || answer.Request == c.Request.String()
		})
		if route < 0 {
			v.fault("create[%d].request: is no create of this file", i)
			continue
		}
		c := v.scene(i, v.anyState())
		said := c.render(answer.AnswerSpec, http.StatusOK)
		if got := providers.CreatedID(&v.p.Creates[route], headerOf(said), said.body); got != c.task.id {
			v.fault("create[%d].body: create.id does not find the id in it", i)
		}
	}
}

func (v *verifier) anyState() string { return slices.Min(slices.Collect(maps.Keys(v.sim.States))) }

// listing checks that a page tells of every task what its own poll would; with
// sweep.partial only its status counts.
func (v *verifier) listing() {
	l := v.sim.Listing
	if l == nil {
		return
	}
	page := v.scene(0, v.anyState())
	want := map[string]normalize.Status{}
	for i, name := range slices.Sorted(maps.Keys(v.sim.States)) {
		status := v.sim.States[name].Status
		if !v.p.Sweep.Covers(status) {
			continue
		}
		if l.Item.Empty() && v.sim.States[name].Body.Empty() {
			v.fault("listing: state %s has no body that could be listed: give item, or leave %s out of sweep.covers", name, status)
			return
		}
		c := v.scene(i, name)
		if len(want) > 0 {
			page.tasks = append(page.tasks, ',')
		}
		page.tasks = l.Of(page.tasks, v.sim.States[name], c.fill)
		want[c.task.id] = status
	}
	a := page.render(l.AnswerSpec, http.StatusOK)
	ref := providers.Reference{Values: make([]string, len(v.p.Params))}
	for i, param := range v.p.Params {
		ref.Values[i] = page.params[param.Name]
	}
	read, verdict, ok := v.p.ReadSweep(ref, providers.Answer{Code: a.code, Header: headerOf(a), Body: a.body}, func(string) bool { return true }, page.now)
	if !ok {
		v.fault("listing: is no listing: %s", verdict.Reason)
		return
	}
	for _, item := range read.Items {
		id := item.Verdict.Task.ID
		if item.Verdict.Task.Status != want[id] {
			v.fault("listing: an item means %s, not %s", item.Verdict.Task.Status, want[id])
		}
		delete(want, id)
	}
	if len(want) > 0 {
		v.fault("listing: %d tasks are not found in it, or are no answers", len(want))
	}
}

// message checks that a message names its task.
func (v *verifier) message() {
	if v.sim.Message == nil {
		return
	}
	c := v.scene(0, v.anyState())
	a := c.render(*v.sim.Message, http.StatusOK)
	header, secret := headerOf(a), "whsec_c2FtcGxlIHNlY3JldA=="
	query, ok := v.p.Inbound.Sign(header, a.body, secret, c.now)
	if !ok {
		return
	}
	m, err := v.p.Receive(header, query, a.body, signatures.Sender{Secret: secret}, c.now)
	if err != nil || m.TaskID != c.task.id {
		v.fault("message: does not name its task, or is not signed as inbound.verify says")
	}
}

// situations checks the refusals that are answers to a poll.
func (v *verifier) situations() {
	kinds := []struct {
		name string
		code int
		want []providers.Kind
	}{
		{"not_found", 404, []providers.Kind{providers.NotFound}},
		{"foreign", 404, []providers.Kind{providers.NotFound, providers.Forbidden}},
		{"unauthenticated", 401, []providers.Kind{providers.Unauthorized}},
		{"refused", 401, []providers.Kind{providers.Unauthorized}},
		{"rate_limited", 429, []providers.Kind{providers.RateLimited}},
		{"server_error", 500, []providers.Kind{providers.BadAnswer}},
		{"unavailable", 503, []providers.Kind{providers.BadAnswer}},
		{"invalid", 400, []providers.Kind{providers.Rejected}},
		{"bad_route", 404, []providers.Kind{providers.BadAnswer, providers.NotFound}},
	}
	for _, k := range kinds {
		spec, ok := v.sim.Answers[k.name]
		if !ok {
			continue
		}
		c := v.scene(0, v.anyState())
		if got := v.judge(c, c.render(spec, k.code)); !slices.Contains(k.want, got.Kind) {
			v.fault("answers.%s: a poll that gets it is not judged so", k.name)
		}
	}
}
