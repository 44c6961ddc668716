package normalize

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Compile checks a Spec and makes it ready for use. It returns every fault at
// once, and a nil Mapping if there is any.
func Compile(spec Spec) (*Mapping, []Fault) {
	c := compiler{params: spec.Params, mapping: &Mapping{prefix: spec.Status.Prefix}}
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
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	return c.mapping, nil
}

type compiler struct {
	params  []string
	mapping *Mapping
	faults  []Fault
}

func (c *compiler) fault(at Position, format string, args ...any) {
	c.faults = append(c.faults, Fault{at, fmt.Sprintf(format, args...)})
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
	c.mapping.paths = append(c.mapping.paths, condition.paths...)
	return condition
}

func (c *compiler) status(spec StatusSpec) {
	m := c.mapping
	c.path(spec.Path.Path, spec.Path.Position)
	m.statusPath = spec.Path.Path
	m.statusKeys, _ = plainKeys(m.statusPath)
	if len(spec.Words) == 0 {
		c.fault(spec.Path.Position, "no native words are listed")
	}
	m.words = make(map[string]OutcomeSpec, len(spec.Words))
	for _, w := range spec.Words {
		if _, dup := m.words[w.Word]; dup {
			c.fault(w.Position, "word %q is listed twice", w.Word)
		}
		if w.Word == "" {
			c.fault(w.Position, "a word cannot be empty")
		}
		if w.Status == "" {
			c.fault(w.Position, "word %q has no status", w.Word)
		}
		c.outcome(w.OutcomeSpec, w.Position)
		m.words[w.Word] = w.OutcomeSpec
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
		if len(keys) <= len(m.statusKeys) && slices.Equal(keys, m.statusKeys[:len(keys)]) {
			c.fault(spec.Position, "the status cannot be volatile")
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
	s := source{path: spec.Path, param: spec.Param, notEmpty: spec.NotEmpty, time: spec.Time, join: spec.Join, at: at}
	if typ == typeCalls {
		s.path, s.each = c.each(spec)
	} else if spec.Each != nil {
		c.fault(at.below("each"), "only required_action.tool_calls takes each")
	}
	switch {
	case s.path != "" && s.param != "":
		c.fault(at, "a source has a path or a param, not both")
	case s.path != "":
		c.path(s.path, at)
		_, s.plain = plainKeys(s.path)
	case s.param == "" && typ != typeCalls:
		c.fault(at, "a source needs a path or a param")
	case s.param != "" && !slices.Contains(c.params, s.param):
		c.fault(at.below("param"), "there is no parameter %q", s.param)
	}
	if spec.When != "" {
		s.when = c.condition(ExprSpec{spec.When, at.below("when")})
	}
	if spec.Match != "" {
		s.match = c.match(spec.Match, at.below("match"))
	}
	c.form(&s, typ)
	if spec.Join != nil && typ != typeText {
		c.fault(at.below("join"), "only output.text is joined")
	}
	return s
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
	case formUnix, formUnixMS, formRFC3339:
	default:
		c.fault(s.at.below("time"), "%q is no form of time; want unix, unix_ms or rfc3339", s.time)
	}
	if typ != typeTime && typ != typeJSON {
		c.fault(s.at.below("time"), "only times and metadata take a form of time")
	}
}
