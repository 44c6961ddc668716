package template

import (
	"bytes"
	"slices"
)

// Param is one parameter of a task's reference.
type Param struct {
	Name     string
	In       string // "path", "query" or "body": where the upstream's poll request wants it
	Task     bool   // part of the reference in /v1/tasks/{upstream}/...: every path parameter, and another that is the id
	Optional bool
	Default  string // value that means what sending none means, so that it is not sent; "" if none does
	Slashes  bool   // its value may hold slashes, which are sent as they are
	Number   bool   // stands in a body as a number
	Max      int    // longest value, in bytes
	// Pattern is the file's rule for a value, anchored; nil if it has none.
	// Either way a value is 1 to Max bytes of UTF-8 without control
	// characters, backslashes and dot segments.
	Pattern *Pattern
}

// Params are those of a provider, in the order of its file.
type Params []Param

// Index returns the index of the parameter of that name.
func (p Params) Index(name string) (int, bool) {
	i := slices.IndexFunc(p, func(p Param) bool { return p.Name == name })
	return i, i >= 0
}

// Query returns the index of a parameter that the upstream wants in its query,
// -1 if there is none of that name.
func (p Params) Query(name []byte) int {
	for i := range p {
		if p[i].In == "query" && string(name) == p[i].Name {
			return i
		}
	}
	return -1
}

// Task returns the index of the parameter that is the task's own id, the last
// one of the reference's path; -1 if there is none.
func (p Params) Task() int {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i].Task {
			return i
		}
	}
	return -1
}

// Scoped reports whether a reference may have more than its path, so that one
// task may have several.
func (p Params) Scoped() bool { return slices.ContainsFunc(p, func(p Param) bool { return !p.Task }) }

// Fault says why value cannot be the parameter's, "" if it can.
func (p *Param) Fault(value []byte) string {
	if reason := valueFault(value, p.Max); reason != "" {
		return reason
	}
	if p.Slashes && (value[0] == '/' || value[len(value)-1] == '/' || bytes.Contains(value, []byte("//"))) {
		return "has an empty segment"
	}
	if p.Number && !isNumber(string(value)) {
		return "is no number"
	}
	if p.Pattern != nil && !p.Pattern.Match(value) {
		return "does not have the form that the provider's ids have"
	}
	return ""
}
