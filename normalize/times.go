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
	formUnix     = "unix"      // seconds, a JSON number or its digits as text, a fraction allowed
	formUnixMS   = "unix_ms"   // milliseconds, likewise
	formRFC3339  = "rfc3339"   // a string, read leniently: see timestamp
	formHTTPDate = "http_date" // a string as in a Date header (RFC 9110, section 5.6.7)
	formLayout   = "layout:"   // a layout of package time follows; without a zone it is UTC
)

// parseTime reads s in form. Digits beyond nanoseconds are cut off.
func parseTime(s, form string) (time.Time, bool) {
	var t time.Time
	var ok bool
	switch layout, custom := strings.CutPrefix(form, formLayout); {
	case custom:
		t, ok = parseLayouts(s, layout)
	case form == formUnix:
		t, ok = parseUnix(s, 0)
	case form == formUnixMS:
		t, ok = parseUnix(s, 3)
	case form == formHTTPDate:
		t, ok = parseLayouts(s, "Mon, 02 Jan 2006 15:04:05 GMT", time.RFC850, time.ANSIC)
	default:
		t, ok = parseRFC3339(s)
	}
	if !ok || !t.After(time.Unix(0, 0)) || t.UTC().Year() > 9999 {
		return time.Time{}, false
	}
	return t.UTC(), true
}

// numericTime reports whether a form is read from numbers.
func numericTime(form string) bool { return form == formUnix || form == formUnixMS }

// parseLayouts reads s in the first layout that fits.
func parseLayouts(s string, layouts ...string) (time.Time, bool) {
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// checkForm says what is wrong with a form of time, "" if nothing is.
func checkForm(form string) string {
	layout, custom := strings.CutPrefix(form, formLayout)
	if !custom {
		switch form {
		case formUnix, formUnixMS, formRFC3339, formHTTPDate:
			return ""
		}
		return "is no form of time; want unix, unix_ms, rfc3339, http_date or layout:<a Go layout>"
	}
	day := time.Date(2011, time.November, 22, 13, 14, 15, 0, time.UTC)
	if t, err := time.Parse(layout, day.Format(layout)); err != nil || t.Year() != day.Year() || t.YearDay() != day.YearDay() {
		return "is no Go layout of a date; write it as 2006-01-02 15:04:05, the day that layouts are made of"
	}
	return ""
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

// timestamp is RFC 3339, section 5.6, with the zone optional (then it is UTC),
// its colon and minutes too, and a space allowed for the T. time.Parse alone
// takes one-digit hours too.
var timestamp = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)? ?([Zz]|[+-]\d\d(?::?\d\d)?)?$`)

func parseRFC3339(s string) (time.Time, bool) {
	m := timestamp.FindStringSubmatch(s)
	if m == nil {
		return time.Time{}, false
	}
	zone := strings.ToUpper(m[4])
	switch len(zone) {
	case len(""):
		zone = "Z"
	case len("+00"):
		zone += ":00"
	case len("+0000"):
		zone = zone[:3] + ":" + zone[3:]
	}
	t, err := time.Parse(time.RFC3339, m[1]+"T"+m[2]+m[3]+zone)
	return t, err == nil
}
