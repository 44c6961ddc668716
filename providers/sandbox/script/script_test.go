package script_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"pollux/providers"
	"pollux/providers/sandbox/script"
)

const playedFile = `name: acme
identity: {headers: [Authorization], need: any}
params: {id: {in: path}}
poll: {request: 'GET /jobs/{id}'}
cancel: {request: 'DELETE /jobs/{id}'}
status: {path: state, words: {ACTIVE: in_progress, DONE: completed}}
fields: {id: id}
simulation:
  id: '{alnum:8}'
  values: {greeting: [hello, 'good {night}'], night: day}
  states:
    active: {status: in_progress, body: '{"id": "{id}", "state": "ACTIVE"}'}
    done: {status: completed, body: '{"id": "{id}", "state": "DONE", "text": "{greeting}"}'}
  lifecycles:
    answer: {weight: 1, path: [active 1s..2s, done]}
  cancel: {from: [active], to: [done], answer: {code: 202}}
  actions:
    - {request: 'POST /jobs/{id}/pause', from: [active]}
  answers:
    not_found: {body: '{"error": "none"}'}
`

func loadPlayed(text string) (*providers.Set, error) {
	return providers.Load(fstest.MapFS{"acme.yaml": {Data: []byte(text)}})
}

func TestSimulationFaults(t *testing.T) {
	tests := []struct{ name, old, new, want string }{
		{"nothing wrong", "", "", ""},
		{"unknown key", "lifecycles:", "lives:", "acme.yaml:14:3: simulation.lives: unknown key"},
		{"unknown placeholder", `"{id}", "state": "ACTIVE"`, `"{ident}", "state": "ACTIVE"`, "acme.yaml:12:41: simulation.states.active.body: unknown placeholder {ident}"},
		{"unknown moment", `"ACTIVE"`, `"{now_soon}"`, "unknown placeholder {now_soon}"},
		{"size", "{alnum:8}", "{alnum:0}", "acme.yaml:9:7: simulation.id: {alnum:N} wants a length from 1 to 256"},
		{"parameter", "{alnum:8}", "{param:nobody}", "acme.yaml:9:7: simulation.id: {param:NAME} names no parameter of this file"},
		{"value in place of a request", "state\": \"ACTIVE\"", "state\": \"ACTIVE\", \"q\": \"{request:query:nobody}\"", "{request:path:value} names no value of this section"},
		{"value of itself by a request", "night: day", "night: '{request:q:greeting}'", "simulation.values.greeting: inserts itself"},
		{"value of itself", "night: day", "night: '{greeting}'", "simulation.values.greeting: inserts itself"},
		{"value with a taken name", "night: day", "night: day, percent: x", "simulation.values.percent: is the name of a built-in placeholder"},
		{"empty choice", "[hello, 'good {night}']", "[]", "simulation.values.greeting: want a text or a list of texts"},
		{"status", "status: in_progress", "status: busy", "simulation.states.active: wants a status, one of the nine"},
		{"unknown state", "[active 1s..2s, done]", "[idle 1s, done]", "acme.yaml:15:32: simulation.lifecycles.answer.path[0]: names no state of this section"},
		{"last state with an end", "[active 1s..2s, done]", "[active 1s..2s, done 3s]", "the last for ever"},
		{"other state without one", "[active 1s..2s, done]", "[active, done]", "every state but the last lasts for a time"},
		{"span", "1s..2s", "2s..1s", "want a state and how long it lasts, such as running 4s..20s"},
		{"no path", "[active 1s..2s, done]", "[]", "simulation.lifecycles.answer: wants a path"},
		{"no weight", "weight: 1", "weight: 0", "simulation: wants a lifecycle with a weight"},
		{"from", "from: [active], to", "from: [idle], to", "acme.yaml:16:19: simulation.cancel.from[0]: names no state of this section"},
		{"to", "to: [done]", "to: [idle]", "simulation.cancel.to[0]: names no state of this section"},
		{"code", "code: 202", "code: 102", "acme.yaml:16:55: simulation.cancel.answer.code: want an HTTP status from 200 to 599"},
		{"request of an action", "POST /jobs/{id}/pause", "/jobs/{id}/pause", "acme.yaml:18:17: simulation.actions[0].request: want a method and a path"},
		{"request of a cancel", "cancel: {from:", "cancel: {request: 'PUT /x', from:", "simulation.cancel.request: means nothing here"},
		{"situation", "not_found:", "lost:", "simulation.answers.lost: want one of not_found, foreign"},
		{"no id", "id: '{alnum:8}'", "id: ''", "simulation: wants an id"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if !strings.Contains(playedFile, test.old) {
				t.Fatalf("%q is not in the file", test.old)
			}
			_, err := loadPlayed(strings.Replace(playedFile, test.old, test.new, 1))
			switch {
			case test.want == "" && err != nil:
				t.Errorf("Load() = %v, want no fault", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("Load() = %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestTemplate(t *testing.T) {
	fill := func(dst []byte, p script.Piece) []byte { return append(dst, "<"+p.Name+"|"+p.Args+">"...) }
	for text, want := range map[string]string{
		"":                           "",
		"plain":                      "plain",
		`{"a": {}, "b": {{c}}}`:      `{"a": {}, "b": {<c|>}}`,
		"{a}{b:1:x}":                 "<a|><b|1:x>",
		`{\"x\":"{Upper}"} {9} { a}`: `{\"x\":"{Upper}"} {9} { a}`,
		"{open":                      "{open",
		"tail {":                     "tail {",
	} {
		if got := string(script.ParseTemplate(text).Append(nil, fill)); got != want {
			t.Errorf("template %q = %q, want %q", text, got, want)
		}
	}
}

// Any text is a template, and what is no placeholder comes out as it went in.
func FuzzTemplate(f *testing.F) {
	f.Add(`{"id": "{id}", "n": {percent}}`)
	f.Add("{hex:16:trace} {")
	f.Fuzz(func(t *testing.T, text string) {
		got := script.ParseTemplate(text).Append(nil, func(dst []byte, p script.Piece) []byte {
			dst = append(append(dst, '{'), p.Name...)
			if p.Args != "" {
				dst = append(append(dst, ':'), p.Args...)
			}
			return append(dst, '}')
		})
		if want := strings.ReplaceAll(text, ":}", "}"); strings.ReplaceAll(string(got), ":}", "}") != want {
			t.Errorf("template %q came out as %q", text, got)
		}
	})
}
