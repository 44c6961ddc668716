package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"pollux/cmd/pollux/config"
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
var schemaMatter = regexp.MustCompile(`(?m)unknown key|want (a mapping|a list$|a string|true or false|a number|a whole number)`)

func TestSchemaOfConfig(t *testing.T) {
	s := printedSchema(t)
	good := []string{exampleFile, "../../deploy/compose/pollux.yaml"}
	for _, path := range good {
		if err := againstSchema(t, s, path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	bad, err := filepath.Glob("config/testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, path := range bad {
		_, err := load(path, noEnvironment)
		faults := config.FaultsOf(err, "")
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
	bad, err := filepath.Glob("../../providers/format/testdata/bad/*.yaml")
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
