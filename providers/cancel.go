package providers

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
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
	if isPage(h.Get("Content-Type"), body) {
		return Verdict{Kind: BadAnswer, Reason: "the upstream answers the cancel request with a web page, which cannot be its API's", ServerFault: true}
	}
	if p.Cancel.refused == nil || normalize.CheckBody(body) != nil {
		return Verdict{Kind: Answered}
	}
	if refused, err := p.Cancel.refused.Holds(p.native(r, code, body), "", ""); err != nil || !refused {
		return Verdict{Kind: Answered}
	}
	return Verdict{Kind: Rejected, Status: http.StatusConflict, Reason: "the upstream says that the task cannot be cancelled any more"}
}

// isPage reports whether an answer is a web page: of a login, a proxy, a portal.
func isPage(contentType string, body []byte) bool {
	media, _, _ := strings.Cut(contentType, ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case "text/html", "application/xhtml+xml":
		return true
	}
	start := strings.ToLower(string(bytes.TrimSpace(body[:min(len(body), 64)])))
	return strings.HasPrefix(start, "<!doctype html") || strings.HasPrefix(start, "<html")
}

func (a *Action) accepts(code int) bool {
	if len(a.OK) == 0 {
		return code >= 200 && code < 300
	}
	return slices.Contains(a.OK, code)
}
