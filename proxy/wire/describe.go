package wire

import (
	"encoding/hex"
	"strconv"
	"time"

	"github.com/zeebo/xxh3"

	"pollux/proxy/problem"
)

// Header names in canonical form, and values, ready to be copied.
var (
	headerAge           = []byte("Age")
	HeaderCacheControl  = []byte("Cache-Control")
	HeaderCacheStatus   = []byte("Cache-Status")
	HeaderContentType   = []byte("Content-Type")
	headerETag          = []byte("ETag")
	HeaderRetryAfter    = []byte("Retry-After")
	HeaderSniff         = []byte("X-Content-Type-Options")
	headerVary          = []byte("Vary")
	TypeJSON            = []byte("application/json")
	NoSniff             = []byte("nosniff")
	NoStore             = []byte("no-store")
	immutableDirective  = ", immutable"
	privateMaxAgePrefix = "private, max-age="
)

// Validity is what a 200, and a 304 with it, says of how long it holds.
type Validity struct {
	Age       time.Duration // since the upstream said so
	MaxAge    time.Duration // counted from there
	Immutable bool
	Cache     problem.CacheStatus
}

// Describe sets the caching headers of an answer that etag stands for.
func (x *Exchange) Describe(etag string, v Validity, vary []byte) {
	x.Header = append(x.Header[:0], etag...)
	x.SetHeader(headerETag, x.Header)

	x.Header = append(x.Header[:0], privateMaxAgePrefix...)
	x.Header = strconv.AppendInt(x.Header, int64(v.MaxAge/time.Second), 10)
	if v.Immutable {
		x.Header = append(x.Header, immutableDirective...)
	}
	x.SetHeader(HeaderCacheControl, x.Header)

	x.Header = strconv.AppendInt(x.Header[:0], int64(v.Age/time.Second), 10)
	x.SetHeader(headerAge, x.Header)
	x.Header = v.Cache.Append(x.Header[:0])
	x.SetHeader(HeaderCacheStatus, x.Header)
	x.SetHeader(headerVary, vary)
	x.SetHeader(HeaderSniff, NoSniff)
}

// CameAbout says how an answer came about that is no document, unless it is
// nothing but our own problem. retryAfter is when asking again can help, 0 if
// nobody said. One that is held or from memory is not of this very poll: then age
// is how old it is.
func (x *Exchange) CameAbout(c problem.CacheStatus, age, retryAfter time.Duration) {
	if c.Forward != problem.NotForwarded || c.Detail != problem.NoDetail {
		x.Header = c.Append(x.Header[:0])
		x.SetHeader(HeaderCacheStatus, x.Header)
	}
	earlier := c.Detail == problem.DetailHeld || c.Forward == problem.Hit
	if earlier {
		x.Header = strconv.AppendInt(x.Header[:0], int64(age/time.Second), 10)
		x.SetHeader(headerAge, x.Header)
	}
	if earlier || retryAfter > 0 {
		x.Header = strconv.AppendInt(x.Header[:0], max(1, problem.WholeSeconds(retryAfter)), 10)
		x.SetHeader(HeaderRetryAfter, x.Header)
	}
}

// DerivedETag is the weak validator of what etag stands for plus more.
func DerivedETag(etag string, more []byte) string {
	h := xxh3.New()
	h.WriteString(etag)
	h.Write(more)
	sum := h.Sum128().Bytes()
	return `W/"` + hex.EncodeToString(sum[:]) + `"`
}
