package format

import (
	"regexp"

	"pollux/normalize"
)

// IDSource is where an answer names a task: a GJSON path in its body, or a
// header.
type IDSource struct {
	Path, Header string
	Match        *regexp.Regexp // what yields the id; nil: the value is the id
	Group        int            // of Match, the first without a name
	Others       []IDGroup      // of a create: its groups that have names
}

// IDGroup is a group of a match that yields another parameter of the reference.
type IDGroup struct{ Group, Param int }

// idSource checks where an answer has an id. header says whether it may be in
// a header.
func (l *loader) idSource(f *idFile, header bool) IDSource {
	s := IDSource{Path: f.Path.Value}
	if f.Header.Node != nil {
		s.Header = l.answerHeaders([]text{f.Header})[0]
	}
	switch {
	case f.Node.Broken():
	case s.Path != "" && s.Header != "":
		l.fault(f.Node, "", "want a path or a header, not both")
	case s.Header != "" && !header:
		l.fault(f.Node, "", "want a path: there is no header to look at")
	case s.Header == "" && f.Path.Node == nil:
		l.fault(f.Node, "", "want a GJSON path, {path, match} or {header: Location, match}")
	}
	l.path(f.Path)
	if s.Match = l.regexp(f.Match); s.Match != nil {
		l.groups(&s, f.Match)
	}
	return s
}

// groups tells the groups of a match apart: the first without a name is the
// id, one with a name the parameter of that name.
func (l *loader) groups(s *IDSource, at text) {
	for i, name := range s.Match.SubexpNames()[1:] {
		param, known := l.file.Params.Index(name)
		switch {
		case name == "" && s.Group == 0:
			s.Group = i + 1
		case name != "" && !known:
			l.fault(at.Node, "", "has a group named %s, which is no parameter of this file", name)
		case name != "":
			s.Others = append(s.Others, IDGroup{i + 1, param})
		}
	}
	if s.Group == 0 {
		l.fault(at.Node, "", "wants a group without a name: what it captures is the id")
	}
}

// regexp compiles a match, whose first group is the value; nil if there is none.
func (l *loader) regexp(t text) *regexp.Regexp {
	if t.Node == nil || t.Node.Broken() {
		return nil
	}
	re, err := regexp.Compile(t.Value)
	switch {
	case err != nil:
		l.fault(t.Node, "", "want a regular expression in RE2 syntax")
		return nil
	case re.NumSubexp() == 0:
		l.fault(t.Node, "", "a match needs a group: what it captures is the value")
		return nil
	}
	return re
}

// ids are the places where an answer may name its task. What it says there
// guards against answers about another one, so a source's when does not count.
func (l *loader) ids(spec normalize.Spec) []IDSource {
	var sources []IDSource
	for _, f := range spec.Fields {
		if f.Name != "id" {
			continue
		}
		for _, s := range f.Sources {
			if s.Path == "" {
				continue
			}
			source := IDSource{Path: s.Path}
			if s.Match != "" {
				re, err := regexp.Compile(s.Match)
				if err != nil || re.NumSubexp() == 0 {
					continue // reported with the mapping
				}
				source.Match, source.Group = re, 1
			}
			sources = append(sources, source)
		}
	}
	return sources
}

// alignIDs makes a create's answer name its task in the form that a poll's
// does: where both have it at one path and only fields.id says how it is cut
// out, that holds for both. Else a task would be known that no poll finds.
func (l *loader) alignIDs() {
	for _, c := range l.file.Creates {
		for i := range c.IDs {
			for _, polled := range l.file.IDs {
				if created := &c.IDs[i]; created.Path != "" && created.Path == polled.Path && created.Match == nil {
					created.Match, created.Group = polled.Match, polled.Group
					break // others are further forms of the same name
				}
			}
		}
	}
}
