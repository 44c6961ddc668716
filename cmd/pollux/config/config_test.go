package config

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/proxy/access"
	"pollux/proxy/poller/upstream"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// exampleFile is the commented example.
const exampleFile = "../../../config.yaml"

// testEnvironment is what ${NAME} stands for in the files of testdata.
func testEnvironment(name string) (string, bool) {
	value, ok := map[string]string{"SHANNON_API_KEY": "canary-shannon", "CI_KEY": "canary-client-key"}[name]
	return value, ok
}

// nothingSet is an environment without variables.
func nothingSet(string) (string, bool) { return "", false }

// load reads the configuration as at a start.
func load(path string, env func(string) (string, bool)) (*Loaded, error) {
	return Source{File: path, Env: env}.Load(nil)
}

func TestExampleHasEveryDefault(t *testing.T) {
	got, err := load(exampleFile, nothingSet)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.TrustedProxies = []string{}
	want.Cache.MaxBytes = mostCache // and less in a small container
	want.Clients, want.Webhooks.AllowNetworks = []access.ClientConfig{}, []string{}
	want.Upstreams = map[string]upstream.Config{}
	for name := range got.Upstreams {
		u := upstream.DefaultConfig()
		u.Provider = name
		want.Upstreams[name] = u
	}
	full := want.Upstreams["shannon"]
	grace := full.Reauthorize // what leaving it out means
	full.BaseURL, full.Params, full.ReauthorizeGrace = "http://localhost:8081/shannon", map[string]string{}, &grace
	want.Upstreams["shannon"] = full
	if !reflect.DeepEqual(got.Config, want) {
		t.Errorf("config.yaml decodes to\n%+v\nwant\n%+v", got.Config, want)
	}
}

func TestExampleHasEveryKey(t *testing.T) {
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keysOf(reflect.TypeFor[Config]()) {
		if !regexp.MustCompile(`(?m)[\s{]`+regexp.QuoteMeta(key)+`:`).Match(text) && !strings.HasPrefix(string(text), key+":") {
			t.Errorf("config.yaml does not mention %s", key)
		}
	}
}

// keysOf lists the keys of t and of what it holds.
func keysOf(t reflect.Type) []string {
	keys := map[string]bool{}
	var walk func(reflect.Type)
	walk = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(t.Elem())
		case reflect.Struct:
			for i := range t.NumField() {
				if name := t.Field(i).Tag.Get("yaml"); name != "" {
					keys[name] = true
				}
				walk(t.Field(i).Type)
			}
		}
	}
	walk(t)
	return slices.Sorted(maps.Keys(keys))
}

func TestKeysOfFindsNestedOnes(t *testing.T) {
	keys := keysOf(reflect.TypeFor[Config]())
	for _, key := range []string{"listen", "per_second", "scopes", "requires_action", "burst", "retention", "open_for_max"} {
		if !slices.Contains(keys, key) {
			t.Errorf("keysOf misses %s", key)
		}
	}
}

// TestBadConfigs compares the faults of each testdata/*.yaml with the
// .faults beside it.
func TestBadConfigs(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("found %d bad configs: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := load(file, testEnvironment)
			got := strings.ReplaceAll(fmt.Sprintln(err), "testdata/", "")
			golden := strings.TrimSuffix(file, ".yaml") + ".faults"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("faults of %s:\n%swant:\n%s", file, got, want)
			}
			if strings.Contains(got, "canary") {
				t.Errorf("faults of %s show a value:\n%s", file, got)
			}
		})
	}
}

func TestNoConfigFile(t *testing.T) {
	t.Chdir(t.TempDir())
	l, err := load("", nothingSet)
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(l.Upstreams))
	// vessl, a2a and others have no address of their own, and shannon's is where we listen.
	var want []string
	for _, p := range l.Providers.All() {
		if p.BaseURL != "" && p.Name != "shannon" {
			want = append(want, p.Name)
		}
	}
	if !slices.Equal(names, want) || len(want) < 20 {
		t.Errorf("upstreams are %v, want %v", names, want)
	}
	if l.File != "" || l.Listen != "127.0.0.1:8080" {
		t.Errorf("file %q, listen %q", l.File, l.Listen)
	}
	if err := os.WriteFile("config.yaml", []byte("log: {level: warn}\nstore: {retention: 24h}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err = load("", nothingSet); err != nil {
		t.Fatal(err)
	}
	if l.Log.Level != "warn" || time.Duration(l.Store.Retention) != 24*time.Hour || len(l.Upstreams) != len(want) {
		t.Errorf("config.yaml gives %+v", l.Config)
	}
}

