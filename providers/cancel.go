package providers

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"time"

	"pollux/normalize"
	"pollux/providers/format"
)

// JudgeCancel says what an upstream's answer to the cancel request for r means.
// Answered (without a task) means that it was accepted, Rejected with status
// 409 that the task cannot be cancelled any more; the rest is as in Judge. The
// provider must be able to cancel.
func (p *Provider) JudgeCancel(r Reference, code int, h http.Header, body []byte, now time.Time) Verdict {
	if !accepts(p.Cancel, code) {
		v := p.judgeRefusal(r, code, body, "cancel.ok")
		v.RetryAfter, _ = RetryAfter(h.Get("Retry-After"), now)
		return v
	}
	if reason := noAnswer(h.Get("Content-Type"), body); reason != "" {
		return Verdict{Kind: BadAnswer, Reason: "the upstream answers the cancel request with " + reason + ", which cannot be its API's", ServerFault: true}
	}
	if p.Cancel.Refused == nil || normalize.CheckBody(body) != nil {
		return Verdict{Kind: Answered}
	}
	if refused, err := p.Cancel.Refused.Holds(p.native(r, code, body), "", ""); err != nil || !refused {
		return Verdict{Kind: Answered}
	}
	return Verdict{Kind: Rejected, Status: http.StatusConflict, Reason: "the upstream says that the task cannot be cancelled any more"}
}

// noAnswer says what an answer of 2xx is that comes from something else than the
// API: a login, a proxy, a portal. It returns "" for one that may be the API's:
// nothing at all, JSON under whatever name, a word of plain text.
func noAnswer(contentType string, body []byte) string {
	media := MediaType(contentType)
	kind, _, _ := strings.Cut(media, "/")
	start := bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff")))
	switch {
	case isHTML(media), bytes.HasPrefix(start, []byte("<")):
		return "a web page"
	case len(body) == 0 || normalize.CheckValue(body) == nil:
		return ""
	case media == "" || media == "text/plain" || kind == "application" && !strings.HasSuffix(media, "xml"):
		return ""
	}
	return "a body that is neither JSON nor plain text"
}

func accepts(a *format.Action, code int) bool {
	if len(a.OK) == 0 {
		return code >= 200 && code < 300
	}
	return slices.Contains(a.OK, code)
}
