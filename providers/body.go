package providers

import (
	"bytes"
	"encoding/json"

	"github.com/tidwall/gjson"

	"pollux/normalize"
)

// Body is the JSON object that a request carries. Nil is none, an empty one is
// {}. It is immutable.
type Body []BodyMember

// BodyMember is one member of a Body.
type BodyMember struct {
	Name   string
	text   string // when param is literal
	param  int    // index in Provider.Params
	number bool   // the parameter is written as a number
}

// Param is the index in Provider.Params of the parameter that the member is,
// -1 if it is plain text.
func (m BodyMember) Param() int { return m.param }

// holds reports whether a parameter stands in b.
func (b Body) holds(param int) bool { return b.count(param) > 0 }

func (b Body) count(param int) (n int) {
	for _, m := range b {
		if m.param == param {
			n++
		}
	}
	return n
}

// render returns b with the values of a reference. Members of parameters that
// were not sent are left out.
func (b Body) render(values []string) []byte {
	out := []byte{'{'}
	for _, m := range b {
		value := m.text
		if m.param >= 0 {
			if value = values[m.param]; value == "" {
				continue
			}
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(out, jsonString(m.Name)...), ':')
		if m.number {
			out = append(out, value...)
		} else {
			out = append(out, jsonString(value)...)
		}
	}
	return append(out, '}')
}

// jsonString is s as JSON, with nothing escaped that need not be.
func jsonString(s string) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		panic("BUG: encode a string: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// isNumber reports whether s can stand in JSON as a number.
func isNumber(s string) bool {
	return s != "" && (s[0] == '-' || '0' <= s[0] && s[0] <= '9') && json.Valid([]byte(s))
}

// matchBody reports whether sent is the same JSON object as b with some
// values, and sets these. Whatever leaves a doubt is no match.
func (p *Parser) matchBody(v *View, b Body, sent []byte) bool {
	if normalize.CheckBody(sent) != nil {
		return false
	}
	matched, seen := true, make([]bool, len(b))
	gjson.ParseBytes(sent).ForEach(func(key, value gjson.Result) bool {
		matched = p.matchMember(v, b, seen, key.Str, value)
		return matched
	})
	for i, m := range b {
		if !seen[i] && (m.param < 0 || !p.provider.Params[m.param].Optional) {
			return false
		}
	}
	return matched
}

func (p *Parser) matchMember(v *View, b Body, seen []bool, name string, value gjson.Result) bool {
	for i, m := range b {
		if m.Name != name {
			continue
		}
		if seen[i] {
			return false
		}
		seen[i] = true
		switch {
		case m.param < 0:
			return value.Type == gjson.String && value.Str == m.text
		case m.number:
			return value.Type == gjson.Number && p.set(v, m.param, []byte(value.Raw)) == nil
		}
		text, ok := nameOf(value)
		return ok && value.Type == gjson.String && p.set(v, m.param, []byte(text)) == nil
	}
	return false
}
