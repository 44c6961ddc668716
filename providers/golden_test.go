package providers

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// noon is the present of every test.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// samples are values of parameters that a recorded answer does not name.
var samples = map[string]string{
	"response_id": "resp_67ccd2bed1ec8190", "run_id": "rUn123AbC", "interaction_id": "xYz789AbCdEfGhI", "user_id": "user_2b9d71f0",
	"agent_key": "my agent/x", "task_id": "task-1", "request_id": "98nlux8b0eu6", "logs": "0",
}

// fixture is one recorded answer: testdata/<provider>/<situation>.json.
type fixture struct {
	*Recording
	file     string
	provider *Provider
}

func builtins(t testing.TB) *Set {
	t.Helper()
	set, err := Builtin()
	if err != nil {
		t.Fatalf("Builtin() = %v", err)
	}
	return set
}

func fixtures(t testing.TB, provider string) []fixture {
	t.Helper()
	p := builtins(t).Get(provider)
	if p == nil {
		t.Fatalf("no provider %s", provider)
	}
	files, err := filepath.Glob(filepath.Join("testdata", provider, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []fixture
	for _, file := range files {
		if strings.HasSuffix(file, ".golden.json") {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := ParseRecording(data)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, fixture{r, file, p})
	}
	return all
}

func (f *fixture) body() []byte        { return f.Answer().Body }
func (f *fixture) header() http.Header { return f.Answer().Header }

func (f *fixture) reference(t testing.TB) Reference {
	t.Helper()
	r, err := f.Recording.reference(f.provider, samples)
	if err != nil {
		t.Fatalf("%s: %v", f.file, err)
	}
	return r
}

// TestGolden compares each recorded answer's verdict with the golden file
// beside it, and the verdict with the word that the recording itself expects,
// so that an update cannot make nonsense golden.
func TestGolden(t *testing.T) {
	for _, p := range builtins(t).All() {
		all := fixtures(t, p.Name)
		if len(all) == 0 {
			t.Errorf("%s has no recorded answers", p.Name)
		}
		for _, f := range all {
			t.Run(p.Name+"/"+f.Situation, func(t *testing.T) {
				got, word, err := f.Outcome(p, samples, noon)
				if err != nil {
					t.Fatal(err)
				}
				if word != f.Expect {
					t.Errorf("outcome %s, want %s", word, f.Expect)
				}
				compareGolden(t, strings.TrimSuffix(f.file, ".json")+".golden.json", got)
			})
		}
	}
}

func compareGolden(t *testing.T, file string, got any) {
	t.Helper()
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(got); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run go test -update and read what it writes", err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("got %s\nwant %s", b.Bytes(), want)
	}
}
