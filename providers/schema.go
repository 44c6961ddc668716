package providers

import (
	"reflect"

	"github.com/google/jsonschema-go/jsonschema"

	"pollux/providers/strictyaml"
)

// Schema is the JSON Schema of a provider file.
func Schema() *jsonschema.Schema {
	s := strictyaml.Schema(reflect.TypeFor[providerFile](), false)
	s.Title = "A provider of Pollux"
	s.Required = []string{"name"}
	return s
}

// ScalarSchema tells texts: whatever YAML makes of them.
func (*Template) ScalarSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Types: []string{"string", "number", "boolean", "null"}}
}

// ScalarSchema tells stays in a state.
func (*Leg) ScalarSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `^[^ ]+( +[0-9a-zµμ.]+(\.\.[0-9a-zµμ.]+)?)?$`}
}
