package normalize

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
)

// document is a native body as paths read it. It is not safe for concurrent use.
type document struct {
	text    string
	body    []byte // what raw values alias; nil makes them copies
	decoded map[string]any
}

func newDocument(body []byte) *document {
	return &document{text: string(body), body: body}
}

// lookup returns the JSON value at path without surrounding whitespace, and
// where it stands in the body, 0 if nowhere. The value is "" when there is none.
func (d *document) lookup(path string) (raw string, index int) {
	found := gjson.Get(d.text, path)
	if !found.Exists() {
		return "", 0
	}
	raw, index = found.Raw, found.Index
	if index > 0 && strings.HasPrefix(d.text[index:], raw) {
		return raw, index
	}
	// What gjson composed itself need not be JSON: @fromstr turns any text of
	// an upstream into a value.
	if raw = strings.Trim(raw, " \n\t\r"); checkValue(raw) != nil {
		return "", 0
	}
	return raw, 0
}

// slice returns raw as bytes, of the body itself where it came from there.
func (d *document) slice(raw string, index int) Raw {
	if index > 0 && d.body != nil {
		return d.body[index : index+len(raw) : index+len(raw)]
	}
	return Raw(raw)
}

// root returns the body without the blanks that may stand before it.
func (d *document) root() string { return d.text[skipSpace(d.text, 0):] }

// json decodes the body for conditions that want it whole. Numbers become
// float64. A body that is no object gives nil.
func (d *document) json() map[string]any {
	if d.decoded == nil {
		if json.Unmarshal([]byte(d.text), &d.decoded) != nil {
			d.decoded = nil
		}
	}
	return d.decoded
}

// duplicate returns an error if, along keys, an object names the wanted member
// twice. Readers disagree on which one counts, so neither may be believed.
func duplicate(text string, keys []string) error {
	for _, key := range keys {
		child, count := "", 0
		switch kindOf(text) {
		case kindObject:
			eachMember(text, func(name, value string) {
				if decodeString(name) == key {
					child = value
					count++
				}
			})
		case kindArray:
			child = element(text, key)
		}
		if count > 1 {
			return fmt.Errorf("member %q appears more than once", key)
		}
		if child == "" {
			return nil
		}
		text = child
	}
	return nil
}

// element returns the element of the array text whose index is key, or "".
func element(text, key string) (found string) {
	at := parseIndex(key)
	eachElement(text, func(value string) {
		if at == 0 {
			found = value
		}
		at--
	})
	return found
}
