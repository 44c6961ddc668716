package providers

import (
	"net/http"
	"slices"
	"time"

	"pollux/normalize"
)

// JudgeCancel says what an upstream's answer to the cancel request for r means.
// Answered (without a task) means that it was accepted, Rejected with status
// 409 that the task cannot be cancelled any more; the rest is as in Judge. The
// provider must be able to cancel.
func (p *Provider) JudgeCancel(r Reference, code int, h http.Header, body []byte, now time.Time) Verdict {
	if !p.Cancel.accepts(code) {
		v := p.judgeRefusal(r, code, body)
		v.RetryAfter, _ = RetryAfter(h.Get("Retry-After"), now)
		return v
	}
	if p.Cancel.refused == nil || normalize.CheckBody(body) != nil {
		return Verdict{Kind: Answered}
	}
	if refused, err := p.Cancel.refused.Holds(p.native(r, code, body), "", ""); err != nil || !refused {
		return Verdict{Kind: Answered}
	}
	return Verdict{Kind: Rejected, Status: http.StatusConflict, Reason: "the upstream says that the task cannot be cancelled any more"}
}

func (a *Action) accepts(code int) bool {
	if len(a.OK) == 0 {
		return code >= 200 && code < 300
	}
	return slices.Contains(a.OK, code)
}
