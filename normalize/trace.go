package normalize

import (
	"fmt"
	"strings"
)

// FieldTrace tells where one member of the document came from.
type FieldTrace struct {
	Field string        // "status", or as in the provider file
	Value Raw           // as the document shows it; nil if nothing filled it
	Tried []SourceTrace // in the order in which they are tried, the one that was used among them if Value is set
}

// SourceTrace tells what became of one source or rule.
type SourceTrace struct {
	Source  string // "path createdAt", "param run_id", or the key of a rule
	Outcome string // "used", or why not
	Line    int    // in the provider file, 0 if unknown
}

func record(traces *[]FieldTrace, t FieldTrace) {
	if traces != nil {
		*traces = append(*traces, t)
	}
}

func (s *source) label() string {
	switch {
	case s.param != "":
		return "param " + s.param
	case s.result != "":
		return "result " + s.result
	case len(s.sum) > 0:
		return "sum " + strings.Join(s.sum, " + ")
	}
	return "path " + s.path
}

func (w nativeWord) outcome(status Status) string {
	switch {
	case !w.present:
		return "absent"
	case !w.known:
		return fmt.Sprintf("%q is not in the file, which makes it %s", w.word, status)
	}
	return fmt.Sprintf("%q means %s", w.word, status)
}

func ruleOutcome(holds, barred bool, err error, set OutcomeSpec) string {
	switch {
	case err != nil:
		return outcomeWhenError
	case barred:
		return "holds, but a word that is not in the file never is an end"
	case !holds:
		return outcomeWhen
	case set.Status == "":
		return outcomeUsed
	}
	return "sets " + string(set.Status)
}
