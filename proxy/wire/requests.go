package wire

import (
	"bytes"
	"errors"
	"io"

	"pollux/proxy/wire/chunked"
)

// errChunks ends a connection whose chunked body is malformed: a request that was
// not read yet is answered 400, and so is one whose body is being read.
var errChunks = errors.New("the chunked body is malformed")

// requests follows the requests of a connection, to see that chunked bodies are
// what RFC 9112, section 7.1, says: fasthttp takes extensions of any form and
// length, and folded trailers. It has to be right about requests that pass the
// strict check only, since a connection ends with one that does not. The zero
// value waits for a request.
type requests struct {
	inBody  bool
	begun   bool   // a line of the head has come
	line    []byte // the beginning of a line whose end has not come
	length  int64  // of what is left of a body
	chunked bool
	chunks  chunked.Body
	bad     bool
}

// between reports whether nothing of a request has come since the last one ended.
func (r *requests) between() bool { return !r.inBody && !r.begun && len(r.line) == 0 && !r.bad }

// take follows p and returns how much of it may be read: all of it, unless a
// chunked body is malformed.
func (r *requests) take(p []byte) int {
	rest := p
	for len(rest) > 0 && !r.bad {
		switch {
		case !r.inBody:
			rest = r.headLine(rest)
		case r.chunked:
			var err error
			if rest, err = r.chunks.Take(rest); err != nil {
				r.bad = true
			} else if r.chunks.Ended() {
				*r = requests{line: r.line}
			}
		default:
			n := min(r.length, int64(len(rest)))
			rest = rest[n:]
			if r.length -= n; r.length == 0 {
				*r = requests{line: r.line}
			}
		}
	}
	return len(p) - len(rest)
}

// headLine takes a line of a head. What of it matters is short, so that no more
// than its beginning is kept.
func (r *requests) headLine(p []byte) (rest []byte) {
	const enough = 64
	i := bytes.IndexByte(p, '\n')
	if i < 0 {
		r.line = append(r.line, p[:min(len(p), max(0, enough-len(r.line)))]...)
		return nil
	}
	line := p[:i]
	if len(r.line) > 0 {
		r.line = append(r.line, line[:min(len(line), max(0, enough-len(r.line)))]...)
		line, r.line = r.line, r.line[:0]
	}
	line = bytes.TrimSuffix(line, []byte("\r"))
	switch {
	case len(line) > 0:
		r.begun = true
		r.field(line)
	case r.begun: // an empty line before a request is none of it
		r.begun, r.inBody = false, r.chunked || r.length > 0
	}
	return p[i+1:]
}

// field notes what says how long the body is.
func (r *requests) field(line []byte) {
	name, value, ok := bytes.Cut(line, []byte(":"))
	switch {
	case !ok:
	case FoldEqual(name, "transfer-encoding"):
		r.chunked = true // the strict check takes no other coding
	case FoldEqual(name, "content-length"):
		r.length, _ = parseLength(TrimOWS(value))
	}
}

// bodyStream is the body of a request. fasthttp takes a failure to read the first
// byte of a trailer for the trailer's end.
type bodyStream struct {
	io.Reader
	conn *Conn
}

func (b bodyStream) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF && b.conn.requests.bad {
		err = errChunks
	}
	return n, err
}

// BodyStream is the body as it comes.
func (x *Exchange) BodyStream() io.Reader {
	r := x.Ctx.RequestBodyStream()
	if c, ok := x.Ctx.Conn().(*Conn); ok && r != nil {
		return bodyStream{r, c}
	}
	return r
}
