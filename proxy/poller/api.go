// Package poller takes one poll from start to end: entry, flight, budget,
// breaker, fetch, judge, map, store, tell. Every way in, unified or native,
// batch or schedule, ends here, so that merging, isolation, budgets and
// breakers hold for all of them.
package poller

import (
	"net/http"
	"time"

	"pollux/cache"
	"pollux/providers"
)

// Request is one poll by one caller.
type Request struct {
	Upstream   *Upstream
	Partition  *Partition
	Key        cache.ID
	Reference  providers.Reference
	Credential providers.Credential
	// Traceparent goes along with the upstream poll (W3C Trace Context); "" is
	// none. It is neither keyed nor part of any answer, so it must tell nothing
	// of the caller but the trace's own id: the recommendation has it describe a
	// request and never change what it means (section 2.1). A poll that several
	// callers share carries the one of the caller who began it.
	Traceparent string

	NoCache      bool // Cache-Control: no-cache: ask again, within the provider's minimum interval
	OnlyIfCached bool // never ask

	settle bool // Pollux's own poll of a settling task
}

func (r *Request) trace(h http.Header) {
	if r.Traceparent != "" {
		h.Set("Traceparent", r.Traceparent)
	}
}

// Answer is what a poll comes to: Entry, or Problem when nothing can be served.
type Answer struct {
	Entry   *cache.Entry
	Problem *Problem
	Cache   CacheStatus
	// Raw is what the upstream answered to the very poll that this answer
	// waited for, nil if it was not asked or did not answer. For native polls.
	Raw *Raw
}

// Raw is an upstream's answer as it came. It is immutable.
type Raw struct {
	Code        int
	ContentType string
	RetryAfter  string // header value as sent, "" if absent
	Location    string // likewise
	Challenge   string // WWW-Authenticate, likewise
	Body        []byte
}

// ProblemType names a row of the problem table; it ends the problem's type URI.
type ProblemType string

const (
	InvalidRequest      ProblemType = "invalid-request"
	UpstreamRejected    ProblemType = "upstream-rejected"
	UnauthorizedProblem ProblemType = "unauthorized"
	ForbiddenProblem    ProblemType = "forbidden"
	UnknownUpstream     ProblemType = "unknown-upstream"
	TaskNotFound        ProblemType = "task-not-found"
	TaskGone            ProblemType = "task-gone"
	RateLimited         ProblemType = "rate-limited"
	UpstreamError       ProblemType = "upstream-error"
	UpstreamUnavailable ProblemType = "upstream-unavailable"
	Overloaded          ProblemType = "overloaded"
	UpstreamTimeout     ProblemType = "upstream-timeout"
	NotCached           ProblemType = "not-cached"
	AboutBlank          ProblemType = "about:blank" // our own plain HTTP errors
)

// Problem is why a poll has no document (RFC 9457). It never holds a
// credential, an upstream URL or upstream bytes. It is immutable.
type Problem struct {
	Type           ProblemType
	Status         int
	Detail         string
	Upstream       string        // "" when none is concerned
	UpstreamStatus int           // 0 when the upstream did not answer
	RetryAfter     time.Duration // 0: none; otherwise also sent as Retry-After, in whole seconds rounded up
}

// Forward says why the upstream was asked (RFC 9211, section 2.2).
type Forward uint8

const (
	NotForwarded Forward = iota // neither asked nor served: our own problem
	Hit                         // served without asking
	FwdMiss                     // uri-miss
	FwdStale                    // stale
	FwdRequest                  // request: no-cache on a fresh entry
	FwdBypass                   // bypass
)

// Detail is the detail parameter of Cache-Status; there is one at most.
type Detail uint8

const (
	NoDetail Detail = iota
	DetailTerminal
	DetailNotStored
	DetailStaleIfError
	DetailBreakerOpen
	DetailRateLimited
	DetailGoneUpstream
	DetailOverloaded
)

// CacheStatus says how an answer came about (RFC 9211).
type CacheStatus struct {
	Forward   Forward
	FwdStatus int // the upstream's code, when it matters
	Stored    bool
	Collapsed bool
	HasTTL    bool
	TTL       time.Duration // negative: stale since
	Detail    Detail
}
