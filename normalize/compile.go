package normalize

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Compile checks a Spec and makes it ready for use. It returns every fault at
// once, and a nil Mapping if there is any.
func Compile(spec Spec) (*Mapping, []Fault) {
	c := compiler{params: spec.Params, documents: spec.Documents, mapping: &Mapping{prefix: spec.Status.Prefix, fold: spec.Status.Fold, other: spec.Status.Other}}
	if len(c.documents) == 0 {
		c.documents = []int{200}
	}
	c.status(spec.Status)
	c.volatile(spec.Volatile)
	seen := map[string]bool{}
	for _, f := range spec.Fields {
		if seen[f.Name] {
			c.fault(f.Position, "field %q is filled twice", f.Name)
		}
		seen[f.Name] = true
		c.field(f)
	}
	if spec.Settled.Code != "" {
		c.mapping.settled = c.condition(spec.Settled)
	}
	c.result(spec.Result)
	c.expires(spec.Expires)
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	return c.mapping, nil
}

type compiler struct {
	params    []string
	documents []int // HTTP codes
	mapping   *Mapping
	faults    []Fault
}

// fault adds a fault, once: a source may be compiled in several forms.
func (c *compiler) fault(at Position, format string, args ...any) {
	if f := (Fault{at, fmt.Sprintf(format, args...)}); !slices.Contains(c.faults, f) {
		c.faults = append(c.faults, f)
	}
}

// below names a key under the one at p; the file's line stays that of p.
func (p Position) below(key string) Position {
	if p.Key != "" {
		key = p.Key + "." + key
	}
	p.Key = key
	return p
}

// path checks and remembers a GJSON path.
func (c *compiler) path(path string, at Position) {
	if err := CheckPath(path); err != nil {
		c.fault(at, "path %q: %v", path, err)
		return
	}
	c.mapping.paths = append(c.mapping.paths, PathSpec{path, at})
}

func (c *compiler) condition(spec ExprSpec) *Condition {
	condition, fault := CompileCondition(spec)
	if fault != nil {
		c.faults = append(c.faults, *fault)
		return nil
	}
	for _, test := range condition.codes {
		if !slices.ContainsFunc(c.documents, test.holds) {
			c.fault(spec.Position, "condition: http is never %s here: the codes whose answers are documents are %s; list %s in poll.documents if it is one", test.text, numberList(c.documents), test.one)
		}
	}
	for _, word := range condition.words {
		if why := c.mapping.neverWord(word); why != "" {
			c.fault(spec.Position, "condition: word is never %q: %s", word, why)
		}
	}
	c.mapping.paths = append(c.mapping.paths, condition.paths...)
	return condition
}

// neverWord says why no answer has such a word, "" if one may.
func (m *Mapping) neverWord(word string) string {
	listed, known := m.words[m.folded(word)]
	switch {
	case known && listed.word != word:
		return fmt.Sprintf("with fold it is spelt as words has it, %q", listed.word)
	case known || word == "":
		return ""
	case m.unprefixed(word) != word:
		return fmt.Sprintf("it comes without the prefix, as %q", m.unprefixed(word))
	case strings.Count(word, " ") < len(m.statusPaths)-1:
		return fmt.Sprintf(`path leads to %d words, which are joined by a blank, as in "completed success"`, len(m.statusPaths))
	}
	return ""
}

func numberList(numbers []int) string {
	texts := make([]string, len(numbers))
	for i, n := range numbers {
		texts[i] = strconv.Itoa(n)
	}
	return strings.Join(texts, ", ")
}

func (c *compiler) status(spec StatusSpec) {
	m := c.mapping
	for _, p := range spec.Paths {
		c.path(p.Path, p.Position)
		m.statusPaths = append(m.statusPaths, p.Path)
		keys, _ := plainKeys(p.Path)
		m.statusKeys = append(m.statusKeys, keys)
	}
	c.codes(spec.Codes)
	c.wordless(spec)
	c.words(spec)
	switch {
	case spec.Other == "":
	case !spec.Other.Valid():
		c.fault(spec.OtherAt, "%q is no status; want one of %s", spec.Other, statusList())
	case spec.Other.Terminal():
		c.fault(spec.OtherAt, "%q is an end, and a word that is not in the file never is one; list the word that means it under words", spec.Other)
	}
	for _, r := range spec.Rules {
		if r.When.Code == "" {
			c.fault(r.Position, "a rule needs a condition")
			continue
		}
		if r.Set == (OutcomeSpec{}) {
			c.fault(r.SetAt, "a rule must set something")
		}
		c.outcome(r.Set, r.SetAt)
		m.rules = append(m.rules, rule{c.condition(r.When), r.Set, r.Position})
	}
}

func (c *compiler) codes(specs []CodeSpec) {
	c.mapping.codes = make(map[int]OutcomeSpec, len(specs))
	for _, s := range specs {
		if s.Status == "" {
			c.fault(s.Position, "code %d has no status", s.Code)
		}
		if !slices.Contains(c.documents, s.Code) {
			c.fault(s.Position, "an answer with code %d is no document; list it in poll.documents, which has %s", s.Code, numberList(c.documents))
		}
		c.outcome(s.OutcomeSpec, s.Position)
		c.mapping.codes[s.Code] = s.OutcomeSpec
	}
}

