package upstream

import "github.com/google/jsonschema-go/jsonschema"

// ScalarSchema tells delays.
func (*Delay) ScalarSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `^([0-9.]+[a-zµμ]+)+( or [0-9.]+%)?$|^[0-9.]+%$|\$\{`}
}

// ScalarSchema is the word for a credential that Pollux does not hold.
func (*CredentialConfig) ScalarSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Enum: []any{"caller"}}
}
