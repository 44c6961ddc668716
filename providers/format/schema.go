package format

import (
	"reflect"

	"github.com/google/jsonschema-go/jsonschema"

	"pollux/providers/strictyaml"
)

// Schema is the JSON Schema of a provider file.
func Schema() *jsonschema.Schema {
	s := strictyaml.Schema(reflect.TypeFor[written](), false)
	s.Title = "A provider of Pollux"
	s.Required = []string{"name"}
	return s
}
