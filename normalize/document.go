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
	members []span // of the object that text is; nil: not read yet
	room    [8]span
}

// span is a member of an object, and where its value stands.
type span struct {
	name, raw string
	index     int
}

func newDocument(body []byte) *document { return &document{text: string(body), body: body} }

// lookup returns the JSON value at path without surrounding whitespace, and
// where it stands in the body, 0 if nowhere. The value is "" when there is none.
func (d *document) lookup(path string) (raw string, index int) {
	text, from := d.text, 0
	if name, rest, plain := firstName(path); plain && kindOf(d.root()) == kindObject {
		raw, index, more := d.member(name)
		switch {
		case rest == "" || raw == "":
			return raw, index
		case more: // gjson goes on to the next where the rest is not in the first
		case raw[0] != '{' && raw[0] != '[':
			return "", 0 // gjson would look for a brace in a string
		default:
			text, from, path = raw, index, rest
		}
	}
	found := gjson.Get(text, path)
	if !found.Exists() {
		return "", 0
	}
	raw, index = found.Raw, found.Index
	if index > 0 && strings.HasPrefix(text[index:], raw) {
		return raw, from + index
	}
	// What gjson composed itself need not be JSON: @fromstr turns any text of
	// an upstream into a value.
	if raw = strings.Trim(raw, " \n\t\r"); CheckValue([]byte(raw)) != nil {
		return "", 0
	}
	return raw, 0
}

// member returns the value of the body's first member of that name, where it
// stands, and whether there are more. The body must be an object.
func (d *document) member(name string) (raw string, index int, more bool) {
	for _, m := range d.all() {
		switch {
		case m.name != name:
		case raw != "":
			return raw, index, true
		default:
			raw, index = m.raw, m.index
		}
	}
	return raw, index, false
}

// all are the members of the body, an object, which is walked once and not for
// each path.
func (d *document) all() []span {
	if d.members == nil {
		d.members = d.room[:0]
		at := len(d.text) - len(d.root())
		gjson.Parse(d.root()).ForEach(func(key, value gjson.Result) bool {
			d.members = append(d.members, span{decodeString(key.Raw), value.Raw, at + value.Index})
			return true
		})
	}
	return d.members
}

// firstName cuts a path after its first name. It is plain if that stands for itself,
// and nothing after it makes something of what is not there.
func firstName(path string) (name, rest string, plain bool) {
	name, rest, _ = strings.Cut(path, ".")
	return name, rest, name != "" && !strings.ContainsAny(name, `#*?\!():"`) && !strings.ContainsAny(path, "|@[{!")
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
func (d *document) duplicate(keys []string) error {
	text := d.root()
	for i, key := range keys {
		child, count := "", 0
		note := func(name, value string) {
			if name == key {
				child = value
				count++
			}
		}
		switch kind := kindOf(text); {
		case kind == kindObject && i == 0:
			for _, m := range d.all() {
				note(m.name, m.raw)
			}
		case kind == kindObject:
			eachMember(text, func(name, value string) { note(decodeString(name), value) })
		case kind == kindArray:
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
