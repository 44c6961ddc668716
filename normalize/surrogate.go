package normalize

import "strconv"

// LoneSurrogate reports whether JSON escapes a surrogate that has no partner
// (RFC 8259, section 8.2). Decoders read U+FFFD there, or swallow what follows:
// as the name of something it would be the name of something else.
func LoneSurrogate[T ~string | ~[]byte](text T) bool {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		unit, ok := escapedUnit(text[i:])
		switch {
		case !ok:
			i++
		case unit>>10 == 0xd800>>10:
			low, ok := escapedUnit(text[i+6:])
			if !ok || low>>10 != 0xdc00>>10 {
				return true
			}
			i += 11
		case unit>>10 == 0xdc00>>10:
			return true
		default:
			i += 5
		}
	}
	return false
}

// escapedUnit reads the escape of four hex digits (RFC 8259, section 7) that
// text begins with.
func escapedUnit[T ~string | ~[]byte](text T) (unit uint64, ok bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return unit, err == nil
}
