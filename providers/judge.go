package providers

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"pollux/normalize"
)

// Judge says what an upstream's answer to the status poll for r means. Only a
// 200 with a JSON object that names no other task is an answer; everything
// else is a reason why the poll failed, which the file's error rules may
// reclassify. body is the whole decoded body; now is what dates in Retry-After
// are measured against. Nothing of body but a short error code is in a verdict
// that is no answer; the task of one that is aliases body, which must not
// change afterwards.
func (p *Provider) Judge(r Reference, code int, h http.Header, body []byte, now time.Time) Verdict {
	var v Verdict
	if code == http.StatusOK {
		v = p.judgeAnswer(r, h.Get("Content-Type"), body)
	} else {
		v = p.judgeRefusal(r, code, body)
	}
	v.RetryAfter, _ = RetryAfter(h.Get("Retry-After"), now)
	return v
}

// Explain maps body, taken as a 200, like Judge, and tells where each member
// of the document came from. With a zero r, body may name any task.
func (p *Provider) Explain(r Reference, body []byte) ([]normalize.FieldTrace, Verdict) {
	if bad, ok := p.unusable(r, "", body); !ok {
		return nil, bad
	}
	result, traces, err := p.Mapping.Explain(p.native(r, http.StatusOK, body))
	if err != nil {
		return traces, nonsense(err)
	}
	return traces, p.answered(r, result)
}

func (p *Provider) judgeAnswer(r Reference, contentType string, body []byte) Verdict {
	if bad, ok := p.unusable(r, contentType, body); !ok {
		return bad
	}
	native := p.native(r, http.StatusOK, body)
	if as, ok := p.errors.reclassify(native); ok {
		return p.errors.verdict(as, http.StatusOK, body)
	}
	result, err := p.Mapping.Map(native)
	if err != nil {
		return nonsense(err)
	}
	return p.answered(r, result)
}

func (p *Provider) answered(r Reference, result normalize.Result) Verdict {
	v := Verdict{
		Kind: Answered, Task: result.Task, Settled: result.Settled, UnknownWord: result.UnknownWord,
		RuleErrors: result.RuleErrors, Digest: result.Digest, NativeDigest: result.NativeDigest,
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

// unusable reports, as !ok, why a 200 cannot be an answer about r.
func (p *Provider) unusable(r Reference, contentType string, body []byte) (bad Verdict, ok bool) {
	reason := ""
	if !isJSON(contentType) {
		reason = "the upstream's answer is not declared as JSON"
	} else if err := normalize.CheckBody(body); err != nil {
		reason = "the upstream's answer is not usable: " + err.Error()
	} else if id := p.taskID(r); id != "" && p.namesAnother(id, body) {
		return Verdict{Kind: BadAnswer, Reason: "the upstream's answer names another task than the one asked for", ServerFault: true, Foreign: true}, false
	}
	return Verdict{Kind: BadAnswer, Reason: reason, ServerFault: true}, reason == ""
}

// isJSON reports whether a Content-Type says JSON; one that is not sent says
// nothing against it.
func isJSON(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	return media == "" || media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json")
}

// namesAnother reports whether body says that it is about another task than
// id. Every member of that name counts: a body with two ids, of which GJSON
// sees the first, is not trusted.
func (p *Provider) namesAnother(id string, body []byte) bool {
	other := func(r gjson.Result) bool {
		switch r.Type {
		case gjson.Null:
			return false
		case gjson.String:
			return r.Str != id
		}
		return r.Type != gjson.Number || r.Raw != id
	}
	for _, path := range p.idPaths {
		if strings.ContainsAny(path, `.|#@*?\!{}[]():`) {
			if other(gjson.GetBytes(body, path)) {
				return true
			}
			continue
		}
		found := false
		gjson.ParseBytes(body).ForEach(func(key, value gjson.Result) bool {
			found = key.Str == path && other(value)
			return !found
		})
		if found {
			return true
		}
	}
	return false
}

func (p *Provider) native(r Reference, code int, body []byte) normalize.Native {
	return normalize.Native{HTTPStatus: code, Body: body, Param: func(name string) (string, bool) {
		i, known := p.param(name)
		if !known || i >= len(r.Values) || r.Values[i] == "" {
			return "", false
		}
		return r.Values[i], true
	}}
}

// judgeRefusal judges every answer but a 200.
func (p *Provider) judgeRefusal(r Reference, code int, body []byte) Verdict {
	native := p.native(r, code, body)
	unreadable := normalize.CheckBody(body) != nil
	if unreadable {
		native.Body = []byte("{}") // rules may still look at the code
	}
	as, ok := p.errors.reclassify(native)
	if !ok {
		as = p.errors.usual(code, body)
	}
	v := p.errors.verdict(as, code, native.Body)
	if v.Kind == BadAnswer && code < 300 && unreadable {
		v.ServerFault = true // like a 200 that cannot be read
	}
	return v
}

// usual is what an answer other than 200 means where the file has no rule.
func (e *errorRules) usual(code int, body []byte) Kind {
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
		if e.any404 || json.Valid(body) {
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
