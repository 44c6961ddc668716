package tasks

import (
	"strconv"
	"time"

	"pollux/cache"
	"pollux/proxy/access"
	"pollux/proxy/follow"
	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/wire"
)

// answer writes what a poll came to.
func (s *Service) answer(x *access.Request, t *access.Upstream, part *upstream.Partition, o options, a *poller.Answer) {
	if a.Problem != nil {
		x.Unauthorized(a.Problem, t.Challenge)
		x.CameAbout(a.Cache, a.Age, a.RetryAfter)
		return
	}
	e := a.Entry
	body, etag := e.Document, e.ETag
	if o.native || o.history {
		body, etag = extend(e, o)
	}
	x.Describe(etag, t.Validity(part, a, x.Now), t.Vary)
	x.SetHeader(wire.HeaderContentType, wire.TypeJSON)
	if !e.Terminal {
		x.PollAfter(t, part, a)
	}
	if x.Unchanged(etag) {
		if !o.waited { // who waited was counted for the poll that began it
			t.NotModified(a.Cache)
		}
		return
	}
	x.Ctx.Response.SetBodyRaw(body) // entries are immutable, so nothing is copied
}

// extend adds what include asks for to an entry's document, and returns the
// ETag of the result.
func extend(e *cache.Entry, o options) (body []byte, etag string) {
	body, etag = follow.Document(e, o.native), e.ETag
	if o.native {
		etag = e.NativeETag
	}
	if o.history {
		before := body[:len(body)-1]
		body = make([]byte, 0, len(body)+96*len(e.History)+32)
		body = append(appendHistory(append(append(body, before...), `,"history":`...), e.History), '}')
		etag = wire.DerivedETag(etag, body[len(before):len(body)-1])
	}
	return body, etag
}

func appendHistory(dst []byte, history []cache.Change) []byte {
	dst = append(dst, '[')
	for i, c := range history {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"status":`...)
		dst = wire.AppendString(dst, c.Status)
		dst = append(dst, `,"native_status":`...)
		if c.NativeStatus == "" {
			dst = append(dst, "null"...)
		} else {
			dst = wire.AppendString(dst, c.NativeStatus)
		}
		dst = append(dst, `,"at":"`...)
		dst = append(c.At.UTC().Truncate(time.Microsecond).AppendFormat(dst, time.RFC3339Nano), '"')
		if c.Poll > 0 {
			dst = strconv.AppendInt(append(dst, `,"poll":`...), int64(c.Poll), 10)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}
