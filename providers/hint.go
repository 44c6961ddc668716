package providers

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollux/normalize"
	"pollux/providers/format"
)

// Wait is the RetryAfter of a verdict on an answer that is a document.
func (p *Provider) Wait(h http.Header, body []byte, now time.Time) time.Duration {
	inBody := func(h format.Hint) bool { return h.Header == "" }
	readable := slices.ContainsFunc(p.Poll.Hints, inBody) && normalize.CheckAnswer(body) == nil
	return p.wait(h, body, readable, now)
}

// wait is the longest time that an answer asks to wait: Retry-After, and the
// file's hints. What cannot be read counts for nothing. body is looked into
// only if readable says that it is JSON.
func (p *Provider) wait(h http.Header, body []byte, readable bool, now time.Time) time.Duration {
	longest, _ := RetryAfter(h.Get("Retry-After"), now)
	for _, hint := range p.Poll.Hints {
		text := ""
		if hint.Header != "" {
			text = h.Get(hint.Header)
		} else if readable {
			text, _ = textAt(body, hint.Path)
		}
		longest = max(longest, span(text, hint.Unit))
	}
	return longest
}

// span reads a number of units, 0 if it is none or negative.
func span(text string, unit time.Duration) time.Duration {
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(n > 0) || math.IsInf(n, 1) { // ParseFloat reads "inf" and "nan", too
		return 0
	}
	return time.Duration(min(n*float64(unit), float64(maxWait)))
}
