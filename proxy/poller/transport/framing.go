package transport

import (
	"bytes"
	"strconv"
	"strings"

	"pollux/proxy/wire/chunked"
)

// Malformed is an answer that breaks HTTP/1's own rules of where it begins and
// ends, so that nothing can be made of it and its connection is over. Its text
// holds no byte of the answer.
type Malformed struct{ reason string }

func (e *Malformed) Error() string { return "the upstream's answer is malformed: " + e.reason }

// framing follows one HTTP/1 answer through the bytes of its connection, to
// see where it ends and that it is framed as RFC 9112 says, sections 4 to 7.
// net/http is more generous, and does not tell where an answer ended. The zero
// value waits for an answer to a request that is no HEAD.
type framing struct {
	head  bool // the request was a HEAD
	state func(*framing, []byte) (rest []byte, err error)
	line  []byte // the part of a line that has come
	taken int    // bytes of lines, those of interim answers too

	code    int
	http10  bool
	chunked bool
	coded   chunked.Body
	length  int64 // of what is left of the body, or of a chunk; -1: not said
}

// take follows the answer through p, and returns what came after its end: nil
// while it has not ended, empty if nothing did.
func (f *framing) take(p []byte) (after []byte, err error) {
	if f.state == nil {
		f.state, f.length = (*framing).statusLine, -1
	}
	for {
		if f.ended() {
			return p, nil
		}
		if len(p) == 0 {
			return nil, nil
		}
		if p, err = f.state(f, p); err != nil {
			return nil, err
		}
	}
}

func (f *framing) ended() bool { return f.code == ended }

// ended is the code of an answer that has ended: it has no other use then.
const ended = -1

func (f *framing) end() { f.code = ended }

// nextLine takes a line off p, with its end. ok is false while it has not come
// whole.
func (f *framing) nextLine(p []byte) (line, rest []byte, ok bool, err error) {
	n := bytes.IndexByte(p, '\n') + 1
	if ok = n > 0; !ok {
		n = len(p)
	}
	if f.taken += n; f.taken > headerBytes {
		return nil, nil, false, &Malformed{"its head is too long"}
	}
	if !ok {
		f.line = append(f.line, p...)
		return nil, nil, false, nil
	}
	if line = p[:n]; len(f.line) > 0 {
		line = append(f.line, line...)
		f.line = f.line[:0]
	}
	return line, p[n:], true, nil
}

// headLine is line without its end: a lone LF will do in a head (RFC 9112,
// section 2.2).
func headLine(line []byte) []byte {
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))
}

func (f *framing) statusLine(p []byte) ([]byte, error) {
	line, rest, ok, err := f.nextLine(p)
	if !ok {
		return rest, err
	}
	version, status, _ := strings.Cut(string(headLine(line)), " ")
	digits, _, _ := strings.Cut(status, " ")
	f.http10 = version == "HTTP/1.0"
	if !f.http10 && version != "HTTP/1.1" {
		return nil, &Malformed{"its first line names no version of HTTP/1"}
	}
	code, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || len(digits) != 3 {
		return nil, &Malformed{"its first line has no status code"}
	}
	f.code, f.state = int(code), (*framing).headerLine
	return rest, nil
}

func (f *framing) headerLine(p []byte) ([]byte, error) {
	line, rest, ok, err := f.nextLine(p)
	if !ok {
		return rest, err
	}
	line = headLine(line)
	if len(line) == 0 {
		return rest, f.headEnded()
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	switch strings.ToLower(string(name)) {
	case "transfer-encoding":
		if f.http10 {
			return nil, &Malformed{"HTTP/1.0 knows no transfer coding"}
		}
		f.chunked = true // net/http takes no other coding
	case "content-length":
		n, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
		if err != nil || n < 0 || f.length >= 0 && f.length != n {
			return nil, &Malformed{"its length is none"}
		}
		f.length = n
	}
	return rest, nil
}

func (f *framing) headEnded() error {
	switch {
	case f.code/100 == 1 && f.code != 101: // an interim answer: another one follows
		*f = framing{head: f.head, line: f.line, taken: f.taken}
		f.state, f.length = (*framing).statusLine, -1
	case f.head || f.code == 204 || f.code == 304 || f.code == 101:
		f.end()
	case f.chunked:
		f.state = (*framing).chunks
	case f.length == 0:
		f.end()
	case f.length > 0:
		f.state = (*framing).body
	default:
		f.state = (*framing).untilClose
	}
	return nil
}

func (f *framing) body(p []byte) ([]byte, error) {
	n := min(f.length, int64(len(p)))
	if f.length -= n; f.length == 0 {
		f.end()
	}
	return p[n:], nil
}

func (f *framing) chunks(p []byte) ([]byte, error) {
	rest, err := f.coded.Take(p)
	if err != nil {
		return nil, &Malformed{err.Error()}
	}
	if f.coded.Ended() {
		f.end()
	}
	return rest, nil
}

func (f *framing) untilClose([]byte) ([]byte, error) { return nil, nil }
