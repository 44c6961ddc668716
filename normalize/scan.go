package normalize

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// The scanners below walk text that CheckValue has passed, without blanks before
// it; on other text their results mean nothing, and they may panic.

// Kinds of a JSON value, as the condition function kind names them.
const (
	kindAbsent = "absent"
	kindNull   = "null"
	kindTrue   = "true"
	kindFalse  = "false"
	kindNumber = "number"
	kindString = "string"
	kindArray  = "array"
	kindObject = "object"
)

var kindNames = []string{kindAbsent, kindNull, kindTrue, kindFalse, kindNumber, kindString, kindArray, kindObject}

// kindOf returns the kind of the JSON value raw; "" is absent.
func kindOf(raw string) string {
	if raw == "" {
		return kindAbsent
	}
	switch raw[0] {
	case '{':
		return kindObject
	case '[':
		return kindArray
	case '"':
		return kindString
	case 't':
		return kindTrue
	case 'f':
		return kindFalse
	case 'n':
		return kindNull
	}
	return kindNumber
}

func skipSpace[T string | []byte](text T, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r') {
		i++
	}
	return i
}

// eachMember calls f with every member of the object text, key and value raw,
// duplicates included.
func eachMember(text string, f func(key, value string)) {
	gjson.Parse(text).ForEach(func(key, value gjson.Result) bool {
		f(key.Raw, value.Raw)
		return true
	})
}

// eachElement calls f with every element of the array text, raw.
func eachElement(text string, f func(value string)) {
	eachMember(text, func(_, value string) { f(value) })
}

// decodeString returns what the JSON string raw, quotes included, stands for.
// An escaped surrogate without its other half becomes U+FFFD.
func decodeString(raw string) string {
	s := raw[1 : len(raw)-1]
	next := strings.IndexByte(s, '\\')
	if next < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for next >= 0 {
		out = append(out, s[:next]...)
		c := s[next+1]
		s = s[next+2:]
		switch c {
		case 'u':
			var r rune
			r, s = decodeHex(s)
			out = utf8.AppendRune(out, r)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		default:
			out = append(out, c)
		}
		next = strings.IndexByte(s, '\\')
	}
	return string(append(out, s...))
}

// decodeHex reads the four digits after a \u, and the low surrogate after a
// high one. gjson's own decoder swallows whatever escape follows a lone high
// surrogate, which is why strings are not left to it.
func decodeHex(s string) (rune, string) {
	r := hex4(s)
	s = s[4:]
	if !utf16.IsSurrogate(r) {
		return r, s
	}
	if len(s) >= 6 && s[0] == '\\' && s[1] == 'u' {
		if pair := utf16.DecodeRune(r, hex4(s[2:])); pair != utf8.RuneError {
			return pair, s[6:]
		}
	}
	return utf8.RuneError, s
}

func hex4(s string) rune {
	n, _ := strconv.ParseUint(s[:4], 16, 16) // digits: CheckValue saw to it
	return rune(n)
}
