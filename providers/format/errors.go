package format

import (
	"fmt"
	"slices"
	"strings"

	"pollux/normalize"
)

// ErrorRules is what a provider file says about answers that are no documents.
type ErrorRules struct {
	Bodies []ErrorBody
	Rules  []ErrorRule
	Any404 bool // a 404 is a missing task even when its body is not JSON
}

// ErrorBody is one shape of an error body, by GJSON paths; "" in it asks for
// nothing.
type ErrorBody struct{ Code, Message string }

// ErrorRule reclassifies the answers that it holds for.
type ErrorRule struct {
	When *normalize.Condition
	As   string // one of Problems
}

// Problems are the words of errors.rules[].as: what an answer that is no
// document may be.
var Problems = [...]string{
	"unauthorized", "forbidden", "upstream-rejected", "task-not-found", "rate-limited", "upstream-error", "upstream-timeout",
}

func (l *loader) errors() {
	f, e := &l.written.Errors, &l.file.Errors
	for i, body := range f.Bodies {
		l.path(body.Code)
		l.path(body.Message)
		if body.Code.Node == nil && body.Message.Node == nil {
			l.fault(nil, fmt.Sprintf("errors.bodies[%d]", i), "wants code, message or both in each shape")
		}
		e.Bodies = append(e.Bodies, ErrorBody{body.Code.Value, body.Message.Value})
	}
	for i, rule := range f.Rules {
		key := fmt.Sprintf("errors.rules[%d]", i)
		if !slices.Contains(Problems[:], rule.As.Value) {
			l.fault(rule.As.Node, key+".as", "want as: %s or %s", strings.Join(Problems[:len(Problems)-1], ", "), Problems[len(Problems)-1])
		}
		if rule.When.Node == nil {
			l.fault(nil, key+".when", "is missing: the expression that picks the answers")
		}
		e.Rules = append(e.Rules, ErrorRule{l.condition(rule.When), rule.As.Value})
	}
	switch f.Missing.Value {
	case "", "json-404":
	case "any-404":
		e.Any404 = true
	default:
		l.fault(f.Missing.Node, "errors.missing", "want json-404 or any-404")
	}
}
