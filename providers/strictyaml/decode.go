package strictyaml

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Unmarshaler is a type that decodes itself. It is called with the node as it
// stands, a Null too, and never with a broken one.
type Unmarshaler interface{ UnmarshalNode(*Node) Faults }

var (
	unmarshalerType = reflect.TypeFor[Unmarshaler]()
	durationType    = reflect.TypeFor[time.Duration]()
)

// Decode sets what out points to from n. Struct fields are named by their yaml
// tags, and by nothing else; embedded structs without a tag belong to the one
// around them. What the file does not mention keeps its value, so defaults are
// set before decoding; a list replaces the one before it, a mapping is merged
// into it. "key:" with nothing behind it changes nothing, but makes a pointer nil.
//
// It collects every fault: unknown keys, wrong types, values out of range.
// A nil n changes nothing. A type that it cannot decode is a bug and panics.
func (n *Node) Decode(out any) Faults {
	if n == nil {
		return nil
	}
	if n.probe != nil {
		return n.note(out)
	}
	var d decoder
	d.value(n, reflect.ValueOf(out).Elem())
	d.faults.Sort()
	return d.faults
}

type decoder struct{ faults Faults }

func (d *decoder) fault(n *Node, format string, args ...any) {
	d.faults = append(d.faults, n.Fault(format, args...))
}

func (d *decoder) value(n *Node, v reflect.Value) {
	if n.broken {
		return
	}
	if v.Kind() != reflect.Pointer && reflect.PointerTo(v.Type()).Implements(unmarshalerType) {
		d.faults = append(d.faults, v.Addr().Interface().(Unmarshaler).UnmarshalNode(n)...)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		d.pointer(n, v)
	case reflect.Struct:
		if d.collection(n, Map, "a mapping") {
			d.structure(n, v)
		}
	case reflect.Map:
		if d.collection(n, Map, "a mapping") {
			d.mapping(n, v)
		}
	case reflect.Slice:
		if d.collection(n, List, "a list") {
			d.list(n, v)
		}
	default:
		if message := setScalar(n, v); message != "" {
			d.fault(n, "%s", message)
		}
	}
}

// collection reports whether n is of kind, and complains if it is something else.
func (d *decoder) collection(n *Node, kind Kind, want string) bool {
	if n.kind != kind && n.kind != Null {
		d.fault(n, "want %s", want)
	}
	return n.kind == kind
}

func (d *decoder) pointer(n *Node, v reflect.Value) {
	if n.kind == Null {
		v.SetZero()
		return
	}
	// A fresh value: the old one may be shared with the defaults.
	fresh := reflect.New(v.Type().Elem())
	if !v.IsNil() {
		fresh.Elem().Set(v.Elem())
	}
	d.value(n, fresh.Elem())
	v.Set(fresh)
}

func (d *decoder) list(n *Node, v reflect.Value) {
	list := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		d.value(item, list.Index(i))
	}
	v.Set(list)
}

func (d *decoder) mapping(n *Node, v reflect.Value) {
	if v.Type().Key().Kind() != reflect.String {
		panic(fmt.Sprintf("BUG: strictyaml cannot decode %s", v.Type()))
	}
	merged := reflect.MakeMapWithSize(v.Type(), v.Len()+len(n.pairs))
	for known := v.MapRange(); known.Next(); {
		merged.SetMapIndex(known.Key(), known.Value())
	}
	for _, pair := range n.pairs {
		key := reflect.ValueOf(pair.Key).Convert(v.Type().Key())
		value := reflect.New(v.Type().Elem()).Elem()
		if old := v.MapIndex(key); old.IsValid() {
			value.Set(old)
		}
		d.value(pair.Value, value)
		merged.SetMapIndex(key, value)
	}
	v.Set(merged)
}

func (d *decoder) structure(n *Node, v reflect.Value) {
	fields := map[string]reflect.Value{}
	namedFields(v, fields)
	for _, pair := range n.pairs {
		if field, known := fields[pair.Key]; known {
			d.value(pair.Value, field)
			continue
		}
		// The fault names the key only if it looks like one: the key of
		// {sk-123} is the secret itself.
		at := *pair.KeyNode
		at.path = under(n.path, pair.Key)
		if !isName(pair.Key, 32, "_-. ") || strings.ContainsAny(pair.Key, "0123456789") {
			at.path = n.path
		}
		message := "unknown key"
		if near := Suggest(pair.Key, slices.Sorted(maps.Keys(fields))); near != "" {
			message += fmt.Sprintf(", did you mean %s?", near)
		}
		d.fault(&at, "%s", message)
	}
}

// namedFields adds the fields of v by their names in a file.
func namedFields(v reflect.Value, fields map[string]reflect.Value) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case name != "" && name != "-":
			fields[name] = v.Field(i)
		case name == "" && field.Anonymous && field.Type.Kind() == reflect.Struct:
			namedFields(v.Field(i), fields)
		}
	}
}
