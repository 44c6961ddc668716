package template

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The longest value of a parameter, decoded, in bytes: what an API merely shows
// of its ids is no rule, so the first is the only one by default; a file may
// raise it up to the second.
const (
	DefaultMax = 256
	LongestMax = 2048
)

// valueFault says why value cannot be a parameter's, "" if it can. It holds
// for every provider, whatever its patterns say: a value becomes a path
// segment upstream, so nothing in it may climb, cut or continue there, even
// at a server that decodes %2F too early. limit is in bytes.
func valueFault(value []byte, limit int) string {
	switch {
	case len(value) == 0:
		return "is empty"
	case len(value) > limit:
		return "is longer than " + strconv.Itoa(limit) + " bytes"
	case HasDotSegment(value):
		return "has a dot segment"
	}
	for i := 0; i < len(value); {
		r, size := rune(value[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(value[i:])
		}
		switch {
		case r == utf8.RuneError && size == 1:
			return "is not valid UTF-8"
		case r == '\\':
			return "has a backslash"
		case unicode.IsControl(r):
			return "has a control character"
		}
		i += size
	}
	return ""
}

// HasDotSegment reports whether a path climbs, or stays where it is.
func HasDotSegment(value []byte) bool {
	for rest, more := value, true; more; {
		var segment []byte
		if i := bytes.IndexByte(rest, '/'); i >= 0 {
			segment, rest = rest[:i], rest[i+1:]
		} else {
			segment, more = rest, false
		}
		if string(segment) == "." || string(segment) == ".." {
			return true
		}
	}
	return false
}

// Unescape appends to dst the bytes that escaped stands for, decoding each
// percent-escape once (RFC 3986, section 2.1). A plus stays a plus. Without
// raw, bytes that a URL cannot hold unescaped are refused.
func Unescape(dst, escaped []byte, raw bool) (decoded []byte, fault string) {
	var octet [1]byte
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		switch {
		case c == '%':
			if n, _ := hex.Decode(octet[:], escaped[i+1:min(i+3, len(escaped))]); n != 1 {
				return dst, "has a malformed percent-escape"
			}
			c = octet[0]
			i += 2
		case !raw && (c <= ' ' || c >= 0x7f || c == '#'):
			return dst, "has a byte that must be percent-encoded"
		}
		dst = append(dst, c)
	}
	return dst, ""
}

// AppendPathValue escapes value as one path segment. Unreserved characters
// and the colon, which ids do hold, stay; everything else is escaped, so that
// equal bytes upstream mean equal values (RFC 3986, section 3.3).
func AppendPathValue(dst []byte, value string) []byte {
	return appendEscaped(dst, value, ":")
}

// appendSlashedValue escapes a value that may hold slashes: they stay, and so
// does what may stand unescaped in a path.
func appendSlashedValue(dst []byte, value string) []byte {
	return appendEscaped(dst, value, "/:=@!$'()*+,;")
}

// AppendQueryValue escapes value for a query: everything but unreserved
// characters, a plus in particular, which many servers read as a blank.
func AppendQueryValue(dst []byte, value string) []byte {
	return appendEscaped(dst, value, "")
}

func appendEscaped(dst []byte, value, keep string) []byte {
	const upperHex = "0123456789ABCDEF"
	for i := range len(value) {
		c := value[i]
		if isUnreserved(c) || keep != "" && strings.IndexByte(keep, c) >= 0 {
			dst = append(dst, c)
			continue
		}
		dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
	}
	return dst
}

// isUnreserved follows RFC 3986, section 2.3.
func isUnreserved(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c == '-' || c == '.' || c == '_' || c == '~'
}

// IsName reports whether s can name a parameter: it stands for itself in a URL.
func IsName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isUnreserved(c) || c == '~' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// isNumber reports whether s can stand in JSON as a number.
func isNumber(s string) bool {
	digit := func(c byte) bool { return '0' <= c && c <= '9' }
	return s != "" && (s[0] == '-' || digit(s[0])) && digit(s[len(s)-1]) && json.Valid([]byte(s))
}
