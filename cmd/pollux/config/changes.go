package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Changed lists, sorted, the dotted keys whose values differ. A list is one
// key, whatever in it differs; upstreams that come or go are named alone.
func Changed(before, after *Config) []string {
	keys := changes(reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem(), "")
	slices.Sort(keys)
	return keys
}

func changes(a, b reflect.Value, key string) (keys []string) {
	empty := func(v reflect.Value) bool {
		return (v.Kind() == reflect.Map || v.Kind() == reflect.Slice) && v.Len() == 0
	}
	switch {
	case reflect.DeepEqual(a.Interface(), b.Interface()), empty(a) && empty(b):
		return nil
	case a.Kind() == reflect.Struct && keyed(a.Type()):
		for i := range a.NumField() {
			name := key + "." + a.Type().Field(i).Tag.Get("yaml") // none: its keys are those of the struct around it
			keys = append(keys, changes(a.Field(i), b.Field(i), strings.Trim(name, "."))...)
		}
		return keys
	case a.Kind() == reflect.Map:
		names := maps.Clone(namesOf(a))
		maps.Copy(names, namesOf(b))
		for name := range names {
			x, y := a.MapIndex(reflect.ValueOf(name)), b.MapIndex(reflect.ValueOf(name))
			if !x.IsValid() || !y.IsValid() {
				keys = append(keys, key+"."+name)
			} else {
				keys = append(keys, changes(x, y, key+"."+name)...)
			}
		}
		return keys
	}
	return []string{key}
}

// keyed reports whether the fields of t are keys, and not one value together.
func keyed(t reflect.Type) bool {
	return t.NumField() > 0 && (t.Field(0).Anonymous || t.Field(0).Tag.Get("yaml") != "")
}

func namesOf(m reflect.Value) map[string]bool {
	names := map[string]bool{}
	for _, k := range m.MapKeys() {
		names[k.String()] = true
	}
	return names
}
