package follow

import (
	"bytes"
	"strings"
	"sync"

	"pollux/cache"
	"pollux/normalize"
)

// lazyEvent is an encoded event, made when the first follower needs it.
type lazyEvent struct {
	once  sync.Once
	bytes []byte
}

// Event returns the entry of n as a server-sent event: its id is the opaque
// value of the validator, its data the document, with the native body if asked
// for. Everybody gets the same bytes. n must hold an entry.
func (n *News) Event(native bool) []byte {
	lazy, id := &n.event, n.Entry.ETag
	if native {
		lazy, id = &n.nativeEvent, n.Entry.NativeETag
	}
	lazy.once.Do(func() {
		lazy.bytes = AppendEvent(nil, "", Opaque(id), Document(n.Entry, native))
	})
	return lazy.bytes
}

// Document is the entry's document, with the upstream's body as a last member
// if native is set: as it came, or null where it was no JSON, since the HTTP
// code of an answer may have said all.
func Document(e *cache.Entry, native bool) []byte {
	if !native {
		return e.Document
	}
	body := e.Native
	if normalize.CheckValue(body) != nil {
		body = []byte("null")
	}
	out := make([]byte, 0, len(e.Document)+len(body)+16)
	out = append(out, e.Document[:len(e.Document)-1]...)
	out = append(out, `,"native":`...)
	out = append(out, body...)
	return append(out, '}')
}

// Opaque is the opaque value of a validator: W/"abc" is abc.
func Opaque(etag string) string {
	return strings.Trim(strings.TrimPrefix(etag, "W/"), `"`)
}

// AppendEvent appends a server-sent event (WHATWG HTML, section 9.2). Each
// line of data becomes a data field; a carriage return ends a line too.
func AppendEvent(dst []byte, name, id string, data []byte) []byte {
	if name != "" {
		dst = append(append(append(dst, "event: "...), name...), '\n')
	}
	if id != "" {
		dst = append(append(append(dst, "id: "...), id...), '\n')
	}
	for more := true; more; {
		var line []byte
		i := bytes.IndexAny(data, "\r\n")
		if more = i >= 0; more {
			line = data[:i]
			if data[i] == '\r' && i+1 < len(data) && data[i+1] == '\n' {
				i++
			}
			data = data[i+1:]
		} else {
			line = data
		}
		dst = append(append(append(dst, "data: "...), line...), '\n')
	}
	return append(dst, '\n')
}
