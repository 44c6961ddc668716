package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"unicode/utf8"
)

const maxJSONDepth = 64

// CheckJSON accepts one JSON value in UTF-8, at most maxJSONDepth deep, whose
// objects have no key twice. The errors hold none of the text.
func CheckJSON(body []byte) error {
	if !utf8.Valid(body) {
		return errors.New("is not UTF-8")
	}
	if loneSurrogate(body) {
		return errors.New("holds half of a surrogate pair")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := checkValue(d, 0); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("goes on after the JSON value")
	}
	return nil
}

// loneSurrogate reports whether JSON escapes a surrogate that has no partner
// (RFC 8259, section 8.2). encoding/json would read U+FFFD, and somebody would be
// asked for something else than was meant.
func loneSurrogate(body []byte) bool {
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		unit, ok := escapedUnit(body[i:])
		switch {
		case !ok:
			i++
		case unit>>10 == 0xd800>>10:
			low, ok := escapedUnit(body[i+6:])
			if !ok || low>>10 != 0xdc00>>10 {
				return true
			}
			i += 11
		case unit>>10 == 0xdc00>>10:
			return true
		default:
			i += 5
		}
	}
	return false
}

// escapedUnit reads the escape of four hex digits (RFC 8259, section 7) that b
// begins with.
func escapedUnit(b []byte) (unit uint16, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		if !IsHex(c) {
			return 0, false
		}
		unit = unit<<4 | uint16(Unhex(c))
	}
	return unit, true
}

var errNotJSON = errors.New("is not JSON")

func checkValue(d *json.Decoder, depth int) error {
	token, err := d.Token()
	if err != nil {
		return errNotJSON
	}
	delim, nested := token.(json.Delim)
	if !nested {
		return nil
	}
	if depth == maxJSONDepth {
		return errors.New("is nested too deeply")
	}
	keys := map[string]bool{}
	for d.More() {
		if delim == '{' {
			key, err := d.Token()
			if err != nil {
				return errNotJSON
			}
			name, ok := key.(string)
			if !ok {
				return errNotJSON
			}
			if keys[name] {
				return errors.New("has a key twice in one object")
			}
			keys[name] = true
		}
		if err := checkValue(d, depth+1); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return errNotJSON
	}
	return nil
}

// Members returns the members of an object that may have the given keys only.
// raw must have passed checkJSON.
func Members(raw json.RawMessage, known ...string) (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil || m == nil {
		return nil, errors.New("wants an object")
	}
	for key := range m {
		if !slices.Contains(known, key) {
			return nil, errors.New("has an unknown key")
		}
	}
	return m, nil
}

// IsNull reports whether a value is absent or null. Null fits every Go type,
// so json.Unmarshal would take it for anything.
func IsNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// StringList decodes a list of strings.
func StringList(raw json.RawMessage) ([]string, bool) {
	var list []*string
	if IsNull(raw) || json.Unmarshal(raw, &list) != nil {
		return nil, false
	}
	out := make([]string, len(list))
	for i, s := range list {
		if s == nil {
			return nil, false
		}
		out[i] = *s
	}
	return out, true
}

// StringMap decodes an object whose values are strings.
func StringMap(raw json.RawMessage) (map[string]string, bool) {
	var m map[string]*string
	if IsNull(raw) || json.Unmarshal(raw, &m) != nil {
		return nil, false
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		if v == nil {
			return nil, false
		}
		out[k] = *v
	}
	return out, true
}
