package normalize

import (
	"math/big"
	"regexp"
	"strings"
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
	result      string
	sum         []string
	scale       *big.Rat // nil: as it is
	plain       bool     // path is one place in the body, not a search
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
	outcomeLater     = "not needed: one before it gave the value"
	outcomeNoResult  = "no result was fetched"
	outcomeNoNumber  = "not a number"
)

// evaluation is one mapping under way.
type evaluation struct {
	doc    *document
	scope  *scope
	param  func(name string) (string, bool)
	result *document // nil: none was fetched, or it is no JSON
	errors int       // conditions that could not be evaluated

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
	if outcome == "" && s.scale != nil {
		in, outcome = s.scaled(in)
	}
	if outcome != "" {
		return value{}, outcome
	}
	doc := e.doc
	if s.result != "" {
		doc = e.result
	}
	v, ok := s.convert(doc, in, typ)
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
	switch {
	case s.param != "":
		in.derived = true
		ok := false
		if e.param != nil {
			in.text, ok = e.param(s.param)
		}
		if !ok {
			return in, outcomeAbsent
		}
	case len(s.sum) > 0:
		if in.raw, outcome = s.total(e.doc); outcome != "" {
			return in, outcome
		}
	case s.result != "" && e.result == nil:
		return in, outcomeNoResult
	case s.result != "":
		in.raw, in.index = e.result.lookup(s.result)
	default:
		in.raw, in.index = e.doc.lookup(s.path)
	}
	if !in.derived {
		switch kindOf(in.raw) {
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

// total adds up what stands at the paths of a sum.
func (s *source) total(d *document) (raw, outcome string) {
	sum, found := new(big.Rat), false
	for _, path := range s.sum {
		raw, _ := d.lookup(path)
		switch kindOf(raw) {
		case kindAbsent, kindNull:
			continue
		}
		number, ok := parseExact(raw)
		if !ok {
			return "", outcomeNoNumber
		}
		sum, found = sum.Add(sum, number), true
	}
	if !found {
		return "", outcomeAbsent
	}
	return exactText(sum), ""
}

// scaled multiplies in by the source's scale.
func (s *source) scaled(in input) (input, string) {
	raw, isNumber := in.numeric()
	number, ok := parseExact(raw)
	if !isNumber || !ok {
		return in, outcomeNoNumber
	}
	return input{raw: exactText(number.Mul(number, s.scale))}, ""
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

// readTime takes numbers and their digits as text for forms that are numbers,
// and text for the others; a layout also fits the digits of a number.
func (s *source) readTime(in input) (at time.Time, ok bool) {
	text, isText := in.string()
	if number, isNumeric := in.numeric(); isNumeric && (numericTime(s.time) || strings.HasPrefix(s.time, formLayout)) {
		text, isText = number, true
	}
	if !isText {
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
		v.raw = AppendString(nil, in.text)
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
