package strictyaml

import (
	"reflect"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// ScalarSchema is a type whose UnmarshalNode reads the text of a scalar by
// itself, so that only the type can say what it may be.
type ScalarSchema interface{ ScalarSchema() *jsonschema.Schema }

// Schema is the JSON Schema (2020-12) of what Decode takes for a t, for editors:
// never stricter than Decode, and not always as strict. It is made from what the
// loader itself decodes into, so it follows when that changes: the methods
// UnmarshalNode are called with nodes that only note what they are asked to
// decode. With variables, ${NAME} may stand for any scalar.
func Schema(t reflect.Type, variables bool) *jsonschema.Schema {
	d := &describer{variables: variables}
	return d.of(t)
}

type describer struct {
	variables bool
	inside    []reflect.Type // the types that are being described, against those that hold themselves
}

// probe is what a node is that is no part of a file.
type probe struct {
	d     *describer
	noted []*jsonschema.Schema
}

// note adds the schema of out to what the node was asked to decode, and returns
// a fault, since nothing was decoded.
func (n *Node) note(out any) Faults {
	n.probe.noted = append(n.probe.noted, n.probe.d.of(reflect.TypeOf(out).Elem()))
	return Faults{n.Fault("is no part of a file")}
}

func (d *describer) of(t reflect.Type) *jsonschema.Schema {
	if slices.Contains(d.inside, t) {
		return &jsonschema.Schema{}
	}
	d.inside = append(d.inside, t)
	defer func() { d.inside = d.inside[:len(d.inside)-1] }()
	switch {
	case t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(unmarshalerType):
		return d.unmarshaler(t)
	case t == durationType:
		return d.scalar(&jsonschema.Schema{Type: "string", Pattern: durationPattern}, &jsonschema.Schema{Const: jsonschema.Ptr[any](0)})
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.of(t.Elem())
	case reflect.Struct:
		return d.structure(t)
	case reflect.Map:
		return orNull(&jsonschema.Schema{Type: "object", AdditionalProperties: d.of(t.Elem())})
	case reflect.Slice:
		return orNull(&jsonschema.Schema{Type: "array", Items: d.of(t.Elem())})
	case reflect.String:
		return &jsonschema.Schema{Type: "string"}
	case reflect.Bool:
		return d.scalar(&jsonschema.Schema{Type: "boolean"})
	case reflect.Float32, reflect.Float64:
		return d.scalar(&jsonschema.Schema{Type: "number"})
	}
	return d.scalar(&jsonschema.Schema{Type: "integer"})
}

// durationPattern is what time.ParseDuration takes, but for a lone 0.
const durationPattern = `^[-+]?(0|([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$|\$\{`

// orNull lets a collection be "key:" with nothing behind it, which changes nothing.
func orNull(s *jsonschema.Schema) *jsonschema.Schema {
	s.Types, s.Type = []string{s.Type, "null"}, ""
	return s
}

// scalar is one of the forms, or text with a variable in it where those are expanded.
func (d *describer) scalar(forms ...*jsonschema.Schema) *jsonschema.Schema {
	if d.variables {
		forms = append(forms, &jsonschema.Schema{Type: "string", Pattern: `\$\{`})
	}
	return anyOf(forms)
}

func anyOf(forms []*jsonschema.Schema) *jsonschema.Schema {
	if len(forms) == 1 {
		return forms[0]
	}
	return &jsonschema.Schema{AnyOf: forms}
}

func (d *describer) structure(t reflect.Type) *jsonschema.Schema {
	s := &jsonschema.Schema{
		Type: "object", Properties: map[string]*jsonschema.Schema{},
		AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}},
	}
	d.fields(t, s)
	return orNull(s)
}

// fields adds what namedFields finds in a value of type t.
func (d *describer) fields(t reflect.Type, s *jsonschema.Schema) {
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case name != "" && name != "-":
			s.Properties[name] = d.of(field.Type)
			s.PropertyOrder = append(s.PropertyOrder, name)
		case name == "" && field.Anonymous && field.Type.Kind() == reflect.Struct:
			d.fields(field.Type, s)
		}
	}
}

// unmarshaler calls UnmarshalNode with every kind of node, and takes what it
// asks to have decoded. A type of which nothing can be told may be anything.
func (d *describer) unmarshaler(t reflect.Type) *jsonschema.Schema {
	var forms []*jsonschema.Schema
	text, itself := reflect.New(t).Interface().(ScalarSchema)
	if itself {
		forms = append(forms, text.ScalarSchema())
	} else {
		forms = append(forms, d.asked(t, &Node{kind: String})...)
	}
	for _, kind := range []Kind{Map, List} {
		var children []*jsonschema.Schema
		for _, below := range []Kind{String, Map, List} {
			child := d.probe(below)
			n := &Node{kind: kind, pairs: []Pair{{Key: "key", KeyNode: child, Value: child}}}
			if kind == List {
				n = &Node{kind: kind, items: []*Node{child}}
			}
			forms = appendNew(forms, d.asked(t, n)...)
			children = appendNew(children, child.answers()...)
		}
		switch {
		case len(children) > 0 && kind == Map:
			forms = append(forms, &jsonschema.Schema{Type: "object", AdditionalProperties: anyOf(children)})
		case len(children) > 0:
			forms = append(forms, &jsonschema.Schema{Type: "array", Items: anyOf(children)})
		}
	}
	if len(forms) == 0 {
		return &jsonschema.Schema{}
	}
	return anyOf(forms)
}

func (d *describer) probe(kind Kind) *Node { return &Node{kind: kind, probe: &probe{d: d}} }

// asked is what the UnmarshalNode of t asks n to be decoded into.
func (d *describer) asked(t reflect.Type, n *Node) []*jsonschema.Schema {
	n.probe = &probe{d: d}
	reflect.New(t).Interface().(Unmarshaler).UnmarshalNode(n)
	return n.answers()
}

// answers is what the probe n noted and may be.
func (n *Node) answers() []*jsonschema.Schema {
	return slices.DeleteFunc(n.probe.noted, func(s *jsonschema.Schema) bool { return !admits(s, n.kind) })
}

// appendNew appends those of more that forms does not have.
func appendNew(forms []*jsonschema.Schema, more ...*jsonschema.Schema) []*jsonschema.Schema {
	for _, s := range more {
		if !slices.ContainsFunc(forms, func(f *jsonschema.Schema) bool { return reflect.DeepEqual(f, s) }) {
			forms = append(forms, s)
		}
	}
	return forms
}

// admits reports whether a node of kind can be what s describes: an
// UnmarshalNode may decode anything into a string to have the fault for it.
func admits(s *jsonschema.Schema, kind Kind) bool {
	if len(s.AnyOf) > 0 {
		return slices.ContainsFunc(s.AnyOf, func(form *jsonschema.Schema) bool { return admits(form, kind) })
	}
	object, array := slices.Contains(s.Types, "object") || s.Type == "object", slices.Contains(s.Types, "array") || s.Type == "array"
	switch kind {
	case Map:
		return object
	case List:
		return array
	}
	return !object && !array
}

// ScalarSchema tells sizes.
func (Bytes) ScalarSchema() *jsonschema.Schema {
	return anyOf([]*jsonschema.Schema{
		{Type: "integer", Minimum: jsonschema.Ptr(0.0)},
		{Type: "string", Pattern: `^[0-9]+ *([KMGT]iB|[kMGT]?B)?$|\$\{`},
	})
}
