package format

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"pollux/providers/strictyaml"
	"pollux/providers/template"
)

// Poll is the status request and the vendor's advice on how often to send it.
type Poll struct {
	Request   template.Request
	Headers   []Header      // constant request headers, in canonical form: of a poll and of Pollux's other requests
	Body      template.Body // of a POST; nil: none
	Documents []int         // HTTP codes whose answers are documents, sorted
	// Links and LinkHeaders are where an answer has URLs of the upstream: GJSON
	// paths of strings, or of objects and lists with strings, and headers in
	// canonical form.
	Links, LinkHeaders []string
	Hints              []Hint
	Bypass             Bypass
	First              time.Duration
	Min                time.Duration   // never faster for one task
	Steps              []time.Duration // explicit pauses, then Max
	Growth             float64         // factor between pauses when Steps is empty; 0 means 1
	Max                time.Duration
	MaxQueued          time.Duration // instead of Max while queued; 0 means Max
	GiveUp             time.Duration // 0: the vendor names none
}

// Advises reports whether the file says more of when to poll than how fast at
// most.
func (p *Poll) Advises() bool { return len(p.Steps) > 0 || p.Growth > 1 || p.First > p.Min }

// Header is a constant header.
type Header struct{ Name, Value string }

// Bypass lists what makes a native status poll a request of its own: neither
// merged nor cached.
type Bypass struct {
	Headers []string // request headers that change the answer
}

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

// What a poll section means where it is silent.
const (
	defaultMin = time.Second
	defaultMax = 15 * time.Second
)

// defaultDocuments are the codes whose answers are documents where a file
// names none.
var defaultDocuments = []int{http.StatusOK}

func (l *loader) poll() {
	f, p := &l.written.Poll, &l.file.Poll
	p.Request = l.request(f.Request, "poll.request", false)
	p.Body = l.body(f.Body)
	l.pollMethod()
	if p.Request.Method != "" {
		for _, message := range p.Request.Misplaced(l.file.Params, p.Body, l.file.Identity.Query) {
			l.fault(f.Request.Node, "", "%s", message)
		}
	}
	p.Headers = l.constantHeaders(f.Headers)
	p.Documents = l.documents(f.Documents)
	p.Links = l.links(f.Links)
	p.LinkHeaders = l.answerHeaders(f.LinkHeaders)
	for _, hint := range f.Hints {
		p.Hints = append(p.Hints, l.hint(hint))
	}
	p.Min = l.pause(f.Min, defaultMin)
	p.First = l.pause(f.First, p.Min)
	p.Max = l.pause(f.Max, max(p.Min, defaultMax))
	p.MaxQueued = l.pause(f.MaxQueued, 0)
	p.GiveUp = l.pause(f.GiveUp, 0)
	if p.Max < p.Min {
		l.fault(f.Max.Node, "poll.max", "is less than min")
	}
	if f.MaxQueued.Node != nil && p.MaxQueued < p.Min {
		l.fault(f.MaxQueued.Node, "", "is less than min")
	}
	for _, step := range f.Steps {
		p.Steps = append(p.Steps, l.pause(step, 0))
	}
	p.Growth = f.Growth.Value
	if f.Growth.Node != nil && !(p.Growth >= 1 && p.Growth <= 100) {
		l.fault(f.Growth.Node, "", "want a factor from 1 to 100")
	}
	if f.Growth.Node != nil && len(f.Steps) > 0 {
		l.fault(f.Growth.Node, "", "means nothing beside steps")
	}
	p.Bypass.Headers = l.headers(f.Bypass.Headers, "poll.bypass.headers", nil)
	for i, name := range p.Bypass.Headers {
		if slices.Contains(l.file.Identity.Headers, name) {
			l.fault(f.Bypass.Headers[i].Node, "", "is listed in identity.headers, and cannot be both")
		}
	}
}

// pollMethod checks that the method goes with body and safe.
func (l *loader) pollMethod() {
	f := &l.written.Poll
	switch l.file.Poll.Request.Method {
	case http.MethodGet:
		if f.Body != nil {
			l.fault(nil, "poll.body", "goes with request: POST ... only, since a GET has no body")
		}
		if f.Safe.Node != nil {
			l.fault(f.Safe.Node, "", "goes with request: POST ... only, since a GET changes nothing anyhow")
		}
	case http.MethodPost:
		if !f.Safe.Value {
			l.fault(f.Request.Node, "poll.safe", "a POST usually changes something; say safe: true if you know that this one does not, else want a GET request")
		}
	case "":
	default:
		l.fault(f.Request.Node, "", "want a GET request, or a POST one with safe: true: a poll changes nothing")
	}
}

// constantHeaders checks headers that every request has.
func (l *loader) constantHeaders(f strictyaml.InOrder[text]) []Header {
	var fields []Header
	for _, h := range f {
		name := textproto.CanonicalMIMEHeaderKey(h.Name)
		switch {
		case !httpguts.ValidHeaderFieldName(h.Name):
			l.fault(h.Node, "poll.headers", "want the name of a request header")
		case name == "Authorization" || slices.Contains(l.file.Identity.Headers, name):
			l.fault(h.Node, "poll.headers", "names the caller, so it is listed in identity.headers and has no constant value")
		case slices.Contains(ownHeaders, name) && !slices.Contains(formHeaders, name):
			l.fault(h.Node, "poll.headers", "is a header that Pollux sets itself")
		case slices.ContainsFunc(fields, func(f Header) bool { return f.Name == name }):
			l.fault(h.Node, "poll.headers", "is listed twice")
		case strings.Contains(h.Value.Value, "${"):
			l.fault(h.Node, "poll.headers", "holds ${...}, which is read in config.yaml only; a secret belongs under credential there, and its header under identity.headers")
		case h.Value.Value == "" || !isFieldValue(h.Value.Value):
			l.fault(h.Node, "poll.headers", "want a value of visible characters and blanks")
		}
		fields = append(fields, Header{name, h.Value.Value})
	}
	return fields
}

// isFieldValue reports whether s can be the value of a header.
func isFieldValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return strings.TrimSpace(s) == s
}

// aboutPoll reports whether a code is about the request, whatever the task does.
func aboutPoll(code int) bool {
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	}
	return false
}

func (l *loader) documents(f []whole) []int {
	if len(f) == 0 {
		if at := l.root.Nearest("poll.documents"); at.Path() == "poll.documents" {
			l.fault(at, "", "want the codes whose answers are documents, such as [200, 202]")
		}
		return defaultDocuments
	}
	var codes []int
	for _, d := range f {
		switch {
		case slices.Contains(codes, d.Value):
			l.fault(d.Node, "poll.documents", "is listed twice")
		case aboutPoll(d.Value):
			l.fault(d.Node, "poll.documents", "%d is about the poll and not about the task, so it never is a document", d.Value)
		case d.Value/100 != 2 && d.Value/100 != 4 && d.Value != http.StatusSeeOther:
			l.fault(d.Node, "poll.documents", "want codes from 200 to 299, from 400 to 499, or 303")
		}
		codes = append(codes, d.Value)
	}
	slices.Sort(codes)
	return codes
}

// pause is a positive duration of the file, or what holds where it has none.
func (l *loader) pause(d duration, absent time.Duration) time.Duration {
	switch {
	case d.Node == nil:
		return absent
	case d.Value <= 0 && !d.Node.Broken():
		l.fault(d.Node, "", "want a positive duration")
	}
	return d.Value
}
