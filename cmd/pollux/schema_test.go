package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"pollux/providers/strictyaml"
)

// printedSchema is what the command prints, compiled by a library that did not
// make it, in the dialect that it names.
func printedSchema(t *testing.T, args ...string) *jsonschema.Schema {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), append([]string{"schema"}, args...), strings.NewReader(""), &stdout, &stderr); code != exitOK {
		t.Fatalf("pollux schema %v ended with %d: %s", args, code, &stderr)
	}
	document, err := jsonschema.UnmarshalJSON(&stdout)
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// againstSchema is what an editor would say of the YAML file at path.
func againstSchema(t *testing.T, s *jsonschema.Schema, path string) error {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.YAMLToJSON(data)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(value)
}

// schemaMatter are faults of the loader that a schema has to find too.
var schemaMatter = regexp.MustCompile(`unknown key|want (a mapping|a list|a string|true or false|a number|a whole number)`)

func TestSchemaOfConfig(t *testing.T) {
	s := printedSchema(t)
	good := []string{exampleFile, "../../deploy/compose/pollux.yaml"}
	for _, path := range good {
		if err := againstSchema(t, s, path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	bad, err := filepath.Glob("testdata/config/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, path := range bad {
		_, err := load(path, testEnvironment)
		faults := faultsOf(err, "")
		matters := slices.ContainsFunc(faults, func(f strictyaml.Fault) bool { return schemaMatter.MatchString(f.Message) })
		if got := againstSchema(t, s, path); matters && got == nil {
			t.Errorf("%s: the schema takes what the loader refuses: %v", path, err)
		} else if matters {
			refused++
		}
	}
	if refused < 3 {
		t.Errorf("%d bad files are a matter of the schema", refused)
	}
}

func TestSchemaOfProviders(t *testing.T) {
	s := printedSchema(t, "--provider")
	good, err := filepath.Glob("../../providers/*.yaml")
	if err != nil || len(good) < 8 {
		t.Fatalf("%d providers, %v", len(good), err)
	}
	for _, path := range good {
		if err := againstSchema(t, s, path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	bad, err := filepath.Glob("../../providers/testdata/bad/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, path := range bad {
		faults := read(t, strings.TrimSuffix(path, ".yaml")+".faults")
		if got := againstSchema(t, s, path); !schemaMatter.MatchString(faults) {
			continue
		} else if refused++; got == nil {
			t.Errorf("%s: the schema takes what the loader refuses: %s", path, faults)
		}
	}
	if refused < 2 {
		t.Errorf("%d bad files are a matter of the schema", refused)
	}
}

// TestSchemaFollows: every key that the loader knows is in the schema, and what
// editors show for it is what config.yaml says.
func TestSchemaFollows(t *testing.T) {
	found := described(t)
	want, err := json.MarshalIndent(found, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile("schema_descriptions.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(descriptions, want) {
		t.Error("schema_descriptions.json is not what config.yaml says: go test ./cmd/pollux -run Schema -update")
	}
	s := configSchema()
	for _, path := range slices.Sorted(maps.Keys(found)) {
		if schemaAt(s, strings.Split(path, ".")) == nil {
			t.Errorf("config.yaml has %s, the schema has not", path)
		}
	}
	if got := schemaAt(s, []string{"upstreams", "*", "breaker", "ratio"}); got == nil || got.Description == "" {
		t.Errorf("upstreams.*.breaker.ratio: got %v", got)
	}
	if !strings.Contains(read(t, exampleFile), "# yaml-language-server: $schema=") {
		t.Error("config.yaml names no schema for editors")
	}
}

var keyWithComment = regexp.MustCompile(`^( *)([a-z_]+):(.*?)(?: # *(.*))?$`)

// described is the comment beside each key of config.yaml, by its path.
func described(t *testing.T) map[string]string {
	texts := map[string]string{}
	type level struct {
		indent int
		path   string
	}
	var above []level
	last := ""
	for line := range strings.Lines(read(t, exampleFile)) {
		line = strings.TrimRight(line, "\n")
		if comment, only := strings.CutPrefix(strings.TrimSpace(line), "#"); only {
			// Goes on from the line before, if it stands where comments stand.
			if last != "" && strings.Index(line, "#") > 30 {
				texts[last] += "\n" + strings.TrimSpace(comment)
			}
			continue
		}
		m := keyWithComment.FindStringSubmatch(line)
		if m == nil {
			last = ""
			continue
		}
		for len(above) > 0 && above[len(above)-1].indent >= len(m[1]) {
			above = above[:len(above)-1]
		}
		path := m[2]
		if len(above) > 0 {
			path = above[len(above)-1].path + "." + m[2]
		}
		if len(above) == 1 && above[0].path == "upstreams" {
			path = "upstreams.*"
		}
		above = append(above, level{len(m[1]), path})
		last = ""
		if m[4] != "" && texts[path] == "" {
			texts[path], last = strings.TrimSpace(m[4]), path
		}
	}
	return texts
}
