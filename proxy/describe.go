package proxy

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/zeebo/xxh3"

	"pollux/proxy/problem"
)

// Header names in canonical form, and values, ready to be copied.
var (
	headerAge           = []byte("Age")
	headerCacheControl  = []byte("Cache-Control")
	headerCacheStatus   = []byte("Cache-Status")
	headerContentType   = []byte("Content-Type")
	headerETag          = []byte("ETag")
	headerRetryAfter    = []byte("Retry-After")
	headerSniff         = []byte("X-Content-Type-Options")
	headerVary          = []byte("Vary")
	headerIfNoneMatch   = []byte("If-None-Match")
	typeJSON            = []byte("application/json")
	noSniff             = []byte("nosniff")
	noStore             = []byte("no-store")
	immutableDirective  = ", immutable"
	privateMaxAgePrefix = "private, max-age="
)

// validity is what a 200, and a 304 with it, says of how long it holds.
type validity struct {
	age       time.Duration // since the upstream said so
	maxAge    time.Duration // counted from there
	immutable bool
	cache     problem.CacheStatus
}

// describe sets the caching headers of an answer that etag stands for.
func (x *exchange) describe(etag string, v validity, vary []byte) {
	x.header = append(x.header[:0], etag...)
	x.setHeader(headerETag, x.header)

	x.header = append(x.header[:0], privateMaxAgePrefix...)
	x.header = strconv.AppendInt(x.header, int64(v.maxAge/time.Second), 10)
	if v.immutable {
		x.header = append(x.header, immutableDirective...)
	}
	x.setHeader(headerCacheControl, x.header)

	x.header = strconv.AppendInt(x.header[:0], int64(v.age/time.Second), 10)
	x.setHeader(headerAge, x.header)
	x.header = v.cache.Append(x.header[:0])
	x.setHeader(headerCacheStatus, x.header)
	x.setHeader(headerVary, vary)
	x.setHeader(headerSniff, noSniff)
}

// cameAbout says how an answer came about that is no document, unless it is
// nothing but our own problem. One that is held is not of this very poll: then age
// is how old it is, and retryAfter when asking again can help.
func (x *exchange) cameAbout(c problem.CacheStatus, age, retryAfter time.Duration) {
	if c.Forward != problem.NotForwarded || c.Detail != problem.NoDetail {
		x.header = c.Append(x.header[:0])
		x.setHeader(headerCacheStatus, x.header)
	}
	if c.Detail == problem.DetailHeld {
		x.header = strconv.AppendInt(x.header[:0], int64(age/time.Second), 10)
		x.setHeader(headerAge, x.header)
		x.header = strconv.AppendInt(x.header[:0], max(1, problem.WholeSeconds(retryAfter)), 10)
		x.setHeader(headerRetryAfter, x.header)
	}
}

// derivedETag is the weak validator of what etag stands for plus more.
func derivedETag(etag string, more []byte) string {
	h := xxh3.New()
	h.WriteString(etag)
	h.Write(more)
	sum := h.Sum128()
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], sum.Hi)
	binary.BigEndian.PutUint64(b[8:], sum.Lo)
	return `W/"` + hex.EncodeToString(b[:]) + `"`
}
