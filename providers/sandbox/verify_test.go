package sandbox

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pollux/providers"
)

// acme is a provider file of a user, with room for a simulation.
const acme = `name: acme
identity: {headers: [Authorization], need: any, scheme: Bearer}
params: {id: {in: path, pattern: '[a-z0-9]{1,32}'}}
poll: {request: 'GET /jobs/{id}'}
create: {request: POST /jobs, id: id}
status: {path: state, words: {WAITING: queued, ACTIVE: in_progress, DONE: completed, ERROR: failed}}
fields: {id: id}
`

// playable is a simulation that has nothing wrong with it.
const playable = `
simulation:
  id: '{alnum:8}'
  states:
    active: {status: in_progress, body: '{"id": "{id}", "state": "ACTIVE", "percent": {percent}}'}
    done: {status: completed, body: '{"id": "{id}", "state": "DONE", "text": "{filler}", "who": "{canary}"}'}
  lifecycles:
    answer: {weight: 1, path: [active 10s, done]}
  create:
    - body: '{"id": "{id}"}'
`

func load(files ...string) (*providers.Set, error) {
	fsys := fstest.MapFS{}
	for _, file := range files {
		name, _, _ := strings.Cut(strings.TrimPrefix(file, "name: "), "\n")
		fsys[name+".yaml"] = &fstest.MapFile{Data: []byte(file)}
	}
	return providers.Load(fsys)
}

func builtin(t *testing.T) *providers.Set {
	t.Helper()
	set, err := providers.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// simulated are the built-in providers that the sandbox plays.
func simulated(t *testing.T) []*providers.Provider {
	t.Helper()
	return slices.DeleteFunc(builtin(t).All(), func(p *providers.Provider) bool { return p.Simulation == nil })
}

func TestVerifyBuiltin(t *testing.T) {
	for _, p := range builtin(t).All() {
		t.Run(p.Name, func(t *testing.T) {
			if p.Simulation == nil {
				t.Fatal("the sandbox cannot play it: the file has no simulation")
			}
			if err := Verify(p); err != nil {
				t.Error(err)
			}
		})
	}
}

// Whatever drifts from the provider file is noticed.
func TestVerifyFindsDrift(t *testing.T) {
	tests := []struct{ name, old, new, want string }{
		{"nothing", "", "", ""},
		{"another status", "status: completed", "status: failed", "acme.yaml: simulation.states.done: its body means completed, not failed"},
		{"an unknown word", `"DONE"`, `"OVER"`, "acme.yaml: simulation.states.done: its body means unknown, not completed"},
		{"another task", `"id": "{id}", "state": "DONE"`, `"id": "other", "state": "DONE"`, "simulation.states.done: "},
		{"no JSON", `"percent": {percent}`, `"percent": `, "simulation.states.active: its body is no answer to a poll"},
		{"no id in the create answer", `- body: '{"id": "{id}"}'`, `- body: '{"job": "{id}"}'`, "simulation.create[0].body: create.id does not find the id in it"},
		{"a create that is none", `- body:`, "- request: POST /elsewhere\n      body:", "simulation.create[0].request: is no create of this file"},
		{"an id that does not fit", "'{alnum:8}'", "'{uuid}'", "simulation.id: does not fit the pattern of id"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if !strings.Contains(playable, test.old) {
				t.Fatalf("%q is not in the file", test.old)
			}
			set, err := load(acme + strings.Replace(playable, test.old, test.new, 1))
			if err != nil {
				t.Fatal(err)
			}
			_, err = New(set, Options{})
			if got := fmt.Sprint(err); err == nil && test.want != "" || err != nil && (test.want == "" || !strings.Contains(got, test.want)) {
				t.Errorf("New() = %v, want %q", err, test.want)
			}
		})
	}
}

// TestDocumentedSection: the section that the documentation shows works as it
// stands, behind the provider file that it belongs to.
func TestDocumentedSection(t *testing.T) {
	set, err := load(firstExample(t, "providers.md") + firstExample(t, "sandbox.md"))
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(set.Get("acme")); err != nil {
		t.Error(err)
	}
}

// firstExample is the first YAML example of a page.
func firstExample(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatalf("%s shows no example", page)
	}
	return example
}
