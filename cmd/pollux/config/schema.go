package config

import (
	_ "embed"
	"encoding/json"
	"reflect"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"pollux/providers/strictyaml"
)

// descriptions is what config.yaml says of its keys, by their path with * for
// the names of upstreams. Go embeds nothing from above a package, so a test
// keeps this copy of its comments (go test ./cmd/pollux/config -run Schema -update).
//
//go:embed descriptions.json
var descriptions []byte

// Schema is the JSON Schema of config.yaml.
func Schema() *jsonschema.Schema {
	s := strictyaml.Schema(reflect.TypeFor[Config](), true)
	s.Title = "Configuration of Pollux"
	var texts map[string]string
	if err := json.Unmarshal(descriptions, &texts); err != nil {
		panic("BUG: descriptions.json: " + err.Error())
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
