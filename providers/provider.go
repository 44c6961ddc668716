// Package providers is the APIs that Pollux knows, one file each, and what
// follows from what a file says: which task a request names, the requests that
// an upstream gets, and what its answers mean.
package providers

import (
	"time"

	"pollux/normalize"
	"pollux/providers/format"
)

// Provider is one declared API: what its file says, and what follows from that.
// It is immutable and safe for concurrent use.
type Provider struct{ format.File }

// Reference names one task at an upstream: the values of Provider.Params by
// index, "" where an optional one was not sent (a sent value is never empty).
type Reference struct{ Values []string }

// Kind says what an upstream's answer to a status poll means.
type Kind uint8

const (
	Answered     Kind = iota + 1 // Task holds the document
	Rejected                     // upstream-rejected: the code is the upstream's
	Unauthorized                 // the credential itself is refused
	Forbidden                    // the credential may not see this task
	NotFound                     // there is no such task
	RateLimited                  // 429
	BadAnswer                    // upstream-error: 5xx, 3xx, wrong route, unreadable, oversized or foreign body
	TooSlow                      // the upstream says 408
)

// Verdict is the judgement of one upstream answer.
type Verdict struct {
	Kind        Kind
	Task        normalize.Task // when Answered; Upstream, Provider and UpdatedAt are the caller's to fill
	Settled     bool           // when Answered and the file has settle.until: it holds
	UnknownWord bool           // the native word is not in the file
	WantsResult bool           // when Answered: the task's result is to be asked for, see ResultRequest
	ResultLink  string         // when WantsResult and the file has result.link: where; "" if the answer has none
	Expires     time.Time      // when Answered and terminal: when what the answer holds can be used no more; zero: see ExpiresAt
	RuleErrors  int            // expressions of the file that could not be evaluated, and so did not hold
	// Digest is of the document without volatile members, NativeDigest of the
	// body without volatile fields; see normalize.Result. Zero unless Answered.
	Digest, NativeDigest [16]byte

	Status      int           // the code for the client when Rejected, Unauthorized or Forbidden
	Code        string        // the upstream's own error code when it is a short slug, else ""
	Reason      string        // what is wrong, in our words, without upstream bytes: for the problem's detail
	RetryAfter  time.Duration // the longest of Retry-After and the file's hints, 0: not said; not clamped
	ServerFault bool          // counts against a breaker: 5xx or an unusable body
	Foreign     bool          // the answer names another task than the one asked for: nobody's to see
}
