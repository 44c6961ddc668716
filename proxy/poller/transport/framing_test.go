package transport

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	chunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	lastChunk   = "0\r\n\r\n"
)

// framed are answers, what they come to ("" with refused is an error) and
// whether their connection may be used again.
var framed = []struct {
	name, answer, body string
	refused, kept      bool
}{
	// RFC 9112, section 7.1: chunk = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
	{name: "chunks", answer: chunkedHead + "5\r\nhello\r\n" + lastChunk, body: "hello", kept: true},
	{name: "two chunks", answer: chunkedHead + "2\r\nhe\r\n3\r\nllo\r\n" + lastChunk, body: "hello", kept: true},
	{name: "no chunk", answer: chunkedHead + lastChunk, kept: true},
	{name: "size in capitals, with zeros", answer: chunkedHead + "00A\r\n0123456789\r\n" + lastChunk, body: "0123456789", kept: true},
	{name: "size with a sign", answer: chunkedHead + "+5\r\nhello\r\n" + lastChunk, refused: true},
	{name: "size with 0x", answer: chunkedHead + "0x5\r\nhello\r\n" + lastChunk, refused: true},
	{name: "no size", answer: chunkedHead + "\r\nhello\r\n" + lastChunk, refused: true},
	{name: "size too large", answer: chunkedHead + "ffffffffffffffff5\r\nhello\r\n" + lastChunk, refused: true},
	{name: "negative size", answer: chunkedHead + "ffffffffffffffff\r\nhello\r\n" + lastChunk, refused: true},
	{name: "blank before the size", answer: chunkedHead + " 5\r\nhello\r\n" + lastChunk, refused: true},
	{name: "blank after the size", answer: chunkedHead + "5 \r\nhello\r\n" + lastChunk, refused: true},
	{name: "tab after the size", answer: chunkedHead + "5\t\r\nhello\r\n" + lastChunk, refused: true},
	{name: "bare LF after the size", answer: chunkedHead + "5\nhello\r\n" + lastChunk, refused: true},
	{name: "bare CR after the size", answer: chunkedHead + "5\rX\r\nhello\r\n" + lastChunk, refused: true},
	{name: "bare LF after the data", answer: chunkedHead + "5\r\nhello\n" + lastChunk, refused: true},
	{name: "data longer than its size", answer: chunkedHead + "4\r\nhello\r\n" + lastChunk, refused: true},
	{name: "cut", answer: chunkedHead + "5\r\nhel", refused: true},
	{name: "no last chunk", answer: chunkedHead + "5\r\nhello\r\n", refused: true},
	// chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
	{name: "extension", answer: chunkedHead + "5;a\r\nhello\r\n" + lastChunk, body: "hello", kept: true},
	{name: "extensions", answer: chunkedHead + "5;a=b; c = \"d;\\\"e\" ; f\r\nhello\r\n0;z=1\r\n\r\n", body: "hello", kept: true},
	{name: "blank before an extension", answer: chunkedHead + "5 ;a=b\r\nhello\r\n" + lastChunk, refused: true}, // by net/http
	{name: "extension without a name", answer: chunkedHead + "5;\r\nhello\r\n" + lastChunk, refused: true},
	{name: "extension without a value", answer: chunkedHead + "5;a=\r\nhello\r\n" + lastChunk, refused: true},
	{name: "extension that is none", answer: chunkedHead + "5;bad[=x\r\nhello\r\n" + lastChunk, refused: true},
	{name: "extension's string without an end", answer: chunkedHead + "5;a=\"b\r\nhello\r\n" + lastChunk, refused: true},
	{name: "extension with a control character", answer: chunkedHead + "5;a=\"\x01\"\r\nhello\r\n" + lastChunk, refused: true},
	{name: "extension of 10 MB", answer: chunkedHead + "5;a=" + strings.Repeat("b", 10<<20) + "\r\nhello\r\n" + lastChunk, refused: true},
	{name: "10 MB of extensions", answer: chunkedHead + strings.Repeat("1;"+strings.Repeat("a", 1000)+"\r\nx\r\n", 10<<10) + lastChunk, refused: true},
	// trailer-section = *( field-line CRLF )
	{name: "trailer", answer: chunkedHead + "5\r\nhello\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n", body: "hello", kept: true},
	{name: "trailer ends in LF", answer: chunkedHead + "5\r\nhello\r\n0\r\n\n", refused: true},
	{name: "last chunk ends in LF", answer: chunkedHead + "5\r\nhello\r\n0\n\r\n", refused: true},
	{name: "trailer's line ends in LF", answer: chunkedHead + "5\r\nhello\r\n0\r\nX: 1\n\r\n", refused: true},
	{name: "folded trailer", answer: chunkedHead + "5\r\nhello\r\n0\r\nX: 1\r\n 2\r\n\r\n", refused: true},
	{name: "trailer that begins with a blank", answer: chunkedHead + "5\r\nhello\r\n0\r\n X: 1\r\n\r\n", refused: true},
	{name: "blank before a trailer's colon", answer: chunkedHead + "5\r\nhello\r\n0\r\nX : 1\r\n\r\n", refused: true},
	{name: "trailer without a colon", answer: chunkedHead + "5\r\nhello\r\n0\r\nX\r\n\r\n", refused: true},
	{name: "trailer without a name", answer: chunkedHead + "5\r\nhello\r\n0\r\n: 1\r\n\r\n", refused: true},
	{name: "trailer of 1 MB", answer: chunkedHead + "5\r\nhello\r\n0\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", refused: true},
	// first line and head
	{name: "length", answer: said("hello"), body: "hello", kept: true},
	{name: "HTTP/1.0 keeping alive", answer: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", body: "hello", kept: true},
	{name: "HTTP/1.0", answer: "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", body: "hello"},
	{name: "HTTP/1.0 with chunks", answer: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" + lastChunk, refused: true},
	{name: "HTTP/9.9", answer: "HTTP/9.9 200 OK\r\nContent-Length: 5\r\n\r\nhello", refused: true},
	{name: "HTTP/1.2", answer: "HTTP/1.2 200 OK\r\nContent-Length: 5\r\n\r\nhello", refused: true},
	{name: "HTTP/2 preface", answer: "\x00\x00\x12\x04\x00\x00\x00\x00\x00", refused: true},
	{name: "no reason", answer: "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", body: "hello", kept: true},
	{name: "LF in the head", answer: "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", body: "hello", kept: true},
	{name: "continue, then an answer", answer: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + said("hello"), body: "hello", kept: true},
	{name: "nothing but continue", answer: "HTTP/1.1 100 Continue\r\n\r\n", refused: true},
	{name: "switching protocols", answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", refused: true},
	{name: "code 099", answer: "HTTP/1.1 099 Odd\r\nContent-Length: 5\r\n\r\nhello", refused: true},
	{name: "code 000", answer: "HTTP/1.1 000 Odd\r\nContent-Length: 5\r\n\r\nhello", refused: true},
	{name: "code 600", answer: "HTTP/1.1 600 Odd\r\nContent-Length: 5\r\n\r\nhello", refused: true},
	{name: "code 999", answer: "HTTP/1.1 999 Odd\r\nContent-Length: 5\r\n\r\nhello", refused: true},
	{name: "code of four digits", answer: "HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello", refused: true},
	{name: "code with a sign", answer: "HTTP/1.1 +20 OK\r\nContent-Length: 5\r\n\r\nhello", refused: true},
	{name: "two lengths", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", refused: true},
	{name: "one length twice", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", body: "hello", kept: true},
	{name: "negative length", answer: "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", refused: true},
	{name: "another coding", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + lastChunk, refused: true},
	{name: "head of 1 MB", answer: "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 1<<10) + "Content-Length: 5\r\n\r\nhello", refused: true},
	{name: "hints of 1 MB", answer: strings.Repeat("HTTP/1.1 103 Early Hints\r\nX: "+strings.Repeat("x", 1000)+"\r\n\r\n", 1<<10) + said("hello"), refused: true},
	{name: "no content", answer: "HTTP/1.1 204 No Content\r\n\r\n", kept: true},
	{name: "no content, and a body", answer: "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "more than its length", answer: said("hello") + "!", body: "hello"},
	{name: "closing", answer: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", body: "hello"},
}

// TestFraming: what an answer comes to, and what becomes of its connection.
func TestFraming(t *testing.T) {
	for _, c := range framed {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, s := scripted(t, false, func(conn net.Conn, request func() bool) {
				for n := 0; request(); n++ {
					io.WriteString(conn, c.answer)
					if c.refused {
						return
					}
				}
			})
			for n := range 2 {
				time.Sleep(time.Duration(n) * 5 * readAfter)
				got, err := b.ask(alice, "GET", "/", "")
				if refused := err != nil; refused != c.refused || !refused && got != c.body {
					t.Errorf("request %d: %.40q, %v, want %q, refused %v", n, got, err, c.body, c.refused)
				}
			}
			if kept := s.accepts.Load() == 1; kept != c.kept {
				t.Errorf("connection kept: %v, want %v", kept, c.kept)
			}
		})
	}
}

func TestAnswersToHEAD(t *testing.T) {
	for _, answer := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", chunkedHead, "HTTP/1.1 200 OK\r\n\r\n"} {
		b, s := scripted(t, false, func(conn net.Conn, request func() bool) {
			for request() {
				io.WriteString(conn, answer)
			}
		})
		for range 2 {
			b.want(alice, "HEAD", "/", "")
			time.Sleep(10 * readAfter)
		}
		if s.accepts.Load() != 1 {
			t.Errorf("%q: the connection was not kept", answer)
		}
	}
}

// followed takes an answer piece by piece, the first one of the given length.
func followed(answer []byte, head bool, first int) (used int, ended bool, err error) {
	f := &framing{head: head}
	for _, piece := range [][]byte{answer[:first], answer[first:]} {
		after, err := f.take(piece)
		if err != nil {
			return 0, false, err
		}
		used += len(piece) - len(after)
		if f.ended() {
			return used, true, nil
		}
	}
	return used, false, nil
}

// FuzzFraming: wherever an answer is cut into packets, it is judged alike; and
// what is taken for a whole answer is one for net/http, of the same length.
func FuzzFraming(f *testing.F) {
	for _, c := range framed {
		if len(c.answer) < 4<<10 {
			f.Add([]byte(c.answer), 1, false)
			f.Add([]byte(c.answer+"HTTP/1.1"), 20, true)
		}
	}
	f.Fuzz(func(t *testing.T, answer []byte, first int, head bool) {
		if first < 0 || first > len(answer) {
			return
		}
		used, ended, err := followed(answer, head, 0)
		used2, ended2, err2 := followed(answer, head, first)
		if used != used2 && err == nil || ended != ended2 || (err == nil) != (err2 == nil) {
			t.Fatalf("%q: whole: %d %v %v, cut at %d: %d %v %v", answer, used, ended, err, first, used2, ended2, err2)
		}
		if !ended {
			return
		}
		method := "GET"
		if head {
			method = "HEAD"
		}
		source := bytes.NewReader(answer)
		r := bufio.NewReader(source)
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		for err == nil && res.StatusCode/100 == 1 && res.StatusCode != 101 {
			res, err = http.ReadResponse(r, &http.Request{Method: method})
		}
		if err != nil {
			return // net/http minds more in a head than where an answer ends
		}
		_, err = io.Copy(io.Discard, res.Body)
		if left := r.Buffered() + source.Len(); err == nil && len(answer)-left != used {
			t.Errorf("%q: net/http took %d bytes of it, the guard %d", answer, len(answer)-left, used)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: whole to the guard, and cut to net/http", answer)
		}
	})
}