// TestNoSecretPrints has a config with every kind of secret printed in all ways.
func TestNoSecretPrints(t *testing.T) {
	l, err := load(write(t, "config.yaml", `{
	"clients": [{"name": "ci", "key": "plx_canary-client-key-of-enough-length", "upstreams": ["*"], "scopes": ["read"]}],
	"upstreams": {
		"a": {"provider": "github-actions", "base_url": "http://127.0.0.1:1", "credential": {"value": "canary-value"}, "inbound": {"secret": "canary-inbound-of-enough-length"}, "proxy": "http://u:canary-proxy@127.0.0.1:1"},
		"b": {"provider": "slurm", "base_url": "http://127.0.0.1:1", "credential": {"headers": {"X-SLURM-USER-NAME": "canary-name", "X-SLURM-USER-TOKEN": "canary-token"}}},
		"c": {"provider": "databricks", "base_url": "http://127.0.0.1:1", "credential": {"oauth2": {"token_url": "http://127.0.0.1:1/t", "client_id": "id", "client_secret": "canary-oauth"}}}
	},
	"webhooks": {"proxy": "http://u:canary-webhooks@127.0.0.1:1"},
	"store": {"driver": "postgres", "address": "postgres://u:canary-address@127.0.0.1/p"}
}`), nothingSet)
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := json.Marshal(l.Config)
	if err != nil {
		t.Fatal(err)
	}
	all := string(rendered)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d"} {
		all += fmt.Sprintf(verb, l.Config)
	}
	for _, secret := range l.Secrets() {
		if secret != "" && strings.Contains(all, secret) {
			t.Errorf("the config prints %q", secret)
		}
	}
	if n := len(l.Secrets()); n < 9 || strings.Contains(all, "canary") {
		t.Errorf("%d secrets are known, and others print: %s", n, all)
	}
}

func TestEnvironment(t *testing.T) {
	file := write(t, "config.yaml", `{
	"listen": "127.0.0.1:9000",
	"upstreams": {"s": {"provider": "shannon", "credential": {"value": "${SHANNON_API_KEY}"}}},
	"clients": [{"name": "ci", "key": "${CI_KEY}", "upstreams": ["s"], "scopes": ["read"]}]
}`)
	l, err := load(file, testEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	if got := l.Upstreams["s"].Credential.Value; got != "canary-shannon" {
		t.Errorf("the credential is %q", got)
	}
	if want := []string{"canary-client-key", "canary-shannon"}; !slices.Equal(l.Secrets(), want) {
		t.Errorf("secrets are %q, want %q", l.Secrets(), want)
	}
	if warnsOf(l, "others may read it") {
		t.Errorf("warned without a reason: %q", l.Warnings)
	}
	if _, err := load(file, nothingSet); err == nil || !strings.Contains(err.Error(), "SHANNON_API_KEY is not set") ||
		!strings.Contains(err.Error(), "CI_KEY is not set") {
		t.Errorf("unset variables: %v", err)
	}
}

func TestSecretsInClear(t *testing.T) {
	hash := "sha256:" + strings.Repeat("0", 64)
	cases := []struct {
		name, text string
		mode       os.FileMode
		warned     bool
	}{
		{"credential, readable", "upstreams: {o: {provider: orq, credential: {value: k3y}}}", 0o644, true},
		{"credential, private", "upstreams: {o: {provider: orq, credential: {value: k3y}}}", 0o600, false},
		{"variable, readable", "upstreams: {o: {provider: orq, credential: {value: \"${SHANNON_API_KEY}\"}}}", 0o644, false},
		{"client secret, readable", "upstreams: {o: {provider: orq, credential: {oauth2: {token_url: 'https://a.example/', client_id: me, client_secret: k3y}}}}", 0o644, true},
		{"message secret, readable", "upstreams: {o: {provider: runpod, inbound: {secret: k3y}}}", 0o644, true},
		{"header, readable", "upstreams: {o: {provider: litellm-responses, base_url: 'https://llm.example', credential: {headers: {Authorization: Bearer k3y}}}}", 0o644, true},
		{"proxy password, readable", "webhooks: {proxy: 'http://user:k3y@proxy.example:3128'}", 0o644, true},
		{"proxy variable, readable", "webhooks: {proxy: 'http://user:${SHANNON_API_KEY}@proxy.example:3128'}", 0o644, false},
		{"proxy without password, readable", "webhooks: {proxy: 'http://proxy.example:3128'}", 0o644, false},
		{"proxy of an upstream, readable", "upstreams: {o: {provider: orq, proxy: 'http://user:k3y@proxy.example:3128'}}", 0o644, true},
		{"client, readable", "clients: [{name: c, key: k3yk3y, upstreams: ['*'], scopes: [read]}]", 0o640, true},
		{"hash, readable", "clients: [{name: c, key: '" + hash + "', upstreams: ['*'], scopes: [read]}]", 0o644, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			file := write(t, "config.yaml", c.text)
			if err := os.Chmod(file, c.mode); err != nil {
				t.Fatal(err)
			}
			l, err := load(file, testEnvironment)
			if err != nil {
				t.Fatal(err)
			}
			if warned := warnsOf(l, "others may read it"); warned != c.warned {
				t.Errorf("warnings %q, want any: %t", l.Warnings, c.warned)
			}
		})
	}
}

