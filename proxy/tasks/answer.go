package tasks

import (
	"strconv"
	"time"

	"pollux/cache"
	"pollux/proxy/access"
	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/wire"
)

// answer writes what a poll came to.
func (s *Service) answer(x *access.Request, t *access.Target, part *upstream.Partition, o options, a *poller.Answer) {
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
		etag = wire.DerivedETag(etag, body[from:])
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
		dst = wire.AppendString(dst, c.Status)
		dst = append(dst, `,"native_status":`...)
		if c.NativeStatus == "" {
			dst = append(dst, "null"...)
		} else {
			dst = wire.AppendString(dst, c.NativeStatus)
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
