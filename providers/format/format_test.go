package format_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pollux/providers/format"
)

var update = flag.Bool("update", false, "rewrite the .faults files")

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
			_, faults := format.Parse(filepath.Base(file), data)
			if len(faults) == 0 {
				t.Fatal("nothing is wrong with it")
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

func minimal(name string) string {
	return "name: " + name + `
identity: {headers: [Authorization]}
params: {id: {in: path}}
poll: {request: 'GET /jobs/{id}'}
status: {path: state, words: {done: completed}}
fields: {id: id}
`
}

// parse reads a file's text that must be right.
func parse(t *testing.T, name, text string) *format.File {
	t.Helper()
	f, faults := format.Parse(name+".yaml", []byte(text))
	if len(faults) > 0 {
		t.Fatalf("Parse = %v", faults)
	}
	return f
}

func TestDefaults(t *testing.T) {
	p := parse(t, "acme", minimal("acme"))
	want := format.Poll{Request: p.Poll.Request, First: time.Second, Min: time.Second, Max: 15 * time.Second}
	if got := p.Poll; got.First != want.First || got.Min != want.Min || got.Max != want.Max || got.Growth != 0 || got.MaxQueued != 0 || got.GiveUp != 0 {
		t.Errorf("poll without advice: %+v, want %+v", got, want)
	}
	if id := p.Identity; id.Need != format.NeedAny || id.Scheme != "Bearer" {
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