// wordless checks that a status without words follows from every code.
func (c *compiler) wordless(spec StatusSpec) {
	if len(spec.Paths) > 0 && len(spec.Words) > 0 {
		return
	}
	at := Position{Key: "status.path"}
	if len(spec.Paths) > 0 {
		at = spec.Paths[0].Position
	}
	for _, code := range c.documents {
		if _, decides := c.mapping.codes[code]; decides {
			continue
		}
		if len(spec.Codes) > 0 {
			c.fault(at, "path and words may be left out only where codes has every document's code, and it lacks %d", code)
			return
		}
		if len(spec.Paths) == 0 {
			c.fault(at, "is missing: the GJSON path of the native status word")
		}
		if len(spec.Words) == 0 {
			c.fault(at, "no native words are listed")
		}
		return
	}
}

func (c *compiler) words(spec StatusSpec) {
	m := c.mapping
	m.words = make(map[string]meaning, len(spec.Words))
	for _, w := range spec.Words {
		key := m.folded(w.Word)
		if _, dup := m.words[key]; dup {
			c.fault(w.Position, "word %q is listed twice", w.Word)
		}
		if w.Status == "" {
			c.fault(w.Position, "word %q has no status", w.Word)
		}
		if w.Word == "null" || w.Word == "~" {
			c.fault(w.Position, "null is no word: a status that is null or absent is ''")
		}
		if parts := len(spec.Paths); parts > 1 && strings.Count(w.Word, " ") < parts-1 {
			c.fault(w.Position, `word %q can never come: path leads to %d words, which are joined by a blank, as in "completed success", with - for one that is absent`, w.Word, parts)
		}
		c.outcome(w.OutcomeSpec, w.Position)
		m.words[key] = meaning{w.Word, w.OutcomeSpec}
	}
}

// outcome checks what a word or a rule sets. Members that only some statuses
// show cannot be set beside another status; a rule that leaves the status to
// the word may set either.
func (c *compiler) outcome(o OutcomeSpec, at Position) {
	if o.Status != "" && !o.Status.Valid() {
		c.fault(at, "%q is no status; want one of %s", o.Status, statusList())
		return
	}
	if o.RequiredAction != "" && o.Status != "" && o.Status != RequiresAction {
		c.fault(at, "required_action needs status %s", RequiresAction)
	}
	if o.StatusReason == "" {
		return
	}
	if o.Status != "" && o.Status != Incomplete {
		c.fault(at, "status_reason needs status %s", Incomplete)
	}
	c.path(o.StatusReason, at.below("status_reason"))
}

func statusList() string {
	names := make([]string, len(Statuses))
	for i, s := range Statuses {
		names[i] = string(s)
	}
	return strings.Join(names, ", ")
}

func (c *compiler) volatile(specs []VolatileSpec) {
	m := c.mapping
	m.volatile = volatile{}
	for _, spec := range specs {
		c.path(spec.Path, spec.Position)
		keys, plain := plainKeys(spec.Path)
		if !plain {
			c.fault(spec.Position, "path %q: a volatile path may only name members and indices", spec.Path)
			continue
		}
		for _, status := range m.statusKeys {
			if len(keys) <= len(status) && slices.Equal(keys, status[:len(keys)]) {
				c.fault(spec.Position, "the status cannot be volatile")
			}
		}
		member := volatileMember{keys: keys}
		if spec.When.Code != "" {
			member.when, m.passing = c.condition(spec.When), true
		}
		m.members = append(m.members, member)
		m.volatile.add(keys)
	}
}

func (c *compiler) field(spec FieldSpec) {
	m, known := memberNamed(spec.Name)
	if !known {
		c.fault(spec.Position, "the document has no member %q", spec.Name)
		return
	}
	if len(spec.Sources) == 0 {
		c.fault(spec.Position, "field %q has no source", spec.Name)
	}
	f := field{name: spec.Name, member: m}
	for _, s := range spec.Sources {
		if s.Position == (Position{}) {
			s.Position = spec.Position
		}
		f.sources = append(f.sources, c.source(s, m.typ))
	}
	f.volatile = slices.ContainsFunc(f.sources, c.mapping.volatile.touchesSource)
	c.mapping.fields = append(c.mapping.fields, f)
}

func (c *compiler) source(spec SourceSpec, typ memberType) source {
	at := spec.Position
	s := source{path: spec.Path, param: spec.Param, result: spec.Result, sum: spec.Sum, notEmpty: spec.NotEmpty, time: spec.Time, join: spec.Join, at: at}
	if typ == typeCalls {
		s.path, s.each = c.each(spec)
	} else if spec.Each != nil {
		c.fault(at.below("each"), "only required_action.tool_calls takes each")
	}
	c.origin(&s, typ)
	if spec.When != "" {
		s.when = c.condition(ExprSpec{spec.When, at.below("when")})
	}
	if spec.Match != "" {
		s.match = c.match(spec.Match, at.below("match"))
	}
	c.arithmetic(&s, spec, typ)
	c.form(&s, typ)
	if spec.Join != nil && typ != typeText {
		c.fault(at.below("join"), "only output.text is joined")
	}
	return s
}

