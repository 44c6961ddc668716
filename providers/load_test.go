package providers

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/tidwall/gjson"

	"pollux/normalize"
)

func TestLoadReportsEveryFile(t *testing.T) {
	set, err := Load(fstest.MapFS{
		"a.yaml":           {Data: []byte("name: b\n")},
		"team/c.yaml":      {Data: []byte("name: [\n")},
		"one/d.yaml":       {Data: []byte(minimal("d"))},
		"two/d.yaml":       {Data: []byte(minimal("d"))},
		"team/notes.txt":   {Data: []byte("not a provider")},
		"team/shannon.yml": {Data: []byte("nobody would read this")},
	})
	if set != nil || err == nil {
		t.Fatalf("Load = %v, %v, want faults only", set, err)
	}
	for _, want := range []string{"a.yaml:1:7: name: want a, as the file is called", "team/c.yaml:", "two/d.yaml:1:7: name: is the name of another provider",
		"team/shannon.yml: is not read: call it shannon.yaml"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Load = %v, want %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "notes") {
		t.Errorf("Load = %v, which is about files that are no providers", err)
	}
}

func minimal(name string) string {
	return "name: " + name + `
identity: {headers: [Authorization]}
params: {id: {in: path}}
poll: {request: 'GET /jobs/{id}'}
status: {path: state, words: {done: completed}}
fields: {id: id}
`
}

func TestMerge(t *testing.T) {
	own, err := Load(fstest.MapFS{"nested/acme.yaml": {Data: []byte(minimal("acme"))}})
	if err != nil {
		t.Fatal(err)
	}
	both, err := builtins(t).Merge(own)
	if err != nil || both.Get("acme") == nil || both.Get("orq") == nil {
		t.Fatalf("Merge = %v, want acme and orq in it", err)
	}
	if !slices.IsSortedFunc(both.All(), func(a, b *Provider) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("All is not sorted")
	}
	if builtins(t).Get("acme") != nil {
		t.Error("Merge changes the set it was called on")
	}
	clash, err := Load(fstest.MapFS{"orq.yaml": {Data: []byte(minimal("orq"))}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := builtins(t).Merge(clash); err == nil || !strings.Contains(err.Error(), "orq.yaml:1:7: name: is the name of another provider") {
		t.Errorf("Merge = %v, want that the name is taken", err)
	}
}

func TestMergeOfNothing(t *testing.T) {
	if set, err := builtins(t).Merge(nil); err != nil || len(set.All()) != 31 {
		t.Errorf("Merge(nil) = %v", err)
	}
	empty, err := Load(fstest.MapFS{})
	if err != nil || len(empty.All()) != 0 {
		t.Errorf("Load of an empty directory = %v", err)
	}
}

// TestLoadTakesRegularFilesOnly: a link to one is one, a pipe is never opened,
// a file is read no further than the parser would, and Kubernetes' own copies
// of a ConfigMap's files are not read again.
func TestLoadTakesRegularFilesOnly(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	shannon, err := os.ReadFile("shannon.yaml")
	must(err)
	must(os.Mkdir(filepath.Join(dir, "..2026"), 0o700))
	must(os.WriteFile(filepath.Join(dir, "..2026", "mine.yaml"), bytes.Replace(shannon, []byte("name: shannon"), []byte("name: mine"), 1), 0o600))
	must(os.Symlink("..2026", filepath.Join(dir, "..data")))
	must(os.Symlink(filepath.Join("..data", "mine.yaml"), filepath.Join(dir, "mine.yaml")))
	set, err := Load(os.DirFS(dir))
	if err != nil || set.Get("mine") == nil {
		t.Fatalf("a ConfigMap: %v", err)
	}
	must(syscall.Mkfifo(filepath.Join(dir, "pipe.yaml"), 0o600))
	large, err := os.Create(filepath.Join(dir, "large.yaml"))
	must(err)
	must(large.Truncate(1 << 40))
	must(large.Close())
	if _, err := Load(os.DirFS(dir)); err == nil || err.Error() != "large.yaml: is larger than 1 MiB\npipe.yaml: is no regular file" {
		t.Errorf("a pipe, and a file of 1 TiB: %v", err)
	}
}

func TestLoadOfADirectoryThatIsNotThere(t *testing.T) {
	if _, err := Load(os.DirFS(filepath.Join(t.TempDir(), "nowhere"))); err == nil {
		t.Error("Load accepts a directory that is not there")
	}
	if _, err := fs.ReadDir(builtinFiles, "."); err != nil {
		t.Errorf("built-in files: %v", err)
	}
}

// TestBuiltin holds the files to what everybody relies on.
func TestBuiltin(t *testing.T) {
	var names []string
	for _, p := range builtins(t).All() {
		names = append(names, p.Name)
		if p.Docs == "" || p.Verified == "" {
			t.Errorf("%s says neither where its rules come from nor when they were read", p.Name)
		}
		if p.Poll.Min < 500*time.Millisecond {
			t.Errorf("%s may be polled every %v", p.Name, p.Poll.Min)
		}
	}
	if got, want := strings.Join(names, " "), "a2a airbyte aitronos anthropic-batches assemblyai azure-async databricks dbt-cloud fal gemini-batches gemini-interactions github-actions google-lro gumloop gumloop-flow http-202 litellm-responses luma mistral-batches openai openai-batches openai-videos orq replicate runpod runway salesforce-bulk shannon slurm snowflake vessl"; got != want {
		t.Errorf("built in: %s, want %s", got, want)
	}
	for name, reopenable := range map[string]bool{"a2a": false, "aitronos": false, "gumloop": true, "gumloop-flow": false, "openai": false, "orq": true, "shannon": false, "vessl": false,
		"runpod": true, "github-actions": true, "databricks": true, "replicate": false, "runway": false} {
		if got := builtins(t).Get(name).Reopenable; got != reopenable {
			t.Errorf("%s: reopenable %v, want %v", name, got, reopenable)
		}
	}
	for _, name := range []string{"shannon", "vessl"} {
		if builtins(t).Get(name).Params[0].Pattern == nil {
			t.Errorf("%s documents the form of its ids, and the file does not enforce it", name)
		}
	}
}

// unrecorded are the paths of built-in files that no recorded answer leads
// anywhere, each with the reason why it is right all the same.
var unrecorded = map[string]string{
	"aitronos started_at": "the snake_case page shows none, and may well have it as the other page does",
	`orq [output.#(role=="agent")#.parts.#(kind=="data")#.data|@flatten].0.0`: "the schema has data parts, no recording has one; TestOtherAnswers does",
}

// TestPathsMatchRecordings finds paths that are misspelt: every one must lead
// to a value in some recorded answer.
func TestPathsMatchRecordings(t *testing.T) {
	for _, p := range builtins(t).All() {
		seen := map[string]bool{}
		for _, f := range fixtures(t, p.Name) {
			if normalize.CheckBody(f.body()) != nil {
				continue
			}
			for _, path := range p.Mapping.Paths() {
				if gjson.GetBytes(f.body(), path.Path).Exists() {
					seen[path.Path] = true
				}
			}
		}
		for _, path := range p.Mapping.Paths() {
			key := p.Name + " " + path.Path
			_, excused := unrecorded[key]
			if !seen[path.Path] && !excused {
				t.Errorf("%s: no recorded answer has %s", p.Name, path.Path)
			}
			if seen[path.Path] && excused {
				t.Errorf("%s is recorded now: take it off the list", key)
			}
		}
	}
}
