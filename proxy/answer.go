package proxy

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/zeebo/xxh3"

	"pollux/cache"
	"pollux/proxy/poller"
	"pollux/proxy/problem"
)

// retrySoon is what is asked of callers where nothing better is known.
const retrySoon = time.Second

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

// answer writes what a poll came to.
func (s *Server) answer(x *exchange, t *target, part *poller.Partition, a *poller.Answer) {
	if a.Problem != nil {
		x.unauthorized(a.Problem, t.challenge)
		x.howCome(a)
		return
	}
	e := a.Entry
	body, etag := e.Document, e.ETag
	if x.options.native || x.options.history {
		body, etag = extend(e, x.options)
	}
	s.describe(x, t, part, a, etag, t.vary)
	x.setHeader(headerContentType, typeJSON)
	if !e.Terminal {
		x.header = strconv.AppendInt(x.header[:0], retryAfterSeconds(max(a.RetryAfter, s.engine.RetryAfter(t.Upstream, part, e, x.now))), 10)
		x.setHeader(headerRetryAfter, x.header)
	}
	if x.has(etag) {
		x.notModified(t, a)
		return
	}
	x.ctx.Response.SetBodyRaw(body) // entries are immutable, so nothing is copied
}

// howCome says how an answer came about that is no document, and how old it is
// if it is not of this very poll.
func (x *exchange) howCome(a *poller.Answer) {
	if a.Cache.Forward != problem.NotForwarded || a.Cache.Detail != problem.NoDetail {
		x.header = a.Cache.Append(x.header[:0])
		x.setHeader(headerCacheStatus, x.header)
	}
	if a.Cache.Detail == problem.DetailHeld {
		x.header = strconv.AppendInt(x.header[:0], int64(a.Age/time.Second), 10)
		x.setHeader(headerAge, x.header)
		x.header = strconv.AppendInt(x.header[:0], retryAfterSeconds(a.RetryAfter), 10)
		x.setHeader(headerRetryAfter, x.header)
	}
}

// notModified answers 304. It counts as a saving of its own where the poll was
// a hit; one who waited was counted for the poll that began it.
func (x *exchange) notModified(t *target, a *poller.Answer) {
	x.ctx.Response.ResetBody()
	x.ctx.SetStatusCode(fasthttp.StatusNotModified)
	waited := len(x.ctx.Response.Header.PeekBytes(headerPreferenceApplied)) > 0
	if a.Cache.Forward == problem.Hit && a.Cache.Detail <= problem.DetailNotStored && !waited {
		t.NotModified()
	}
}

// describe sets the caching headers of a 200, and of a 304 with it, for an
// answer that is the entry of a in whichever form etag stands for.
func (s *Server) describe(x *exchange, t *target, part *poller.Partition, a *poller.Answer, etag string, vary []byte) {
	e := a.Entry
	x.header = append(x.header[:0], etag...)
	x.setHeader(headerETag, x.header)

	maxAge, immutable := s.engine.MaxAge(t.Upstream, part, e, x.now)
	x.header = append(x.header[:0], privateMaxAgePrefix...)
	x.header = strconv.AppendInt(x.header, int64(maxAge/time.Second), 10)
	if immutable {
		x.header = append(x.header, immutableDirective...)
	}
	x.setHeader(headerCacheControl, x.header)

	x.header = strconv.AppendInt(x.header[:0], ageSeconds(e, x.now), 10)
	x.setHeader(headerAge, x.header)
	x.header = a.Cache.Append(x.header[:0])
	x.setHeader(headerCacheStatus, x.header)
	x.setHeader(headerVary, vary)
	x.setHeader(headerSniff, noSniff)
}

func ageSeconds(e *cache.Entry, now time.Time) int64 { return int64(e.Age(now) / time.Second) }

func retryAfterSeconds(d time.Duration) int64 { return max(1, problem.WholeSeconds(d)) }

// extend adds what include asks for to an entry's document, and returns the
// ETag of the result. The upstream's body goes in as it came.
func extend(e *cache.Entry, o options) (body []byte, etag string) {
	etag = e.ETag
	body = make([]byte, 0, len(e.Document)+len(e.Native)+96*len(e.History)+32)
	body = append(body, e.Document[:len(e.Document)-1]...)
	if o.native {
		etag = e.NativeETag
		body = append(append(body, `,"native":`...), e.Native...)
	}
	if o.history {
		from := len(body)
		body = appendHistory(append(body, `,"history":`...), e.History)
		etag = derivedETag(etag, body[from:])
	}
	return append(body, '}'), etag
}

func appendHistory(dst []byte, history []cache.Change) []byte {
	dst = append(dst, '[')
	for i, c := range history {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"status":`...)
		dst = appendJSONString(dst, c.Status)
		dst = append(dst, `,"native_status":`...)
		if c.NativeStatus == "" {
			dst = append(dst, "null"...)
		} else {
			dst = appendJSONString(dst, c.NativeStatus)
		}
		dst = append(dst, `,"at":"`...)
		dst = append(c.At.UTC().AppendFormat(dst, time.RFC3339Nano), '"')
		if c.Poll > 0 {
			dst = strconv.AppendInt(append(dst, `,"poll":`...), int64(c.Poll), 10)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
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
