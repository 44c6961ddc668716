package script

import "github.com/google/jsonschema-go/jsonschema"

// ScalarSchema tells texts: whatever YAML makes of them.
func (*Template) ScalarSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Types: []string{"string", "number", "boolean", "null"}}
}

// ScalarSchema tells stays in a state.
func (*Leg) ScalarSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `^[^ ]+( +[0-9a-zµμ.]+(\.\.[0-9a-zµμ.]+)?)?$`}
}
