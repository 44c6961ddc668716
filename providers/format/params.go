package format

import (
	"fmt"
	"slices"

	"pollux/providers/template"
)

func (l *loader) params() {
	for _, member := range l.written.Params {
		f, at := member.Value, member.Node
		param := template.Param{
			Name: member.Name, In: f.In.Value, Optional: f.Optional, Task: f.Task || f.In.Value == "path",
			Slashes: f.Slashes, Max: template.DefaultMax,
		}
		switch {
		case !template.IsName(member.Name):
			l.fault(at, "params", "want a name of letters, digits, dots, dashes and underscores")
		case slices.Contains(reservedNames, member.Name):
			l.fault(at, "params", "is a name that Pollux uses itself")
		case slices.Contains(l.file.Identity.Query, member.Name):
			l.fault(at, "params", "is listed in identity.query, and cannot be both")
		}
		if param.In != "path" && param.In != "query" && param.In != "body" {
			l.fault(f.In.Node, at.Path()+".in", "want path, query or body")
		}
		if param.Slashes && param.In != "path" {
			l.fault(at, "params", "has slashes: true, which only a parameter of the path needs")
		}
		if param.Slashes && slices.ContainsFunc(l.file.Params, func(p template.Param) bool { return p.Slashes }) {
			l.fault(at, "params", "has slashes: true like another one: where one ends and the other begins could not be told")
		}
		if f.Max.Node != nil {
			if param.Max = f.Max.Value; param.Max < 1 || param.Max > template.LongestMax {
				l.fault(f.Max.Node, "", "want a length from 1 to %d bytes", template.LongestMax)
			}
		}
		if param.Task && param.Optional {
			l.fault(at, "params", "is part of the task's id, which cannot be optional")
		}
		if f.Pattern.Node != nil {
			pattern, err := template.NewPattern(f.Pattern.Value)
			if err != nil {
				l.fault(f.Pattern.Node, "", "want a regular expression in RE2 syntax")
			}
			param.Pattern = pattern
		}
		if param.Default = f.Default.Value; f.Default.Node != nil {
			switch {
			case !param.Optional:
				l.fault(f.Default.Node, "", "goes with optional: true: it is what sending none means")
			case param.Fault([]byte(param.Default)) != "":
				l.fault(f.Default.Node, "", "want a value that the parameter may have")
			}
		}
		l.file.Params = append(l.file.Params, param)
	}
	if l.file.Params.Task() < 0 {
		l.fault(nil, "params", "wants a parameter that is the task's id: one in: path, or one in: query or body with task: true")
	}
}

func (l *loader) oneOf() {
	for i, group := range l.written.OneOf {
		var names []string
		for _, name := range group {
			param, ok := l.file.Params.Index(name.Value)
			switch {
			case !ok:
				l.fault(name.Node, "", "is no parameter of this file")
				continue
			case slices.Contains(names, name.Value):
				l.fault(name.Node, "", "is listed twice")
			case !l.file.Params[param].Optional:
				l.fault(name.Node, "", "is not optional, so it is always there")
			}
			names = append(names, name.Value)
		}
		if len(group) < 2 {
			l.fault(nil, fmt.Sprintf("one_of[%d]", i), "wants two names or more")
		}
		l.file.OneOf = append(l.file.OneOf, names)
	}
}
