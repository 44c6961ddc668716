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
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
	"pollux/proxy/trace"
)

// Request is one poll by one caller.
type Request struct {
	Upstream   *upstream.Upstream
	Partition  *upstream.Partition
	Key        cache.ID
	Reference  providers.Reference
	Credential providers.Credential
	// Traceparent goes along with the upstream poll (W3C Trace Context); "" is
	// none. It is neither keyed nor part of any answer, so it must tell nothing
	// of the caller but the trace's own id: the recommendation has it describe a
	// request and never change what it means (section 2.1). A poll that several
	// callers share carries the one of the caller who began it.
	Traceparent string
	// Asker is the span of the caller's request, nil if it is not traced. What is
	// kept for later polls has none.
	Asker *trace.Request

	NoCache      bool // Cache-Control: no-cache: ask again, within the provider's minimum interval
	OnlyIfCached bool // never ask
	// Told is the last that was told to who has waited for news of the task, and
	// does not ask now: it answers where memory has nothing. nil: that is not so.
	Told *cache.Entry

	settle bool   // Pollux's own poll of a settling task
	spent  func() // called once the poll has taken its share of the budget; may be nil
}

func (r *Request) trace(h http.Header) {
	if r.Traceparent != "" {
		h.Set("Traceparent", r.Traceparent)
	}
}

// Answer is what a poll comes to: Entry, or Problem when nothing can be served.
type Answer struct {
	Entry   *cache.Entry
	Problem *problem.Problem
	Cache   problem.CacheStatus
	// Age is how long ago the poll failed whose problem this is; an Entry has
	// an age of its own.
	Age time.Duration
	// RetryAfter is when asking again can tell anything new, where that is later
	// than the Entry says; 0 where it is not.
	RetryAfter time.Duration
	// Unconfirmed says of a Problem that the task may well be there all the same:
	// the upstream has denied it too few times in a row. Who follows it goes on.
	Unconfirmed bool
	// Raw is what the upstream answered to the very poll that this answer
	// waited for, or to the last one if that failed a moment ago; nil if it was
	// not asked or did not answer. For native polls.
	Raw *upstream.Raw
}