func warnsOf(l *Loaded, what string) bool {
	return slices.ContainsFunc(l.Warnings, func(w string) bool { return strings.Contains(w, what) })
}

func TestProviderDir(t *testing.T) {
	dir := t.TempDir()
	writeIn(t, dir, "acme.yaml", acmeProvider)
	file := write(t, "config.yaml", "provider_dir: "+dir+"\nupstreams: {a: {provider: acme}}\n")
	l, err := load(file, nothingSet)
	if err != nil {
		t.Fatal(err)
	}
	if l.Providers.Get("acme") == nil || l.Providers.Get("orq") == nil {
		t.Error("own and built-in providers are not both there")
	}
	writeIn(t, dir, "acme.yaml", strings.Replace(acmeProvider, "docs:", "dosc:", 1))
	writeIn(t, dir, "orq.yaml", strings.Replace(acmeProvider, "name: acme", "name: orq", 1))
	_, err = load(file, nothingSet)
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "acme.yaml")) || strings.Contains(err.Error(), "names no provider") {
		t.Errorf("bad provider file: %v", err)
	}
}

func TestLeadsBack(t *testing.T) {
	cases := []struct {
		base, listen, public string
		want                 bool
	}{
		{"http://localhost:8080", "127.0.0.1:8080", "", true},
		{"http://127.0.0.1:8080/api", "localhost:8080", "", true},
		{"http://[::1]:8080", "[::1]:8080", "", true},
		{"http://127.0.0.1:8080", "0.0.0.0:8080", "", true},
		{"http://127.0.0.1:8080", ":8080", "", true},
		{"http://10.1.1.1:8080", "10.1.1.1:8080", "", true},
		{"http://localhost", "127.0.0.1:80", "", true},
		{"https://localhost", "127.0.0.1:443", "", true},
		{"https://pollux.example.com/x", "127.0.0.1:8080", "https://pollux.example.com", true},
		{"http://localhost:8081", "127.0.0.1:8080", "", false},
		{"http://127.0.0.2:8080", "127.0.0.1:8080", "", false},
		{"http://10.1.1.2:8080", "10.1.1.1:8080", "", false},
		{"https://api.orq.ai", "127.0.0.1:443", "", false},
		{"http://127.0.0.1:0", "127.0.0.1:0", "", false},
		{"", "127.0.0.1:8080", "", false},
	}
	for _, c := range cases {
		if got := leadsBack(c.base, c.listen, c.public); got != c.want {
			t.Errorf("leadsBack(%q, %q, %q) = %t, want %t", c.base, c.listen, c.public, got, c.want)
		}
	}
}

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

func writeIn(t *testing.T, dir, name, text string) string {
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
