package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"pollux/normalize"
)

const maxJSONDepth = 64

// CheckJSON accepts one JSON value in UTF-8, at most maxJSONDepth deep, whose
// objects have no key twice. The errors hold none of the text.
func CheckJSON(body []byte) error {
	if !utf8.Valid(body) {
		return errors.New("is not UTF-8")
	}
	if normalize.LoneSurrogate(body) {
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

// WholeNumber reads a JSON value that must be a whole number, as JSON Schema has
// them: 25, 25.0 and 2.5e1 are the same one. What is beyond 32 bits is cut down to
// them.
func WholeNumber(raw []byte) (n int, ok bool) {
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || f != math.Trunc(f) {
		return 0, false
	}
	return int(max(math.MinInt32, min(f, math.MaxInt32))), true
}
