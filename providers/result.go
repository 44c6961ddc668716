package providers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"pollux/normalize"
	"pollux/providers/template"
)

// Result is the second request that a finished task's result needs.
type Result struct {
	Request  *template.Request // nil: Link says where
	MaxBytes int64             // of its answer; 0: the upstream's limit
	Failed   []int             // codes that mean that the task failed
	link     idSource
	hosts    []string
	read     bool // nothing takes the whole answer: sources read its JSON
}

// Answer is what an upstream answered. It must not change afterwards.
type Answer struct {
	Code   int
	Header http.Header
	Body   []byte // whole and decoded
}

func (l *loader) result() {
	f := l.file.Result
	if f == nil {
		return
	}
	r := &Result{MaxBytes: int64(f.MaxBytes), read: f.Into.Node == nil, hosts: l.hosts(slices.Concat(l.file.Hosts, f.Hosts))}
	switch {
	case (f.Request.Node == nil) == (f.Link == nil):
		l.fault(l.root.Get("result"), "result", "wants a request: GET ..., or link: where the answer to the poll says it is")
	case f.Link != nil:
		r.link = l.idSource(f.Link, true)
	default:
		request := l.request(f.Request, "result.request", false)
		if request.Method != "" && request.Method != http.MethodGet {
			l.fault(f.Request.Node, "", "want a GET request: fetching a result changes nothing")
		}
		r.Request = &request
		if request.Method != "" {
			l.namesTask(f.Request, "result.request", &request, nil)
		}
	}
	if f.Into.Node == nil && len(f.Failed) == 0 && !l.file.readsResult() {
		l.fault(l.root.Get("result"), "result", "is read by nothing: want into: output.data, or a source {result: path} under fields")
	}
	if f.When.Node == nil {
		l.fault(nil, "result.when", `is missing: the expression that says that there is a result, such as status == "completed"`)
	}
	if at := l.root.Nearest("result.max_bytes"); f.MaxBytes < 0 || f.MaxBytes == 0 && at.Path() == "result.max_bytes" {
		l.fault(at, "", "want a size such as 16MiB")
	}
	for _, code := range f.Failed {
		switch {
		case code.Value == http.StatusUnauthorized || code.Value == http.StatusForbidden || code.Value == http.StatusRequestTimeout || code.Value == http.StatusTooManyRequests:
			l.fault(code.Node, "result.failed", "%d is about the request and not about the task", code.Value)
		case code.Value < 400 || code.Value > 599:
			l.fault(code.Node, "result.failed", "want codes from 400 to 599")
		}
		r.Failed = append(r.Failed, code.Value)
	}
	l.p.Result = r
}

// readsResult reports whether a source looks into the answer to the request
// for the result.
func (f *providerFile) readsResult() bool {
	for _, field := range f.Fields {
		if slices.ContainsFunc(field.Value.sources, func(s normalize.SourceSpec) bool { return s.Result != "" }) {
			return true
		}
	}
	return false
}

// hosts checks the names of hosts that links may lead to.
func (l *loader) hosts(f []text) []string {
	var names []string
	for _, host := range f {
		if u, err := url.Parse("https://" + host.Value); err != nil || host.Value == "" || u.Host != host.Value || u.Port() != "" || strings.ContainsAny(host.Value, "*_") {
			l.fault(host.Node, "hosts", "want the name of a host, such as cdn.acme.example")
		}
		names = append(names, strings.ToLower(host.Value))
	}
	return names
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
		u, foreign, err := p.Result.resolve(base, v.ResultLink)
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
	if !slices.ContainsFunc(p.Poll.Headers, func(f Field) bool { return f.Name == "Accept" }) {
		req.Header.Set("Accept", "*/*")
	}
	neverRepeated(req)
	return req, away, nil
}

// resolve returns where a link leads, and whether that is another origin than
// base.
func (r *Result) resolve(base *url.URL, link string) (u *url.URL, away bool, err error) {
	if link == "" {
		return nil, false, ErrNoResultLink
	}
	ref, err := url.Parse(link)
	if err != nil || ref.User != nil || ref.Opaque != "" {
		return nil, false, ErrForeignResult
	}
	from := *base // relative links are relative to the host, as in a browser
	from.Path, from.RawPath = strings.TrimSuffix(from.Path, "/")+"/", ""
	u = from.ResolveReference(ref)
	u.Fragment, u.RawFragment = "", ""
	if sameOrigin(u, base) {
		return u, false, nil
	}
	if u.Scheme != "https" && u.Scheme != base.Scheme || !slices.Contains(r.hosts, strings.ToLower(u.Hostname())) {
		return nil, false, ErrForeignResult
	}
	return u, true, nil
}

// sameOrigin compares as RFC 6454, section 5 does.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	if u.Port() == "" {
		return map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Port()
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
		return &normalize.NativeResult{Failed: p.errors.ofTask(result.Body)}, nil
	case result.Code < 200 || result.Code > 299:
		v = p.judgeRefusal(r, result.Code, result.Body)
	case !p.Result.isResult(result):
		v = Verdict{Kind: BadAnswer, Reason: "the answer to the request for the result is neither JSON nor text", ServerFault: true}
	default:
		return &normalize.NativeResult{Body: result.Body}, nil
	}
	v.RetryAfter = p.wait(result.Header, nil, false, now)
	return nil, &v
}

// isResult reports whether an answer is one to take: text, or JSON where it is
// read member by member.
func (r *Result) isResult(a *Answer) bool {
	switch {
	case isHTML(a.Header.Get("Content-Type")):
		return false
	case r.read && len(bytes.TrimSpace(a.Body)) > 0:
		return normalize.CheckValue(a.Body) == nil
	}
	return normalize.CheckResult(a.Body) == nil
}

// ofTask is the error of a task in a body that says that it failed: the first
// shape that fits. The message is the task's, and shown as such.
func (e *errorRules) ofTask(body []byte) *normalize.Error {
	failed := &normalize.Error{}
	if normalize.CheckValue(body) != nil {
		return failed
	}
	for _, shape := range e.bodies {
		code, hasCode := textAt(body, shape.code)
		message, hasMessage := textAt(body, shape.message)
		if shape.message != "" && !hasMessage || shape.message == "" && !hasCode {
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

// linkOf is the link to the result in an answer, "" if there is none.
func (r *Result) linkOf(h http.Header, body []byte) string {
	if r.Request != nil {
		return ""
	}
	return firstID([]idSource{r.link}, h, body)
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

func (l *loader) expires() {
	f := l.file.Expires
	if f == nil {
		return
	}
	if (f.After.Node == nil) == (f.At == nil) {
		l.fault(l.root.Get("expires"), "expires", "wants after: 1h, or at: the path of a time")
	}
	if f.After.Node != nil && f.After.Value <= 0 {
		l.fault(f.After.Node, "", "want a positive duration")
	}
}
