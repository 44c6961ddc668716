package normalize

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// maxDepth is how deep a native body may nest. It is what keeps every later
// reader off the end of the stack: gjson validates recursively, and a stack
// overflow ends the process.
const maxDepth = 100

// The reasons for which CheckAnswer and CheckBody refuse a body. None carries upstream bytes.
var (
	errNotUTF8   = errors.New("body is not UTF-8")
	errNotJSON   = errors.New("body is not JSON")
	errNotObject = errors.New("body is not a JSON object")
	errScalar    = errors.New("body is neither a JSON object nor a list")
	errTooDeep   = fmt.Errorf("body nests deeper than %d levels", maxDepth)
)

// CheckAnswer reports why body cannot be a native answer: it nests too deeply,
// is not UTF-8, not JSON (RFC 8259, so neither truncated nor followed by
// anything), or neither an object nor a list. Everything else here relies on it.
// Escaped lone surrogates pass: they stay as they are in raw values and become
// U+FFFD in decoded text.
func CheckAnswer(body []byte) error {
	if err := CheckValue(body); err != nil {
		return err
	}
	if start := body[skipSpace(body, 0)]; start != '{' && start != '[' {
		return errScalar
	}
	return nil
}

// CheckBody is CheckAnswer for what must be an object.
func CheckBody(body []byte) error {
	if err := CheckValue(body); err != nil {
		return err
	}
	if body[skipSpace(body, 0)] != '{' {
		return errNotObject
	}
	return nil
}

// CheckValue is CheckAnswer for any JSON value. The depth comes first: it stops
// at the first byte too deep, however long the rest is.
func CheckValue(body []byte) error {
	if tooDeep(body) {
		return errTooDeep
	}
	if !utf8.Valid(body) {
		return errNotUTF8
	}
	if !gjson.ValidBytes(body) {
		return errNotJSON
	}
	return nil
}

// tooDeep counts brackets outside strings, without recursion and without
// trusting that text is JSON.
func tooDeep(text []byte) bool {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			end := skipString(text, i)
			if end > len(text) {
				return false // unterminated: not JSON, which is for others to say
			}
			i = end - 1
		case '[', '{':
			if depth++; depth > maxDepth {
				return true
			}
		case ']', '}':
			depth--
		}
	}
	return false
}

// skipString returns the index after the string that starts at the quote
// text[i], or len(text)+1 if it never ends.
func skipString(text []byte, i int) int {
	for i++; ; i++ {
		n := bytes.IndexByte(text[i:], '"')
		if n < 0 {
			return len(text) + 1
		}
		end := i + n
		escapes := 0
		for end-escapes > i && text[end-escapes-1] == '\\' {
			escapes++
		}
		if i = end; escapes%2 == 0 {
			return end + 1
		}
	}
}
