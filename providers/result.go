package providers

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"pollux/normalize"
	"pollux/providers/format"
)

// Answer is what an upstream answered. It must not change afterwards.
type Answer struct {
	Code   int
	Header http.Header
	Body   []byte // whole and decoded
}

// Errors of ResultRequest that its callers tell apart: nothing is to be sent.
var (
	// ErrNoResultLink: the answer does not say where the result is.
	ErrNoResultLink = errors.New("the answer has no link to its result")
	// ErrForeignResult: the result is where the file does not allow to look.
	ErrForeignResult = errors.New("the result's link leads to a host that is neither the upstream's nor listed in hosts")
)

// ResultRequest returns the request for the result of the task r, whose poll
// was answered with v. c goes with it only to the origin of base; a host that
// the file lists in hosts gets no credential, and away reports that it is one,
// which must not be a private address. It is never repeated, and its redirects
// must not be followed.
func (p *Provider) ResultRequest(ctx context.Context, base *url.URL, r Reference, v Verdict, c Credential) (req *http.Request, away bool, err error) {
	if p.Result.Request != nil {
		if req, err = p.request(ctx, p.Result.Request, nil, base, r, c); err != nil {
			return nil, false, fmt.Errorf("build result request of provider %s: %w", p.Name, err)
		}
	} else {
		u, foreign, err := p.resolve(base, r, v.ResultLink)
		if err != nil {
			return nil, false, fmt.Errorf("build result request of provider %s: %w", p.Name, err)
		}
		if away = foreign; away {
			c = Credential{}
		} else {
			u.RawQuery = string(c.appendQuery([]byte(u.RawQuery)))
		}
		req = p.requestTo(ctx, http.MethodGet, u, c)
		if away { // constant headers may be the upstream's own affair
			req.Header = http.Header{"Accept-Encoding": {"gzip"}, "User-Agent": {"pollux"}}
		}
	}
	if !slices.ContainsFunc(p.Poll.Headers, func(h format.Header) bool { return h.Name == "Accept" }) {
		req.Header.Set("Accept", "*/*")
	}
	return req, away, nil
}

// resolve returns where a link to the result leads, and whether that is another origin than
// base. A relative one is relative to what was polled (RFC 9110, section 10.2.2).
func (p *Provider) resolve(base *url.URL, r Reference, link string) (u *url.URL, away bool, err error) {
	if link == "" {
		return nil, false, ErrNoResultLink
	}
	ref, err := url.Parse(link)
	if err != nil || ref.User != nil || ref.Opaque != "" {
		return nil, false, ErrForeignResult
	}
	polled := base
	if len(r.Values) > 0 { // else it is not known, as when an answer is explained
		if polled, err = p.target(&p.Poll.Request, base, r); err != nil {
			return nil, false, err
		}
	}
	u = polled.ResolveReference(ref)
	u.Fragment, u.RawFragment = "", ""
	if sameOrigin(u, base) {
		return u, false, nil
	}
	if u.Scheme != "https" && u.Scheme != base.Scheme || !slices.Contains(p.Result.Hosts, strings.ToLower(u.Hostname())) {
		return nil, false, ErrForeignResult
	}
	return u, true, nil
}

// sameOrigin compares as RFC 6454, section 5 does.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	return cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
}

// JudgeResult judges first, the answer to the poll of r, together with result,
// the one to the request for its result. If the latter is neither a result nor
// says that the task failed, the verdict is about it, as Judge's is about a
// poll: the task is then known without its result.
func (p *Provider) JudgeResult(r Reference, first, result Answer, now time.Time) Verdict {
	return p.judge(r, first, &result, now, nil)
}

// nativeResult is result as the mapping takes it, or, if it is none, why.
func (p *Provider) nativeResult(r Reference, result *Answer, now time.Time) (*normalize.NativeResult, *Verdict) {
	if result == nil {
		return nil, nil
	}
	var v Verdict
	switch {
	case slices.Contains(p.Result.Failed, result.Code):
		return &normalize.NativeResult{Failed: p.taskError(result.Body)}, nil
	case result.Code < 200 || result.Code > 299:
		v = p.judgeRefusal(r, result.Code, result.Body, "")
	case !p.isResult(result):
		v = Verdict{Kind: BadAnswer, Reason: "the answer to the request for the result is neither JSON nor text", ServerFault: true}
	default:
		return &normalize.NativeResult{Body: result.Body}, nil
	}
	v.RetryAfter = p.wait(result.Header, nil, false, now)
	return nil, &v
}

// isResult reports whether an answer is one to take: text, or JSON where it is
// read member by member.
func (p *Provider) isResult(a *Answer) bool {
	switch {
	case isHTML(a.Header.Get("Content-Type")):
		return false
	case p.Result.Read && len(bytes.TrimSpace(a.Body)) > 0:
		return normalize.CheckValue(a.Body) == nil
	}
	return normalize.CheckResult(a.Body) == nil
}

// taskError is the error of a task in a body that says that it failed: the first
// shape that fits. The message is the task's, and shown as such.
func (p *Provider) taskError(body []byte) *normalize.Error {
	failed := &normalize.Error{}
	if normalize.CheckValue(body) != nil {
		return failed
	}
	for _, shape := range p.Errors.Bodies {
		code, hasCode := textAt(body, shape.Code)
		message, hasMessage := textAt(body, shape.Message)
		if shape.Message != "" && !hasMessage || shape.Message == "" && !hasCode {
			continue
		}
		if hasCode && code != "" {
			failed.Code = &code
		}
		failed.Message = message
		return failed
	}
	return failed
}

// resultLink is the link to the result in an answer, "" if there is none.
func (p *Provider) resultLink(h http.Header, body []byte) string {
	if p.Result.Request != nil {
		return ""
	}
	return firstID([]format.IDSource{p.Result.Link}, h, body)
}

// ExpiresAt is when what an answer that ended a task holds can be used no
// more, zero if the file does not say: v.Expires, or the file's time after
// ended, when the task was first seen to have ended. The task of v then says
// so too.
func (p *Provider) ExpiresAt(v *Verdict, ended time.Time) time.Time {
	if v.Expires.IsZero() {
		v.Expires = p.Mapping.Expire(&v.Task, ended)
	}
	return v.Expires
}
