package providers

import (
	"math"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"golang.org/x/net/http/httpguts"

	"pollux/providers/strictyaml"
)

// Hint is where an answer says when to ask again, besides Retry-After.
type Hint struct {
	Header string        // in canonical form, or
	Path   string        // a GJSON path
	Unit   time.Duration // of the number there
}

// hintUnits are the words of poll.hints[].unit.
var hintUnits = map[string]time.Duration{"": time.Second, "s": time.Second, "ms": time.Millisecond}

func (l *loader) hint(at strictyaml.At[hintFile]) Hint {
	f := at.Value
	unit, known := hintUnits[f.Unit.Value]
	if !known {
		l.fault(f.Unit.Node, "", "want unit: s or ms")
	}
	l.path(f.Path)
	if (f.Header.Node == nil) == (f.Path.Node == nil) {
		l.fault(at.Node, "", "want {header: name, unit: ms} or {path: p, unit: s}")
	}
	if f.Header.Node != nil && !httpguts.ValidHeaderFieldName(f.Header.Value) {
		l.fault(f.Header.Node, "", "want the name of a header of the answer")
	}
	return Hint{textproto.CanonicalMIMEHeaderKey(f.Header.Value), f.Path.Value, unit}
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
		} else if r := gjson.GetBytes(body, hint.Path); readable && (r.Type == gjson.Number || r.Type == gjson.String) {
			text = r.String()
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
