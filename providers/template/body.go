package template

import (
	"strings"

	"github.com/tidwall/gjson"

	"pollux/normalize"
)

// Body is the JSON object that a request carries. Nil is none, an empty one is
// {}. It is immutable.
type Body []Member

// Member is one member of a Body.
type Member struct {
	Name   string
	Text   string // where Param is -1
	Param  int    // index of the parameter that it is; -1: plain text
	Number bool   // the parameter is written as a number
}

// ParseMember reads a member: {param} alone, or plain text. Of one that is a
// number text is the parameter's name, in braces or not. The fault says what
// is wrong with it, "" if nothing is.
func ParseMember(name, text string, number bool, params Params) (m Member, fault string) {
	param, braced := placeholder(text)
	if number && !braced {
		param = text
	}
	m = Member{Name: name, Text: text, Param: literal, Number: number}
	switch i, known := params.Index(param); {
	case (braced || number) && !known:
		return m, "{" + param + "} is no parameter of this file"
	case braced || number:
		m.Param = i
	case strings.ContainsAny(text, "{}"):
		return m, "want {param} alone, or plain text"
	}
	return m, ""
}

// placeholder returns the name in "{name}".
func placeholder(s string) (name string, ok bool) {
	inner, open := strings.CutPrefix(s, "{")
	name, closed := strings.CutSuffix(inner, "}")
	return name, open && closed && IsName(name)
}

// Count is how often a parameter stands in b.
func (b Body) Count(param int) (n int) {
	for _, m := range b {
		if m.Param == param {
			n++
		}
	}
	return n
}

// Render returns b with the values of a reference. Members of parameters that
// were not sent are left out.
func (b Body) Render(values []string) []byte {
	out := []byte{'{'}
	for _, m := range b {
		value := m.Text
		if m.Param >= 0 {
			if value = values[m.Param]; value == "" {
				continue
			}
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(normalize.AppendString(out, m.Name), ':')
		if m.Number {
			out = append(out, value...)
		} else {
			out = normalize.AppendString(out, value)
		}
	}
	return append(out, '}')
}

// Match reports whether sent is the same JSON object as b with some values,
// which set is given. Whatever leaves a doubt is no match.
func (b Body) Match(sent []byte, params Params, set func(param int, value []byte) bool) bool {
	if normalize.CheckBody(sent) != nil {
		return false
	}
	matched, seen := true, make([]bool, len(b))
	gjson.ParseBytes(sent).ForEach(func(key, value gjson.Result) bool {
		matched = b.matchMember(seen, key.Str, value, set)
		return matched
	})
	for i, m := range b {
		if !seen[i] && (m.Param < 0 || !params[m.Param].Optional) {
			return false
		}
	}
	return matched
}

func (b Body) matchMember(seen []bool, name string, value gjson.Result, set func(param int, value []byte) bool) bool {
	for i, m := range b {
		if m.Name != name {
			continue
		}
		if seen[i] {
			return false
		}
		seen[i] = true
		switch {
		case m.Number:
			return value.Type == gjson.Number && set(m.Param, []byte(value.Raw))
		case value.Type != gjson.String:
			return false
		case m.Param < 0:
			return value.Str == m.Text
		}
		return !normalize.LoneSurrogate(value.Raw) && set(m.Param, []byte(value.Str))
	}
	return false
}
