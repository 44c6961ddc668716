// Package problem is the one table from what went wrong, or how an answer came
// about, to what clients are told: problem types with their status codes
// (RFC 9457) and Cache-Status (RFC 9211). It knows no HTTP header.
package problem

import (
	"encoding/json"
	"net/http"
	"time"
)

// Type names a row of the problem table; it ends the problem's type URI.
type Type string

const (
	InvalidRequest      Type = "invalid-request"
	UpstreamRejected    Type = "upstream-rejected"
	Unauthorized        Type = "unauthorized"
	Forbidden           Type = "forbidden"
	UnknownUpstream     Type = "unknown-upstream"
	TaskNotFound        Type = "task-not-found"
	TaskGone            Type = "task-gone"
	RateLimited         Type = "rate-limited"
	UpstreamError       Type = "upstream-error"
	UpstreamUnavailable Type = "upstream-unavailable"
	Overloaded          Type = "overloaded"
	UpstreamTimeout     Type = "upstream-timeout"
	NotCached           Type = "not-cached"
	AboutBlank          Type = "about:blank" // our own plain HTTP errors
)

// Problem is why a poll has no document (RFC 9457). It never holds a
// credential, an upstream URL or upstream bytes. It is immutable.
type Problem struct {
	Type           Type
	Status         int
	Detail         string
	Upstream       string        // "" when none is concerned
	UpstreamStatus int           // 0 when the upstream did not answer
	RetryAfter     time.Duration // 0: none; otherwise also sent as Retry-After, in whole seconds rounded up
}

// Error says what kind of problem it is.
func (p *Problem) Error() string { return string(p.Type) + ": " + p.Detail }

// AppendJSON renders p as application/problem+json. Links are publicURL's, or
// relative when it is "".
func (p *Problem) AppendJSON(dst []byte, publicURL string) []byte {
	body := struct {
		Type           string `json:"type"`
		Title          string `json:"title"`
		Status         int    `json:"status"`
		Detail         string `json:"detail,omitempty"`
		Upstream       string `json:"upstream,omitempty"`
		UpstreamStatus int    `json:"upstream_status,omitempty"`
		RetryAfter     int64  `json:"retry_after,omitempty"`
	}{string(AboutBlank), http.StatusText(p.Status), p.Status, p.Detail, p.Upstream, p.UpstreamStatus, WholeSeconds(p.RetryAfter)}
	if kind := KindOf(p.Type); kind != nil {
		body.Type, body.Title = publicURL+PagePath+string(p.Type), kind.Title
	}
	text, err := json.Marshal(&body)
	if err != nil {
		panic("BUG: a problem cannot be rendered: " + err.Error())
	}
	return append(dst, text...)
}

// WholeSeconds rounds up, so that nobody is told to come back too early, and
// Age plus ttl is the lifetime.
func WholeSeconds(d time.Duration) int64 {
	s := int64(d / time.Second)
	if d > 0 && d%time.Second != 0 {
		s++
	}
	return s
}
