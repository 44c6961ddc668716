package problem

import (
	"strconv"
	"time"
)

// Forward says why the upstream was asked (RFC 9211, section 2.2).
type Forward uint8

const (
	NotForwarded Forward = iota // neither asked nor served: our own problem
	Hit                         // served without asking
	FwdMiss                     // uri-miss
	FwdStale                    // stale
	FwdRequest                  // request: no-cache on a fresh entry
	FwdBypass                   // bypass: passed on as it came
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
	DetailHeld // the last poll failed too short a time ago for another one
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

var forwardNames = [...]string{FwdMiss: "uri-miss", FwdStale: "stale", FwdRequest: "request", FwdBypass: "bypass"}

var detailNames = [...]string{
	DetailTerminal: "terminal", DetailNotStored: "not-stored", DetailStaleIfError: "stale-if-error",
	DetailBreakerOpen: "breaker-open", DetailRateLimited: "rate-limited", DetailGoneUpstream: "gone-upstream",
	DetailOverloaded: "overloaded", DetailHeld: "held",
}

// Append appends the value of a Cache-Status header (RFC 9211).
func (c CacheStatus) Append(dst []byte) []byte {
	dst = append(dst, "pollux"...)
	switch c.Forward {
	case NotForwarded:
	case Hit:
		dst = append(dst, "; hit"...)
	default:
		dst = append(append(dst, "; fwd="...), forwardNames[c.Forward]...)
	}
	if c.FwdStatus != 0 {
		dst = strconv.AppendInt(append(dst, "; fwd-status="...), int64(c.FwdStatus), 10)
	}
	if c.HasTTL {
		dst = strconv.AppendInt(append(dst, "; ttl="...), WholeSeconds(c.TTL), 10)
	}
	if c.Stored {
		dst = append(dst, "; stored"...)
	}
	if c.Collapsed {
		dst = append(dst, "; collapsed"...)
	}
	if c.Detail != NoDetail {
		dst = append(append(dst, "; detail="...), detailNames[c.Detail]...)
	}
	return dst
}