// origin checks where a source reads from: exactly one place.
func (c *compiler) origin(s *source, typ memberType) {
	places := 0
	for _, named := range []bool{s.path != "", s.param != "", s.result != "", len(s.sum) > 0} {
		if named {
			places++
		}
	}
	switch {
	case places > 1 && s.path != "" && s.param != "":
		c.fault(s.at, "a source has a path or a param, not both")
	case places > 1:
		c.fault(s.at, "a source has one of path, param, result and sum")
	case s.path != "":
		c.path(s.path, s.at)
		_, s.plain = plainKeys(s.path)
	case s.result != "":
		c.resultPath(s.result, s.at.below("result"))
		_, s.plain = plainKeys(s.result)
	case len(s.sum) > 0:
		for _, path := range s.sum {
			if strings.Contains(path, " + ") {
				c.fault(s.at.below("sum"), "want a list of paths, as in [a, b]")
			}
			c.path(path, s.at.below("sum"))
		}
	case s.param == "" && typ != typeCalls:
		c.fault(s.at, "a source needs a path or a param")
	case s.param != "" && !slices.Contains(c.params, s.param):
		c.fault(s.at.below("param"), "there is no parameter %q", s.param)
	}
}

// arithmetic checks scale and sum, which make numbers of numbers.
func (c *compiler) arithmetic(s *source, spec SourceSpec, typ memberType) {
	if spec.Scale == "" && len(spec.Sum) == 0 {
		return
	}
	at := s.at.below("scale")
	if spec.Scale == "" {
		at = s.at.below("sum")
	}
	switch typ {
	case typeCount, typePercent, typeNumber, typeJSON:
	default:
		c.fault(at, "only numbers are scaled and summed: progress, usage and metadata")
	}
	if s.time != "" {
		c.fault(at, "a time is neither scaled nor summed")
	}
	if len(spec.Sum) > 0 && s.match != nil {
		c.fault(s.at.below("match"), "a sum is a number, which has nothing to match")
	}
	if spec.Scale == "" {
		return
	}
	scale, ok := parseExact(spec.Scale)
	if !ok || scale.Sign() == 0 {
		c.fault(at, "want a decimal number other than 0, such as 100 or 0.001")
	}
	s.scale = scale
}

// resultPath checks a path into the answer to the result's request, which
// only a file with result has.
func (c *compiler) resultPath(path string, at Position) {
	c.mapping.readsResult = true
	if err := CheckPath(path); err != nil {
		c.fault(at, "path %q: %v", path, err)
	}
}

func (c *compiler) result(spec ResultSpec) {
	m := c.mapping
	if spec.When.Code == "" {
		if m.readsResult {
			c.fault(spec.Position, "a source reads a result, and the file has no result with request or link, and when")
		}
		return
	}
	m.wantsResult = c.condition(spec.When)
	switch m.resultInto = spec.Into; spec.Into {
	case "", "output.data", "output.text":
	default:
		c.fault(spec.Position, "want into: output.data or output.text")
	}
}

func (c *compiler) expires(spec ExpiresSpec) {
	c.mapping.expiresAfter = spec.After
	for _, at := range spec.At {
		c.mapping.expiresAt = append(c.mapping.expiresAt, c.source(at, typeTime))
	}
}

// each checks the mapping of tool calls and returns where its list is.
func (c *compiler) each(spec SourceSpec) (path string, each *EachSpec) {
	at := spec.Position.below("each")
	each = spec.Each
	if each == nil || each.Path == "" {
		c.fault(at, "tool calls need each: the path of their list")
		return spec.Path, each
	}
	if spec.Path != "" || spec.Param != "" || spec.Match != "" {
		c.fault(at, "each stands without path, param and match")
	}
	for _, inner := range []string{each.ID, each.Name, each.Arguments} {
		if inner == "" {
			continue
		}
		if err := CheckPath(inner); err != nil {
			c.fault(at, "path %q: %v", inner, err)
			continue
		}
		c.mapping.paths = append(c.mapping.paths, PathSpec{each.Path + "|#." + inner, at})
	}
	return each.Path, each
}

func (c *compiler) match(pattern string, at Position) *regexp.Regexp {
	re, err := regexp.Compile(pattern)
	switch {
	case err != nil:
		c.fault(at, "%v", err)
	case re.NumSubexp() == 0:
		c.fault(at, "a match needs a group: what it captures is the value")
	}
	return re
}

// form checks the form of times. Members of metadata may have one; then they
// are shown as the document shows times.
func (c *compiler) form(s *source, typ memberType) {
	switch s.time {
	case "":
		if typ == typeTime {
			s.time = formRFC3339
		}
		return
	default:
		if wrong := checkForm(s.time); wrong != "" {
			c.fault(s.at.below("time"), "%q %s", s.time, wrong)
		}
	}
	if typ != typeTime && typ != typeJSON {
		c.fault(s.at.below("time"), "only times and metadata take a form of time")
	}
}
