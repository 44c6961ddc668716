package format

import (
	"fmt"

	"pollux/normalize"
)

// spec is the mapping part of the file.
func (f *written) spec() normalize.Spec {
	s := normalize.Spec{
		Status:  normalize.StatusSpec{Prefix: f.Status.Prefix.Value, Fold: f.Status.Fold, Other: normalize.Status(f.Status.Other.Value), OtherAt: position(f.Status.Other.Node)},
		Settled: exprSpec(f.Settle.Until),
	}
	for _, p := range f.Status.Path {
		s.Status.Paths = append(s.Status.Paths, pathSpec(p))
	}
	for _, c := range f.Status.Codes {
		if code, ok := httpCode(c.Name); ok {
			s.Status.Codes = append(s.Status.Codes, normalize.CodeSpec{Code: code, OutcomeSpec: c.Value.OutcomeSpec, Position: position(c.Node)})
		}
	}
	for _, d := range f.Poll.Documents {
		s.Documents = append(s.Documents, d.Value)
	}
	if r := f.Result; r != nil {
		s.Result = normalize.ResultSpec{When: exprSpec(r.When), Into: r.Into.Value, Position: position(r.Into.Node)}
	}
	if s.Result.Position == (normalize.Position{}) {
		s.Result.Position.Key = "result"
	}
	if e := f.Expires; e != nil {
		s.Expires = e.spec()
	}
	for _, w := range f.Status.Words {
		s.Status.Words = append(s.Status.Words, normalize.WordSpec{Word: w.Name, OutcomeSpec: w.Value.OutcomeSpec, Position: position(w.Node)})
	}
	for i, r := range f.Status.Rules {
		rule := normalize.RuleSpec{When: exprSpec(r.When), Set: r.Set.OutcomeSpec, SetAt: position(r.Set.Node), Position: position(r.When.Node)}
		if r.When.Node == nil {
			rule.Position.Key = fmt.Sprintf("status.rules[%d].when", i)
		}
		if r.Set.Node == nil {
			rule.SetAt.Key = fmt.Sprintf("status.rules[%d].set", i)
		}
		s.Status.Rules = append(s.Status.Rules, rule)
	}
	for _, field := range f.Fields {
		s.Fields = append(s.Fields, normalize.FieldSpec{Name: field.Name, Sources: sources(field.Value), Position: position(field.Node)})
	}
	for _, v := range f.Volatile {
		s.Volatile = append(s.Volatile, normalize.VolatileSpec{PathSpec: pathSpec(v.Path), When: exprSpec(v.When)})
	}
	for _, p := range f.Params {
		s.Params = append(s.Params, p.Name)
	}
	return s
}

// spec reads a time that is a path alone in whichever form it has.
func (e *expiresFile) spec() normalize.ExpiresSpec {
	spec := normalize.ExpiresSpec{After: e.After.Value}
	if e.At == nil {
		return spec
	}
	for _, source := range sources(*e.At) {
		spec.At = append(spec.At, source)
		if source.Time == "" {
			source.Time = "unix"
			spec.At = append(spec.At, source)
		}
	}
	return spec
}

func pathSpec(t text) normalize.PathSpec {
	return normalize.PathSpec{Path: t.Value, Position: position(t.Node)}
}

func exprSpec(t text) normalize.ExprSpec {
	return normalize.ExprSpec{Code: t.Value, Position: position(t.Node)}
}

func sources(f fieldFile) (specs []normalize.SourceSpec) {
	for _, source := range f {
		specs = append(specs, source.SourceSpec)
	}
	return specs
}
