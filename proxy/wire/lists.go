package wire

import "bytes"

// list returns the value of a header whose lines are one list (RFC 9110, section
// 5.3). Several lines are joined, in memory of their own.
func (x *Exchange) list(name string) []byte {
	switch lines := x.Ctx.Request.Header.PeekAll(name); len(lines) {
	case 0:
		return nil
	case 1:
		return lines[0]
	default:
		return bytes.Join(lines, []byte(","))
	}
}

// nextMember cuts the first member off a list: what comes before the next comma
// that is not within a quoted string (RFC 9110, section 5.6.4), and what comes
// after it.
func nextMember(list []byte) (member, rest []byte) { return cutUnquoted(list, ',') }

// cutUnquoted cuts b at the first sep that is not within a quoted string.
func cutUnquoted(b []byte, sep byte) (before, after []byte) {
	quoted := false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case !quoted && c == sep:
			return TrimOWS(b[:i]), b[i+1:]
		}
	}
	return TrimOWS(b), nil
}

// Preferred returns the value of a preference that was asked for (RFC 7240,
// section 2), without quotes; nil if it was not. The first one counts.
func (x *Exchange) Preferred(name string) []byte {
	for list := x.list("Prefer"); len(list) > 0; {
		var member []byte
		member, list = nextMember(list)
		preference, _ := cutUnquoted(member, ';')
		key, value, _ := bytes.Cut(preference, []byte("="))
		if FoldEqual(TrimOWS(key), name) {
			return bytes.Trim(TrimOWS(value), `"`)
		}
	}
	return nil
}

// accepted returns the weight that Accept gives to a media type, in thousandths
// (RFC 9110, section 12.5.1), and whether it names the type itself and not a
// range. The most specific range that matches counts.
func accepted(accept []byte, kind, subtype string) (weight int, named bool) {
	precision := -1
	for len(accept) > 0 {
		var member []byte
		member, accept = nextMember(accept)
		media, params := cutUnquoted(member, ';')
		k, s, ok := bytes.Cut(media, []byte("/"))
		fits := 0
		switch {
		case !ok:
			continue
		case string(media) == "*/*":
		case FoldEqual(k, kind) && string(s) == "*":
			fits = 1
		case FoldEqual(k, kind) && FoldEqual(s, subtype):
			fits = 2
		default:
			continue
		}
		if fits > precision {
			precision, weight = fits, quality(params)
		}
	}
	return weight, precision == 2
}

// quality is the weight among the parameters of a member, in thousandths. What
// is absent or malformed is 1.
func quality(params []byte) int {
	for len(params) > 0 {
		var param []byte
		param, params = cutUnquoted(params, ';')
		name, value, _ := bytes.Cut(param, []byte("="))
		if !FoldEqual(TrimOWS(name), "q") {
			continue
		}
		whole, fraction, _ := bytes.Cut(value, []byte("."))
		if len(whole) != 1 || whole[0] != '0' && whole[0] != '1' || len(fraction) > 3 {
			return 1000
		}
		weight := int(whole[0] - '0')
		for i := range 3 {
			weight *= 10
			if i < len(fraction) {
				if fraction[i] < '0' || fraction[i] > '9' {
					return 1000
				}
				weight += int(fraction[i] - '0')
			}
		}
		return min(weight, 1000)
	}
	return 1000
}
