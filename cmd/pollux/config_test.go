package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pollux/cmd/pollux/config"
	"pollux/providers"
	"pollux/providers/sandbox"
)

// load reads the configuration as at a start.
func load(path string, env func(string) (string, bool)) (*config.Loaded, error) {
	return config.Source{File: path, Env: env}.Load(nil)
}

// exampleFile is the commented example.
const exampleFile = "../../config.yaml"

const acmeProvider = `name: acme
docs: https://docs.acme.example
verified: 2026-11-22
base_url: https://api.acme.example
identity: {headers: [Authorization], need: any, scheme: Bearer}
params: {job_id: {in: path}}
poll: {request: 'GET /jobs/{job_id}', first: 1s, min: 1s, max: 10s}
status: {path: state, words: {RUNNING: in_progress, DONE: completed}}
fields: {id: id, output.text: result}
`

// write makes a file of that name in a directory of its own.
func write(t *testing.T, name, text string) string {
	t.Helper()
	return writeIn(t, t.TempDir(), name, text)
}

func writeIn(t testing.TB, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestWarnings(t *testing.T) {
	const held = "upstreams: {o: {provider: orq, credential: {value: \"${SHANNON_API_KEY}\"}}, s: {provider: shannon, base_url: \"http://127.0.0.1:8081\"}}\n"
	client := func(key string) string {
		return held + "clients: [{name: c, key: '" + key + "', upstreams: ['*'], scopes: [read]}]"
	}
	dir := t.TempDir()
	locked := filepath.Join(dir, "file") // no directory, so nothing can be written below it, even by root
	if err := os.WriteFile(locked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, text, want string }{
		{"a held credential, and no clients", held, "Pollux holds the credential of o and clients: is empty, so whoever reaches 127.0.0.1:8080 may use it: " +
			"make keys with pollux key new, and list them under clients:"},
		{"a held credential, and a client with a hash", client("sha256:" + strings.Repeat("0", 64)), ""},
		{"a plain key that is long", client("k-" + strings.Repeat("x", 22)), ""},
		{"a plain key that is short", client("k-" + strings.Repeat("x", 21)), "clients[0].key, of c, has fewer than 24 characters and can be guessed: make one with pollux key new"},
		{"callers bring credentials", "upstreams: {s: {provider: shannon, base_url: \"http://127.0.0.1:8081\"}}", ""},
		{"a store that can be written", "store: {path: " + filepath.Join(dir, "new", "pollux.db") + "}", ""},
		{"no store", "store: {driver: none, path: " + filepath.Join(locked, "pollux.db") + "}", ""},
		{"a store below a file", "store: {path: " + filepath.Join(locked, "pollux.db") + "}", "store.path: " + filepath.Join(locked, "pollux.db") + " cannot be written: not a directory"},
		{"a store in a place that does not take files", "store: {path: /proc/pollux.db}", "store.path: nothing can be written to the directory /proc: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("SHANNON_API_KEY", "canary-shannon")
			file := write(t, "config.yaml", c.text)
			got := runWith(t, "", "check", file)
			want := ""
			if c.want != "" {
				want = "warning: " + c.want
			}
			if got.code != exitOK || !strings.HasPrefix(got.stderr, want) || want == "" && got.stderr != "" {
				t.Errorf("got %+v, want %q", got, want)
			}
		})
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("check left %v behind: %v", left, err)
	}
}

// TestExampleAgainstTheSandbox: the example finds the sandbox where that
// listens, and polls there.
func TestExampleAgainstTheSandbox(t *testing.T) {
	set, err := providers.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	simulated, err := sandbox.New(set, sandbox.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(simulated)
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	dir := t.TempDir()
	text := strings.NewReplacer("localhost:8081", host, "127.0.0.1:8080", "127.0.0.1:0", "path: pollux.db", "path: "+filepath.Join(dir, "pollux.db")).
		Replace(read(t, exampleFile))
	if strings.Count(text, host) != 1 || !strings.Contains(runWith(t, "", "sandbox", "--help").stdout, "(default 127.0.0.1:8081)") {
		t.Fatal("config.yaml does not lead to where pollux sandbox listens")
	}
	p := start(t, "serve", "--config", write(t, "config.yaml", text))
	base := "http://" + p.stderr.await(t, `msg=listening address=(\S+)`)[1]
	id, err := simulated.Create("shannon", nil, "me", "")
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodGet, base+"/v1/tasks/shannon/"+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-API-Key", "me")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("GET %s: %s", request.URL, answer.Status)
	}
	if code := p.end(t); code != exitOK {
		t.Errorf("serve ended with %d:\n%s", code, p.stderr)
	}
}
