package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"reflect"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"pollux/cmd/pollux/console"
	"pollux/providers"
	"pollux/providers/strictyaml"
)

// descriptions is what config.yaml says of its keys, by their path with * for
// the names of upstreams. Go embeds nothing from above a package, so a test
// keeps this copy of its comments (go test ./cmd/pollux -run Schema -update).
//
//go:embed schema_descriptions.json
var descriptions []byte

func schemaCommand(_ context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("schema", `Prints the JSON Schema (2020-12) of config.yaml, or of a provider file. Editors
complete and check with it while you type, see docs/configuration.md. What is
beyond a schema, pollux check finds.`,
		"pollux schema > config.schema.json",
		"pollux schema --provider > provider.schema.json")
	provider := fs.Bool("provider", false, "of a provider file")
	if _, code, done := t.Parse(fs, args, 0); done {
		return code
	}
	s := configSchema()
	if *provider {
		s = providers.Schema()
	}
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	out := json.NewEncoder(t.Stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(s); err != nil {
		return t.Fail("schema", err)
	}
	return exitOK
}

// configSchema is the JSON Schema of config.yaml.
func configSchema() *jsonschema.Schema {
	s := strictyaml.Schema(reflect.TypeFor[Config](), true)
	s.Title = "Configuration of Pollux"
	var texts map[string]string
	if err := json.Unmarshal(descriptions, &texts); err != nil {
		panic("BUG: schema_descriptions.json: " + err.Error())
	}
	for path, text := range texts {
		if at := schemaAt(s, strings.Split(path, ".")); at != nil {
			at.Description = text
		}
	}
	return s
}

// schemaAt is the part of s that is about the key at path, nil if there is none.
func schemaAt(s *jsonschema.Schema, path []string) *jsonschema.Schema {
	for _, form := range s.AnyOf {
		if at := schemaAt(form, path); at != nil && len(path) > 0 {
			return at
		}
	}
	switch {
	case len(path) == 0:
		return s
	case s.Properties[path[0]] != nil:
		return schemaAt(s.Properties[path[0]], path[1:])
	case path[0] == "*" && s.AdditionalProperties != nil:
		return schemaAt(s.AdditionalProperties, path[1:])
	}
	return nil
}

// ScalarSchema tells retentions.
func (*Retention) ScalarSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `^forever$|^([0-9.]+[a-zµμ]+)+$|\$\{`}
}
