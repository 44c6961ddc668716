package providers

import (
	"fmt"
	"net/http"
	"strings"

	"pollux/normalize"
	"pollux/providers/template"
)

// errorRules is what a provider file says about answers that are no documents.
type errorRules struct {
	bodies []errorBody
	rules  []errorRule
	any404 bool // a 404 is a missing task even when its body is not JSON
}

// errorBody is one shape of an error body, by GJSON paths; "" in it asks for
// nothing.
type errorBody struct{ code, message string }

// errorRule reclassifies the answers that it holds for.
type errorRule struct {
	when *normalize.Condition
	as   Kind
}

// kinds are the words of errors.rules[].as: the names that problems have.
var kinds = map[string]Kind{
	"unauthorized":      Unauthorized,
	"forbidden":         Forbidden,
	"upstream-rejected": Rejected,
	"task-not-found":    NotFound,
	"rate-limited":      RateLimited,
	"upstream-error":    BadAnswer,
	"upstream-timeout":  TooSlow,
}

func (l *loader) errors() {
	f, e := &l.file.Errors, &l.p.errors
	for i, body := range f.Bodies {
		l.path(body.Code)
		l.path(body.Message)
		if body.Code.Node == nil && body.Message.Node == nil {
			l.fault(nil, fmt.Sprintf("errors.bodies[%d]", i), "wants code, message or both in each shape")
		}
		e.bodies = append(e.bodies, errorBody{body.Code.Value, body.Message.Value})
	}
	for i, rule := range f.Rules {
		key := fmt.Sprintf("errors.rules[%d]", i)
		as, ok := kinds[rule.As.Value]
		if !ok {
			l.fault(rule.As.Node, key+".as", "want as: unauthorized, forbidden, upstream-rejected, task-not-found, rate-limited, upstream-error or upstream-timeout")
		}
		if rule.When.Node == nil {
			l.fault(nil, key+".when", "is missing: the expression that picks the answers")
		}
		e.rules = append(e.rules, errorRule{l.condition(rule.When), as})
	}
	switch f.Missing.Value {
	case "", "json-404":
	case "any-404":
		e.any404 = true
	default:
		l.fault(f.Missing.Node, "errors.missing", "want json-404 or any-404")
	}
}

// reclassify returns what the first rule that holds says. A rule that cannot
// be evaluated does not hold.
func (e *errorRules) reclassify(n normalize.Native) (Kind, bool) {
	for _, rule := range e.rules {
		if holds, err := rule.when.Holds(n, "", ""); err == nil && holds {
			return rule.as, true
		}
	}
	return 0, false
}

// verdict is the verdict for an answer of that kind and code. body must pass
// normalize.CheckAnswer.
func (e *errorRules) verdict(kind Kind, code int, body []byte) Verdict {
	v := Verdict{Kind: kind, Code: e.code(body), Reason: reason(kind, code)}
	switch kind {
	case Unauthorized:
		v.Status = http.StatusUnauthorized
	case Forbidden:
		v.Status = http.StatusForbidden
	case Rejected:
		if v.Status = code; code < 400 || code > 599 { // a 200 that a rule calls a refusal
			v.Status = http.StatusUnprocessableEntity
		}
	case BadAnswer:
		v.ServerFault = code < 200 || code > 499
	}
	return v
}

// reason words a verdict without a byte of the upstream's.
func reason(kind Kind, code int) string {
	switch kind {
	case Rejected:
		return "the upstream refuses the request"
	case Unauthorized:
		return "the upstream refuses the credential"
	case Forbidden:
		return "the upstream does not let this credential see the task"
	case NotFound:
		return "the upstream knows no such task, or hides it from this credential"
	case RateLimited:
		return "the upstream limits the rate of requests"
	case TooSlow:
		return "the upstream gave up waiting"
	}
	switch {
	case code == http.StatusNotFound || code == http.StatusMethodNotAllowed:
		return "the upstream does not know the route of this request; is its base URL right?"
	case code >= 300 && code < 400:
		return "the upstream redirects the request, which is not followed"
	case code >= 500 && code < 600:
		return "the upstream reports an error of its own"
	}
	return "the upstream's answer is none to a status poll"
}

// code is the error code in the first shape that fits body, "" if none has one.
func (e *errorRules) code(body []byte) string {
	for _, shape := range e.bodies {
		code := ""
		if shape.message != "" {
			if _, ok := textAt(body, shape.message); !ok {
				continue
			}
		}
		if shape.code != "" {
			if code, _ = textAt(body, shape.code); !isSlug(code) {
				continue
			}
		}
		return code
	}
	return ""
}

// isSlug reports whether s is a word of at most 64 bytes: an error code, not a
// sentence that might quote what was sent.
func isSlug(s string) bool { return template.IsName(s) && strings.Trim(s, "-._") != "" }
