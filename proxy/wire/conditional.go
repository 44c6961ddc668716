package wire

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// Matches reports whether If-None-Match lists etag or is "*" (RFC 9110,
// section 13.1.2, weak comparison). What is malformed lists nothing.
func Matches(ifNoneMatch []byte, etag string) bool {
	want := opaque([]byte(etag))
	list := skipEmpty(TrimOWS(ifNoneMatch))
	if len(list) == 1 && list[0] == '*' {
		return true
	}
	for len(list) > 0 {
		tag := opaque(list)
		if len(tag) == 0 || tag[0] != '"' {
			return false
		}
		end := bytes.IndexByte(tag[1:], '"')
		if end < 0 {
			return false
		}
		if tag, list = tag[:end+2], TrimOWS(tag[end+2:]); bytes.Equal(tag, want) {
			return true
		}
		if len(list) > 0 && list[0] != ',' {
			return false
		}
		list = skipEmpty(list)
	}
	return false
}

// IfNoneMatch is the list of validators that the caller has.
func (x *Exchange) IfNoneMatch() []byte {
	if x.Unconditional {
		return nil
	}
	return x.list("If-None-Match")
}

// has reports whether the caller says that it has what etag stands for.
func (x *Exchange) has(etag string) bool {
	return Matches(x.IfNoneMatch(), etag)
}

// Unchanged makes the answer a 304 if the caller has what etag stands for.
func (x *Exchange) Unchanged(etag string) bool {
	if !x.has(etag) {
		return false
	}
	x.Ctx.Response.ResetBody()
	x.Ctx.SetStatusCode(fasthttp.StatusNotModified)
	return true
}

// skipEmpty drops the commas before a list's next element: empty elements are
// no fault (RFC 9110, section 5.6.1.2).
func skipEmpty(list []byte) []byte {
	for len(list) > 0 && list[0] == ',' {
		list = TrimOWS(list[1:])
	}
	return list
}

// opaque drops the mark of a weak validator.
func opaque(tag []byte) []byte {
	if len(tag) > 1 && tag[0] == 'W' && tag[1] == '/' {
		return tag[2:]
	}
	return tag
}

// Directives are those of a request's Cache-Control that a poll obeys.
type Directives struct{ NoCache, OnlyIfCached bool }

// Directives are those of the request's Cache-Control.
func (x *Exchange) Directives() Directives { return readDirectives(x.list("Cache-Control")) }

// readDirectives reads Cache-Control (RFC 9111, section 5.2.1). max-age=0
// counts as no-cache; what else is there is ignored.
func readDirectives(value []byte) (d Directives) {
	for len(value) > 0 {
		var one []byte
		switch one, value = nextMember(value); {
		case FoldEqual(one, "no-cache"), FoldEqual(one, "max-age=0"), FoldEqual(one, `max-age="0"`):
			d.NoCache = true
		case FoldEqual(one, "only-if-cached"):
			d.OnlyIfCached = true
		}
	}
	return d
}
