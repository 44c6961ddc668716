// Package chunked follows chunked bodies through the bytes of a connection (RFC
// 9112, section 7.1), to see where they end and that they are what the grammar
// says. HTTP libraries are more generous than that, and what two of them read in
// different ways is how requests and answers are smuggled.
package chunked

import (
	"bytes"
	"strconv"
	"strings"
)

const (
	// maxLine bounds a chunk's size with its extensions, as net/http does, and a
	// line of a trailer.
	maxLine = 4 << 10
	// maxTrailer bounds the lines of a trailer.
	maxTrailer = 100
)

// Error is what a body breaks. Its text holds no byte of the body.
type Error struct{ reason string }

func (e *Error) Error() string { return e.reason }

var errLine = &Error{"a line of its chunked body does not end in CRLF"}

// Body is where in a body a connection is. The zero value waits for its first
// byte.
type Body struct {
	state func(*Body, []byte) (rest []byte, err error)
	line  []byte // the part of a line that has come
	left  int64  // of a chunk
	lines int    // of the trailer
	ended bool
}

// Ended reports whether the body has come whole.
func (b *Body) Ended() bool { return b.ended }

// Take follows the body through p. rest is what came after its end; with an
// error, an *Error, it begins at the line that is wrong, or within it.
func (b *Body) Take(p []byte) (rest []byte, err error) {
	if b.state == nil {
		b.state = (*Body).chunkLine
	}
	for len(p) > 0 && !b.ended {
		next, err := b.state(b, p)
		if err != nil {
			return p, err
		}
		p = next
	}
	return p, nil
}

// nextLine takes a line off p, without its end. ok is false while it has not
// come whole.
func (b *Body) nextLine(p []byte) (line, rest []byte, ok bool, err error) {
	i := bytes.IndexByte(p, '\n')
	if n := len(b.line) + max(i, 0); n > maxLine || i < 0 && len(b.line)+len(p) > maxLine {
		return nil, nil, false, &Error{"a line is too long"}
	}
	if i < 0 {
		b.line = append(b.line, p...)
		return nil, nil, false, nil
	}
	if line = p[:i+1]; len(b.line) > 0 {
		line = append(b.line, line...)
		b.line = b.line[:0]
	}
	return line, p[i+1:], true, nil
}

// strictLine is a line of a chunked body, which ends in CRLF and holds no
// other CR.
func (b *Body) strictLine(p []byte) (line, rest []byte, ok bool, err error) {
	line, rest, ok, err = b.nextLine(p)
	if !ok {
		return nil, rest, false, err
	}
	line, crlf := bytes.CutSuffix(line, []byte("\r\n"))
	if !crlf || bytes.IndexByte(line, '\r') >= 0 {
		return nil, nil, false, errLine
	}
	return line, rest, true, nil
}

// chunkLine reads chunk-size [chunk-ext] CRLF (RFC 9112, section 7.1).
func (b *Body) chunkLine(p []byte) ([]byte, error) {
	line, rest, ok, err := b.strictLine(p)
	if !ok {
		return rest, err
	}
	digits := 0
	for digits < len(line) && isHexDigit(line[digits]) {
		digits++
	}
	size, err := strconv.ParseInt(string(line[:digits]), 16, 64)
	if err != nil {
		return nil, &Error{"the size of a chunk is none"}
	}
	if !isChunkExt(line[digits:]) {
		return nil, &Error{"what follows the size of a chunk is no extension"}
	}
	if b.left, b.state = size, (*Body).chunk; size == 0 {
		b.state = (*Body).trailerLine
	}
	return rest, nil
}

func (b *Body) chunk(p []byte) ([]byte, error) {
	n := min(b.left, int64(len(p)))
	if b.left -= n; b.left == 0 {
		b.state = (*Body).chunkEnd
	}
	return p[n:], nil
}

func (b *Body) chunkEnd(p []byte) ([]byte, error) {
	line, rest, ok, err := b.strictLine(p)
	if !ok {
		return rest, err
	}
	if len(line) > 0 {
		return nil, &Error{"a chunk is longer than its size"}
	}
	b.state = (*Body).chunkLine
	return rest, nil
}

// trailerLine reads a field line of the trailer, without folding and without a
// blank before the colon (RFC 9112, sections 5.1 and 5.2).
func (b *Body) trailerLine(p []byte) ([]byte, error) {
	line, rest, ok, err := b.strictLine(p)
	if !ok {
		return rest, err
	}
	if len(line) == 0 {
		b.ended = true
		return rest, nil
	}
	if b.lines++; b.lines > maxTrailer {
		return nil, &Error{"its trailer is too long"}
	}
	name, _, colon := bytes.Cut(line, []byte(":"))
	if !colon || token(name) != len(name) || len(name) == 0 {
		return nil, &Error{"a line of its trailer is no field"}
	}
	return rest, nil
}

// isChunkExt reports whether b is *( BWS ";" BWS name [ BWS "=" BWS value ] ).
func isChunkExt(b []byte) bool {
	for len(b) > 0 {
		b = skipBlanks(b)
		if len(b) == 0 || b[0] != ';' {
			return false
		}
		b = skipBlanks(b[1:])
		n := token(b)
		if n == 0 {
			return false
		}
		b = b[n:]
		value := skipBlanks(b)
		if len(value) == 0 || value[0] != '=' {
			continue
		}
		value = skipBlanks(value[1:])
		if n = token(value); n == 0 {
			n = quoted(value)
		}
		if n == 0 {
			return false
		}
		b = value[n:]
	}
	return true
}

func skipBlanks(b []byte) []byte { return bytes.TrimLeft(b, " \t") }

// token returns the length of the token that b begins with (RFC 9110, section
// 5.6.2).
func token(b []byte) (n int) {
	for n < len(b) && (isHexDigit(b[n]) || 'g' <= b[n]|0x20 && b[n]|0x20 <= 'z' || strings.IndexByte("!#$%&'*+-.^_`|~", b[n]) >= 0) {
		n++
	}
	return n
}

// quoted returns the length of the quoted string that b begins with, 0 if it
// is none (RFC 9110, section 5.6.4).
func quoted(b []byte) int {
	if len(b) == 0 || b[0] != '"' {
		return 0
	}
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			i++
		}
		if i < len(b) && (b[i] < ' ' && b[i] != '\t' || b[i] == 0x7f) {
			return 0
		}
	}
	return 0
}

func isHexDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}
