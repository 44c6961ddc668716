package normalize

import (
	"regexp"
	"time"
)

// field is a compiled FieldSpec.
type field struct {
	name     string
	member   member
	sources  []source
	volatile bool // some source hangs on a volatile member
}

// reading is what a field got from its sources.
type reading struct {
	value value
	found bool
}

// source is a compiled SourceSpec.
type source struct {
	path, param string
	plain       bool // path is one place in the body, not a search
	when        *Condition
	match       *regexp.Regexp
	notEmpty    bool
	time        string
	join        *string
	each        *EachSpec
	at          Position
}

// Outcomes of a source. What is not used says why.
const (
	outcomeUsed      = "used"
	outcomeWhen      = "its condition does not hold"
	outcomeWhenError = "its condition cannot be evaluated"
	outcomeAbsent    = "absent"
	outcomeNull      = "null"
	outcomeNoMatch   = "does not match"
	outcomeEmpty     = "empty"
)

// evaluation is one mapping under way.
type evaluation struct {
	doc    *document
	scope  *scope
	param  func(name string) (string, bool)
	errors int // conditions that could not be evaluated

	readings []reading // by field
}

// holds evaluates c, which holds if it is nil. An error is no match.
func (e *evaluation) holds(c *Condition) (holds bool, err error) {
	if c == nil {
		return true, nil
	}
	if holds, err = c.holds(e.scope, e.doc); err != nil {
		e.errors++
	}
	return holds, err
}

// input is what a source found before it is read as a type.
type input struct {
	raw     string // JSON
	index   int    // of raw in the body, 0 if it is not from there
	derived bool   // by param or match: text stands for raw
	text    string
}

func (in input) string() (string, bool) {
	if in.derived {
		return in.text, true
	}
	if kindOf(in.raw) != kindString {
		return "", false
	}
	return decodeString(in.raw), true
}

// numeric returns a JSON number. Text that is one counts if it was derived,
// since a reference parameter or a match can be nothing else.
func (in input) numeric() (string, bool) {
	if in.derived {
		return in.text, isNumber(in.text)
	}
	return in.raw, kindOf(in.raw) == kindNumber
}

// read returns the source's value as typ and outcomeUsed, or why there is none.
func (s *source) read(e *evaluation, typ memberType) (value, string) {
	if holds, err := e.holds(s.when); err != nil {
		return value{}, outcomeWhenError
	} else if !holds {
		return value{}, outcomeWhen
	}
	in, outcome := s.find(e)
	if outcome != "" {
		return value{}, outcome
	}
	v, ok := s.convert(e.doc, in, typ)
	if !ok {
		return value{}, "not " + typeNames[typ]
	}
	if s.notEmpty && v.text == "" && (typ == typeString || typ == typeText || typ == typeName) {
		return value{}, outcomeEmpty
	}
	if s.notEmpty && typ == typeJSON && string(v.raw) == `""` {
		return value{}, outcomeEmpty
	}
	return v, outcomeUsed
}

func (s *source) find(e *evaluation) (in input, outcome string) {
	if s.param != "" {
		in.derived = true
		ok := false
		if e.param != nil {
			in.text, ok = e.param(s.param)
		}
		if !ok {
			return in, outcomeAbsent
		}
	} else {
		switch in.raw, in.index = e.doc.lookup(s.path); kindOf(in.raw) {
		case kindAbsent:
			return in, outcomeAbsent
		case kindNull:
			return in, outcomeNull
		}
	}
	if s.match == nil {
		return in, ""
	}
	text, ok := in.string()
	if !ok {
		return in, outcomeNoMatch
	}
	groups := s.match.FindStringSubmatchIndex(text)
	if groups == nil || groups[2] < 0 {
		return in, outcomeNoMatch
	}
	return input{derived: true, text: text[groups[2]:groups[3]]}, ""
}

// convert reads in as typ; false if it is not of that type.
func (s *source) convert(d *document, in input, typ memberType) (v value, ok bool) {
	switch typ {
	case typeString:
		v.text, ok = in.string()
	case typeText:
		v.text, ok = s.readText(in)
	case typeName:
		v.text, ok = readName(in)
	case typeCount, typePercent, typeNumber:
		v.number, ok = readNumber(in, typ)
	case typeTime:
		v.at, ok = s.readTime(in)
	case typeJSON:
		return s.readJSON(d, in)
	case typeList:
		v.raw, ok = d.slice(in.raw, in.index), !in.derived && kindOf(in.raw) == kindArray
	case typeCalls:
		v.calls, ok = s.readCalls(in)
	}
	return v, ok
}

// readText takes a list only from a path that searches, or with a join: a
// plain path that ends at a list has met data, not parts of a text.
func (s *source) readText(in input) (string, bool) {
	if !in.derived && kindOf(in.raw) == kindArray && (s.join != nil || !s.plain) {
		return joinText(in.raw, s.join)
	}
	return in.string()
}

// readName lets numbers stand for their digits; a whole one like 500.0 is 500.
func readName(in input) (string, bool) {
	if text, ok := in.string(); ok {
		return text, true
	}
	number, ok := in.numeric()
	if whole, isCount := parseCount(number); isCount {
		return string(whole), true
	}
	return number, ok
}

func readNumber(in input, typ memberType) (Number, bool) {
	number, ok := in.numeric()
	switch {
	case !ok:
		return "", false
	case typ == typeCount:
		return parseCount(number)
	case typ == typePercent:
		return parsePercent(number)
	}
	return parseAmount(number)
}

func (s *source) readTime(in input) (at time.Time, ok bool) {
	var text string
	if s.time == formUnix || s.time == formUnixMS {
		text, ok = in.numeric()
	} else {
		text, ok = in.string()
	}
	if !ok {
		return time.Time{}, false
	}
	return parseTime(text, s.time)
}

func (s *source) readJSON(d *document, in input) (v value, ok bool) {
	switch {
	case s.time != "":
		if v.at, ok = s.readTime(in); ok {
			v.raw = appendTime(nil, v.at)
		}
		return v, ok
	case in.derived:
		v.raw = appendString(nil, in.text)
	default:
		v.raw = d.slice(in.raw, in.index)
	}
	return v, true
}

func (s *source) readCalls(in input) (calls []ToolCall, ok bool) {
	if in.derived || kindOf(in.raw) != kindArray {
		return nil, false
	}
	eachElement(in.raw, func(element string) {
		d := document{text: element}
		get := func(path string) Raw {
			if path == "" {
				return nil
			}
			raw, _ := d.lookup(path)
			return d.slice(raw, 0)
		}
		calls = append(calls, ToolCall{get(s.each.ID), get(s.each.Name), get(s.each.Arguments)})
	})
	return calls, len(calls) > 0
}
