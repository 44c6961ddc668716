package providers

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/zeebo/xxh3"

	"pollux/normalize"
)

// Judge says what an upstream's answer to the status poll for r means. Only an
// answer with one of the file's codes and a JSON object or list (or, where the
// code says all, any body) that names no other task is a document; everything else
// is a reason why the poll failed, which the file's error rules may
// reclassify. body is the whole decoded body; now is what dates in Retry-After
// are measured against. Nothing of body but a short error code is in a verdict
// that is no answer; the task of one that is aliases body, which must not
// change afterwards.
func (p *Provider) Judge(r Reference, code int, h http.Header, body []byte, now time.Time) Verdict {
	return p.judge(r, Answer{code, h, body}, nil, now, nil)
}

// Explain judges like Judge, or like JudgeResult if result is not nil, and
// tells where each member of the document came from. With a zero r, the answer
// may name any task.
func (p *Provider) Explain(r Reference, first Answer, result *Answer, now time.Time) (traces []normalize.FieldTrace, v Verdict) {
	v = p.judge(r, first, result, now, &traces)
	return traces, v
}

// IsDocument reports whether answers with an HTTP code are documents.
func (p *Provider) IsDocument(code int) bool { return slices.Contains(p.Poll.Documents, code) }

func (p *Provider) judge(r Reference, first Answer, result *Answer, now time.Time, traces *[]normalize.FieldTrace) (v Verdict) {
	unfit := normalize.CheckAnswer(first.Body)
	defer func() { v.RetryAfter = max(v.RetryAfter, p.wait(first.Header, first.Body, unfit == nil, now)) }()
	if !p.IsDocument(first.Code) {
		return p.judgeRefusal(r, first.Code, first.Body, "poll.documents")
	}
	native := p.native(r, first.Code, first.Body)
	native.Text = string(first.Body)
	if bad, ok := p.unusable(r, first, native.Text, unfit); !ok {
		return bad
	}
	if unfit != nil {
		native.Body, native.Text = nil, "" // the code says all
	}
	if as, ok := p.reclassify(native); ok {
		return p.refusal(as, first.Code, native.Body)
	}
	var failed *Verdict
	if native.Result, failed = p.nativeResult(r, result, now); failed != nil {
		return *failed
	}
	mapped, err := p.mapped(native, traces)
	switch {
	case err == nil:
		v = p.answered(r, first, mapped)
		if unfit != nil { // it has no members that could be volatile
			v.NativeDigest = xxh3.Hash128(first.Body).Bytes()
		}
		return v
	case first.Code >= 400 && errors.Is(err, normalize.ErrNoStatus): // an error as of every other API
		return p.judgeRefusal(r, first.Code, first.Body, "poll.documents")
	}
	return nonsense(err)
}

func (p *Provider) mapped(native normalize.Native, traces *[]normalize.FieldTrace) (normalize.Result, error) {
	if traces == nil {
		return p.Mapping.Map(native)
	}
	result, all, err := p.Mapping.Explain(native)
	*traces = all
	return result, err
}

func (p *Provider) answered(r Reference, first Answer, result normalize.Result) Verdict {
	v := Verdict{
		Kind: Answered, Task: result.Task, Settled: result.Settled, UnknownWord: result.UnknownWord, WantsResult: result.WantsResult, Expires: result.Expires,
		RuleErrors: result.RuleErrors, Digest: result.Digest, NativeDigest: result.NativeDigest,
	}
	if v.WantsResult {
		v.ResultLink = p.resultLink(first.Header, first.Body)
	}
	if v.Task.ID == "" { // a body that names no task is about the one asked for
		v.Task.ID = p.taskID(r)
	}
	return v
}

// nonsense is an answer that the mapping refuses. Its errors name rules and
// members, never values.
func nonsense(err error) Verdict {
	return Verdict{Kind: BadAnswer, Reason: "the upstream's answer is not usable: " + err.Error(), ServerFault: true}
}

// unusable reports, as !ok, why an answer with a document's code cannot be one
// about r; text is its body, and err what CheckAnswer says of that.
func (p *Provider) unusable(r Reference, first Answer, text string, err error) (bad Verdict, ok bool) {
	reason := ""
	switch {
	case isHTML(first.Header.Get("Content-Type")):
		reason = "the upstream's answer is a web page"
	case err != nil && p.Mapping.Decides(first.Code):
	case err != nil && first.Code >= 400:
		return p.judgeRefusal(r, first.Code, first.Body, "poll.documents"), false
	case err != nil:
		reason = "the upstream's answer is not usable: " + err.Error()
	default:
		if id := p.taskID(r); id != "" && p.namesAnother(id, text) {
			return Verdict{Kind: BadAnswer, Reason: "the upstream's answer names another task than the one asked for", ServerFault: true, Foreign: true}, false
		}
	}
	return Verdict{Kind: BadAnswer, Reason: reason, ServerFault: true}, reason == ""
}

// isHTML reports whether a Content-Type is that of pages for people. What
// else is declared, or not, says nothing: servers send JSON as text/plain.
func isHTML(contentType string) bool {
	media := MediaType(contentType)
	return media == "text/html" || media == "application/xhtml+xml"
}

// MediaType is a Content-Type without its parameters, in lower case.
func MediaType(contentType string) string {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(media))
}

func (p *Provider) native(r Reference, code int, body []byte) normalize.Native {
	return normalize.Native{HTTPStatus: code, Body: body, Param: func(name string) (string, bool) {
		i, known := p.Params.Index(name)
		if !known || i >= len(r.Values) || r.Values[i] == "" {
			return "", false
		}
		return r.Values[i], true
	}}
}

// judgeRefusal judges every answer that is no document, or not what else was asked
// for. lists is the member of the file that says which codes are, "" if none does.
func (p *Provider) judgeRefusal(r Reference, code int, body []byte, lists string) Verdict {
	native := p.native(r, code, body)
	unreadable := normalize.CheckValue(body) != nil
	if unreadable {
		native.Body = []byte("{}") // rules may still look at the code
	}
	as, ok := p.reclassify(native)
	if !ok {
		as = p.usual(code, body)
	}
	v := p.refusal(as, code, native.Body)
	if v.Kind == BadAnswer && code < 300 && unreadable {
		v.ServerFault = true // like a 200 that cannot be read
	}
	if v.Kind == BadAnswer && !ok && lists != "" && (code/100 == 2 || code == http.StatusSeeOther) {
		v.Reason = fmt.Sprintf("the upstream answers %d, which %s of its provider file does not list", code, lists)
	}
	return v
}

// usual is what an answer that is no document means where the file has no rule.
func (p *Provider) usual(code int, body []byte) Kind {
	switch code {
	case http.StatusUnauthorized:
		return Unauthorized
	case http.StatusForbidden:
		return Forbidden
	case http.StatusGone:
		return NotFound
	case http.StatusRequestTimeout:
		return TooSlow
	case http.StatusTooManyRequests:
		return RateLimited
	case http.StatusNotFound:
		if p.Errors.Any404 || json.Valid(body) {
			return NotFound
		}
		return BadAnswer
	case http.StatusMethodNotAllowed:
		if !json.Valid(body) {
			return BadAnswer
		}
	}
	if code >= 400 && code < 500 {
		return Rejected
	}
	return BadAnswer
}
