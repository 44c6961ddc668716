// Package providers is the format of a provider file: loading and checking it,
// telling which task a request names, building upstream requests and judging
// the answers.
package providers

import (
	"time"

	"pollux/normalize"
	"pollux/providers/sandbox/script"
	"pollux/providers/strictyaml"
	"pollux/providers/template"
)

// Provider is one declared API, loaded from one file and checked. It is
// immutable and safe for concurrent use.
type Provider struct {
	Name     string
	Docs     string // the page that the rules were read from
	Verified string // the day someone last compared them, as 2006-01-02
	BaseURL  string // "" when every upstream must configure its own
	Revision string // changes whenever the file's meaning does

	Identity   Identity
	Params     template.Params // in the order of the file
	OneOf      [][]string      // of each group at least one parameter must be sent
	Reopenable bool            // a terminal task may run again under the same id
	Poll       Poll
	Creates    []Create
	Cancel     *Action            // nil when the provider cannot cancel
	Settle     []time.Duration    // after the first terminal answer; empty: it is final at once
	Result     *Result            // nil: a task's result is in the answer to its poll
	Sweep      *Sweep             // nil: the provider has no listing that tells about many tasks
	Inbound    *Inbound           // nil: the provider sends no messages
	Simulation *script.Simulation // nil when the file has no simulation section

	Mapping *normalize.Mapping

	nameAt *strictyaml.Node   // where the file says its name, for faults
	oneOf  [][]int            // OneOf by index
	ids    []idSource         // where an answer may name its task
	touch  []template.Request // other requests after which a task's stored answer is old
	errors errorRules
}

// Need says how many of the identity headers must be sent.
type Need uint8

const (
	NeedAny  Need = iota // at least one identity header or query parameter
	NeedAll              // every one
	NeedNone             // a request without any is a caller of its own
)

// Identity lists what names the caller: it is keyed and forwarded.
type Identity struct {
	Headers []string // canonical form; the first one carries a Pollux-held credential
	Query   []string // query parameters that may carry a credential; redacted everywhere
	// Select lists headers that choose a version, a tenant or the form of the
	// answer, in canonical form. They are no secret: part of the partition and
	// forwarded in every mode, and no part of the credential.
	Select []string
	Need   Need
	Scheme string // put before a Pollux-held credential in Headers[0], as "Bearer"; "" sends it bare
}

// Poll is the status request and the vendor's advice on how often to send it.
type Poll struct {
	Request   template.Request
	Headers   []Field       // constant request headers, in canonical form: of a poll and of Pollux's other requests
	Body      template.Body // of a POST; nil: none
	Documents []int         // HTTP codes whose answers are documents, sorted
	// Links and LinkHeaders are where an answer has URLs of the upstream: GJSON
	// paths of strings, or of objects and lists with strings, and headers in
	// canonical form.
	Links, LinkHeaders []string
	Hints              []Hint
	Bypass             Bypass
	First              time.Duration
	Min                time.Duration   // never faster for one task
	Steps              []time.Duration // explicit pauses, then Max
	Growth             float64         // factor between pauses when Steps is empty; 0 means 1
	Max                time.Duration
	MaxQueued          time.Duration // instead of Max while queued; 0 means Max
	GiveUp             time.Duration // 0: the vendor names none
}

// Advises reports whether the file says more of when to poll than how fast at
// most.
func (p *Poll) Advises() bool { return len(p.Steps) > 0 || p.Growth > 1 || p.First > p.Min }

// Bypass lists what makes a native status poll a request of its own: neither
// merged nor cached.
type Bypass struct {
	Headers []string // request headers that change the answer
}

// Create is a request that makes (or continues) a task.
type Create struct {
	Request   template.Request
	Continues string         // GJSON path in the request body that names the task that runs again; "" if none
	Links     []string       // GJSON paths of strings in the answer that are URLs of the upstream
	params    map[int]string // GJSON paths in the request body, by parameter
	ids       []idSource     // where the answer has the task's id, the first that yields

	LinkHeaders []string // headers of the answer that are URLs of the upstream, in canonical form
}

// Action is a request about one task, such as cancel.
type Action struct {
	Request template.Request
	Body    template.Body // nil: none
	OK      []int         // codes that mean it was accepted; empty means any 2xx
	// DeletesEnded says that the request deletes a task that has ended, which
	// nobody means who cancels one.
	DeletesEnded bool
	refused      *normalize.Condition
}

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
