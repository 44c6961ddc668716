package providers

import (
	"net/http"
	"strings"

	"pollux/normalize"
	"pollux/providers/template"
)

// kinds are what format.Problems mean.
var kinds = map[string]Kind{
	"unauthorized":      Unauthorized,
	"forbidden":         Forbidden,
	"upstream-rejected": Rejected,
	"task-not-found":    NotFound,
	"rate-limited":      RateLimited,
	"upstream-error":    BadAnswer,
	"upstream-timeout":  TooSlow,
}

// reclassify returns what the first rule that holds says. A rule that cannot
// be evaluated does not hold.
func (p *Provider) reclassify(n normalize.Native) (Kind, bool) {
	for _, rule := range p.Errors.Rules {
		if holds, err := rule.When.Holds(n, "", ""); err == nil && holds {
			return kinds[rule.As], true
		}
	}
	return 0, false
}

// refusal is the verdict for an answer of that kind and code. body must pass
// normalize.CheckAnswer.
func (p *Provider) refusal(kind Kind, code int, body []byte) Verdict {
	v := Verdict{Kind: kind, Code: p.errorCode(body), Reason: reason(kind, code)}
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

// errorCode is the error code in the first shape that fits body, "" if none has one.
func (p *Provider) errorCode(body []byte) string {
	for _, shape := range p.Errors.Bodies {
		code := ""
		if shape.Message != "" {
			if _, ok := textAt(body, shape.Message); !ok {
				continue
			}
		}
		if shape.Code != "" {
			if code, _ = textAt(body, shape.Code); !isSlug(code) {
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
