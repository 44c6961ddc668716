package normalize

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The forms of an upstream's times. A time outside 1970 to 9999 is none: zero
// is how many APIs write "not yet", and milliseconds read as seconds land far
// beyond the year 9999.
const (
	formUnix    = "unix"    // seconds, a JSON number, a fraction allowed
	formUnixMS  = "unix_ms" // milliseconds, likewise
	formRFC3339 = "rfc3339" // a string; without a zone it is UTC
)

// parseTime reads s in form. Digits beyond nanoseconds are cut off.
func parseTime(s, form string) (time.Time, bool) {
	var t time.Time
	var ok bool
	switch form {
	case formUnix:
		t, ok = parseUnix(s, 0)
	case formUnixMS:
		t, ok = parseUnix(s, 3)
	default:
		t, ok = parseRFC3339(s)
	}
	if !ok || !t.After(time.Unix(0, 0)) || t.UTC().Year() > 9999 {
		return time.Time{}, false
	}
	return t.UTC(), true
}

// parseUnix reads a decimal number of seconds whose last scale whole digits are
// really fraction, without going through a float.
func parseUnix(s string, scale int) (time.Time, bool) {
	d, ok := parseDecimal(s)
	if !ok || d.negative || len(d.whole) > 18 {
		return time.Time{}, false
	}
	whole := strings.Repeat("0", scale) + d.whole
	fraction := whole[len(whole)-scale:] + d.fraction + "000000000"
	seconds, _ := strconv.ParseInt(whole[:len(whole)-scale], 10, 64)
	nanos, _ := strconv.ParseInt(fraction[:9], 10, 64)
	return time.Unix(seconds, nanos), true
}

// timestamp is RFC 3339, section 5.6, with the zone optional and a space
// allowed for the T. time.Parse alone takes one-digit hours too.
var timestamp = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)?$`)

func parseRFC3339(s string) (time.Time, bool) {
	m := timestamp.FindStringSubmatch(s)
	if m == nil {
		return time.Time{}, false
	}
	zone := strings.ToUpper(m[4])
	if zone == "" {
		zone = "Z"
	}
	t, err := time.Parse(time.RFC3339, m[1]+"T"+m[2]+m[3]+zone)
	return t, err == nil
}
