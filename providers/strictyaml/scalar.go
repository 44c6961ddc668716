package strictyaml

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// setScalar sets v from n, and returns what is wrong instead, if anything.
func setScalar(n *Node, v reflect.Value) string {
	if n.kind == Map || n.kind == List {
		return "want " + wanted(v.Type())
	}
	if n.kind == Null {
		return "has no value, want " + wanted(v.Type())
	}
	if v.Kind() == reflect.String {
		if n.kind != String {
			return "want a string, put it in quotes"
		}
		v.SetString(n.text)
		return ""
	}
	if v.Type() == durationType {
		d, err := time.ParseDuration(n.text)
		if err != nil {
			return "want " + wanted(v.Type())
		}
		v.SetInt(int64(d))
		return ""
	}
	// Quotes make a string of a number, but a variable is text to begin with.
	if !n.plain && !n.expanded {
		return "want " + wanted(v.Type()) + ", without quotes"
	}
	err := setNumber(n.text, v)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return "out of range"
	case err != nil:
		return "want " + wanted(v.Type())
	}
	return ""
}

// setNumber sets a boolean or a number from text.
func setNumber(text string, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Bool:
		b, err := parseBool(text)
		if err == nil {
			v.SetBool(b)
		}
		return err
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err == nil {
			v.SetInt(i)
		}
		return err
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err == nil {
			v.SetUint(u)
		}
		return err
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(text, v.Type().Bits())
		if err == nil && (math.IsInf(f, 0) || math.IsNaN(f) || strings.ContainsAny(text, "xX_")) {
			return strconv.ErrSyntax
		}
		if err == nil {
			v.SetFloat(f)
		}
		return err
	}
	panic(fmt.Sprintf("BUG: strictyaml cannot decode %s", v.Type()))
}

// parseBool knows the booleans of YAML 1.2's core schema, not yes, on and y.
func parseBool(text string) (bool, error) {
	switch text {
	case "true", "True", "TRUE":
		return true, nil
	case "false", "False", "FALSE":
		return false, nil
	}
	return false, strconv.ErrSyntax
}

// wanted says what a value of type t looks like.
func wanted(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration such as 10s"
	case t.Kind() == reflect.String:
		return "a string"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Float32, t.Kind() == reflect.Float64:
		return "a number"
	}
	return "a whole number"
}
