package providers

import (
	"math"
	"net/http"
	"strings"
	"time"
)

// maxWait is the longest whole number of seconds that a duration holds.
const maxWait = math.MaxInt64 / time.Second * time.Second

// RetryAfter returns how long an upstream asks us to wait before the next poll.
// It reads seconds, of which a fraction counts up, and the three forms of HTTP-date, a date measured against
// now. It returns 0, false if value is empty, malformed or a date that is
// past; callers then fall back to the provider's own interval. A wait too long
// for a time.Duration is cut to the longest one. See RFC 9110, sections 10.2.3
// and 5.6.7.
func RetryAfter(value string, now time.Time) (wait time.Duration, ok bool) {
	if value == "" {
		return 0, false
	}
	if '0' <= value[0] && value[0] <= '9' {
		return delaySeconds(value)
	}
	at, err := http.ParseTime(value)
	if err != nil || !at.After(now) {
		return 0, false
	}
	// Of the three forms only asctime has no zone; the obsolete one with a
	// named weekday would take any, and measure the unknown ones as UTC.
	if strings.Contains(value, ",") && !strings.HasSuffix(value, " GMT") {
		return 0, false
	}
	return at.Sub(now), true
}

func delaySeconds(value string) (time.Duration, bool) {
	whole, fraction, fractional := strings.Cut(value, ".")
	if !digits(whole) || fractional && !digits(fraction) {
		return 0, false
	}
	var seconds time.Duration
	for i := range len(whole) {
		seconds = min(seconds*10+time.Duration(whole[i]-'0'), maxWait/time.Second)
	}
	if strings.Trim(fraction, "0") != "" {
		seconds = min(seconds+1, maxWait/time.Second)
	}
	return seconds * time.Second, true
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
