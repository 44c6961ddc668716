package normalize

import "fmt"

// FieldTrace tells where one member of the document came from.
type FieldTrace struct {
	Field string        // "status", or as in the provider file
	Value Raw           // as the document shows it; nil if nothing filled it
	Tried []SourceTrace // in the order in which they were tried, the last one used if Value is set
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
	if s.param != "" {
		return "param " + s.param
	}
	return "path " + s.path
}

func wordOutcome(word string, status Status, known bool) string {
	if !known {
		return fmt.Sprintf("%q is not in the file", word)
	}
	return fmt.Sprintf("%q means %s", word, status)
}

func ruleOutcome(holds bool, err error, set OutcomeSpec) string {
	switch {
	case err != nil:
		return outcomeWhenError
	case !holds:
		return outcomeWhen
	case set.Status == "":
		return outcomeUsed
	}
	return "sets " + string(set.Status)
}
