package providers

import (
	"bytes"
	"errors"
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
	"pollux/providers/strictyaml"
)

// TestBadFiles compares everything that is found wrong with each of
// testdata/bad/*.yaml with the .faults file beside it.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bad files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Load(fstest.MapFS{filepath.Base(file): {Data: data}})
			var faults strictyaml.Faults
			if !errors.As(err, &faults) {
				t.Fatalf("Load = %v, want faults", err)
			}
			got := faults.Error() + "\n"
			golden := strings.TrimSuffix(file, ".yaml") + ".faults"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(golden); err != nil || got != string(want) {
				t.Errorf("got\n%swant\n%s%v", got, want, err)
			}
		})
	}
}

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

func TestDefaults(t *testing.T) {
	p := parse(t, "acme", minimal("acme"))
	want := Poll{Request: p.Poll.Request, First: time.Second, Min: time.Second, Max: 15 * time.Second}
	if got := p.Poll; got.First != want.First || got.Min != want.Min || got.Max != want.Max || got.Growth != 0 || got.MaxQueued != 0 || got.GiveUp != 0 {
		t.Errorf("poll without advice: %+v, want %+v", got, want)
	}
	if id := p.Identity; id.Need != NeedAny || id.Scheme != "Bearer" {
		t.Errorf("identity: need %v, scheme %q, want any and Bearer", id.Need, id.Scheme)
	}
	slow := parse(t, "acme", strings.Replace(minimal("acme"), "{request:", "{min: 30s, request:", 1))
	if slow.Poll.First != 30*time.Second || slow.Poll.Max != 30*time.Second {
		t.Errorf("min 30s: first %v, max %v, want 30s both", slow.Poll.First, slow.Poll.Max)
	}
	bare := parse(t, "acme", strings.Replace(minimal("acme"), "[Authorization]", `[Authorization], scheme: ""`, 1))
	if bare.Identity.Scheme != "" {
		t.Errorf("scheme %q, want none", bare.Identity.Scheme)
	}
}

func TestRevision(t *testing.T) {
	base := parse(t, "acme", minimal("acme")).Revision
	same := []string{
		"# a comment\n" + minimal("acme"),
		minimal("acme") + "docs: https://acme.example\nverified: 2026-02-11\n",
		strings.Replace(minimal("acme"), "'GET /jobs/{id}'", `"GET /jobs/{id}"`, 1),
	}
	for _, text := range same {
		if got := parse(t, "acme", text).Revision; got != base {
			t.Errorf("revision of %q differs, though it means the same", text)
		}
	}
	if got := parse(t, "acme", strings.Replace(minimal("acme"), "completed", "failed", 1)).Revision; got == base {
		t.Error("the revision stays though a word means something else")
	}
	if len(base) != 12 {
		t.Errorf("revision %q, want 12 digits", base)
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
