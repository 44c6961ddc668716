package wire

import (
	"bytes"
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"
)

const (
	// maxTarget is what RFC 9110, section 4.1, asks every recipient to
	// support, and a little more.
	maxTarget      = 8 << 10
	maxHeaderLines = 100
)

// Facts is what the strict check found out about a request that passed. The
// slices point into the request's buffers.
type Facts struct {
	Path, Query []byte // of the target as sent; query without "?", nil if absent
	Star        bool   // the target is "*"
	BodyLength  int64  // -1: chunked
	expects     bool   // 100-continue
	Close       bool   // the client wants the connection closed
}

func (f *Facts) HasBody() bool { return f.BodyLength != 0 }

// Strictness is the configured part of the strict check.
type Strictness struct {
	rules    headerRules
	Loopback bool     // answer only to names of this machine
	hosts    []string // other host names that are ours, lower case, without port
	Origins  []string // origins that may change state, lower case
}

// NewStrictness prepares the check for a validated configuration.
func NewStrictness(publicURL, host string, identity []string) Strictness {
	s := Strictness{rules: newHeaderRules(identity), Loopback: LoopbackHost(host)}
	if u, err := url.Parse(publicURL); err == nil && u.Host != "" {
		name := lower(u.Hostname())
		if strings.Contains(name, ":") {
			name = "[" + name + "]"
		}
		s.hosts = []string{name}
		s.Origins = []string{lower(u.Scheme + "://" + u.Host)}
	}
	return s
}

// Check decides whether a request is exact enough to be routed. It reads the
// header block as it was sent, since the parsed one hides folded lines, bare
// line feeds, and conflicting framing (RFC 9112, sections 2.2, 3, 5, 6). It
// does not allocate.
func (s *Strictness) Check(h *fasthttp.RequestHeader, f *Facts) *Refusal {
	*f = Facts{}
	http10 := false
	switch string(h.Protocol()) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		http10 = true
	default:
		return refuseVersion
	}
	if !KnownMethod(h.Method()) {
		return refuseMethod
	}
	authority, refused := f.setTarget(h.Method(), h.RequestURI())
	if refused != nil {
		return refused
	}
	b := block{rules: &s.rules, http10: http10}
	if refused := b.read(h.RawHeaders(), f); refused != nil {
		return refused
	}
	if authority != nil && !s.ours(authority, b.host) {
		return refuseTarget
	}
	if s.Loopback && !s.hostAllowed(b.host) {
		return refuseMisdirected
	}
	if s.Loopback && b.origin != nil && ChangesState(h.Method()) && !s.originAllowed(b.origin, b.host) {
		return RefuseOrigin
	}
	return nil
}

func KnownMethod(m []byte) bool {
	switch string(m) {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return true
	}
	return false
}

func ChangesState(m []byte) bool {
	switch string(m) {
	case "GET", "HEAD", "OPTIONS":
		return false
	}
	return true
}

// ReadTarget is the part of the check that concerns the target, for one that is
// only a path, and a query.
func (f *Facts) ReadTarget(h *fasthttp.RequestHeader) bool {
	*f = Facts{}
	authority, refused := f.setTarget(h.Method(), h.RequestURI())
	return authority == nil && refused == nil
}

// setTarget splits the request target (RFC 9112, section 3.2). It returns the
// authority of an absolute-form one, else nil.
func (f *Facts) setTarget(method, target []byte) (authority []byte, _ *Refusal) {
	if len(target) > maxTarget {
		return nil, RefuseTargetLength
	}
	for _, c := range target {
		if c <= ' ' || c > '~' || c == '#' || c == '\\' {
			return nil, refuseTarget
		}
	}
	switch {
	case len(target) == 1 && target[0] == '*':
		if string(method) != "OPTIONS" {
			return nil, refuseTarget
		}
		f.Star = true
		return nil, nil
	case len(target) > 0 && target[0] == '/':
	default:
		rest, ok := CutScheme(target)
		if !ok {
			return nil, refuseTarget
		}
		end := bytes.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		if authority, target = rest[:end], rest[end:]; len(authority) == 0 {
			return nil, refuseTarget
		}
	}
	f.Path = target
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		f.Path, f.Query = target[:i], target[i+1:]
	}
	return authority, nil
}

func CutScheme(target []byte) (rest []byte, ok bool) {
	for _, scheme := range [...]string{"http://", "https://"} {
		if len(target) >= len(scheme) && FoldEqual(target[:len(scheme)], scheme) {
			return target[len(scheme):], true
		}
	}
	return nil, false
}

// block is one pass over a header block.
type block struct {
	rules  *headerRules
	http10 bool

	seen         uint64 // bits of rules
	host, origin []byte
	chunked      bool
	lengthSeen   bool
}

func (b *block) read(raw []byte, f *Facts) *Refusal {
	for lines := 0; len(raw) > 0; lines++ {
		end := bytes.IndexByte(raw, '\n')
		if end < 1 || raw[end-1] != '\r' {
			return refuseLine
		}
		line := raw[:end-1]
		raw = raw[end+1:]
		if len(line) == 0 {
			if len(raw) > 0 {
				return refuseLine
			}
			break
		}
		if lines == maxHeaderLines {
			return refuseHeaders
		}
		if refused := b.line(line, f); refused != nil {
			return refused
		}
	}
	if b.host == nil {
		return refuseHost
	}
	if b.chunked && b.lengthSeen {
		return refuseFraming
	}
	if b.chunked {
		f.BodyLength = -1
	}
	if f.expects && b.http10 {
		return refuseExpectation
	}
	return nil
}

func (b *block) line(line []byte, f *Facts) *Refusal {
	colon, underscore := 0, false
	for colon < len(line) && tokenBytes[line[colon]] {
		underscore = underscore || line[colon] == '_'
		colon++
	}
	if colon == 0 || colon == len(line) || line[colon] != ':' {
		return refuseLine
	}
	value := TrimOWS(line[colon+1:])
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return refuseLine
		}
	}
	rule := b.rules.find(line[:colon])
	if rule == nil {
		return nil
	}
	if underscore {
		return refuseUnderscore // CGI-style servers would take it for the one with hyphens
	}
	if rule.once {
		if b.seen&rule.bit != 0 {
			return refuseDuplicate
		}
		b.seen |= rule.bit
	}
	return b.meaning(rule.role, value, f)
}

func (b *block) meaning(role headerRole, value []byte, f *Facts) *Refusal {
	switch role {
	case roleHost:
		if !validAuthority(value) {
			return refuseHost
		}
		b.host = value
	case roleOrigin:
		b.origin = value
	case roleLength:
		b.lengthSeen = true
		n, ok := parseLength(value)
		if !ok {
			return refuseFraming
		}
		f.BodyLength = n
	case roleCoding:
		if b.http10 || string(value) != "chunked" {
			return refuseFraming
		}
		b.chunked = true
	case roleExpect:
		if !FoldEqual(value, "100-continue") {
			return refuseExpectation
		}
		f.expects = true
	case roleConnection:
		return b.connection(value, f)
	}
	return nil
}

// connection reads the options of a Connection header. One that names an
// identity header would have it dropped on the way, and an anonymous answer
// kept under the caller's name.
func (b *block) connection(value []byte, f *Facts) *Refusal {
	for len(value) > 0 {
		option := value
		if i := bytes.IndexByte(value, ','); i >= 0 {
			option, value = value[:i], value[i+1:]
		} else {
			value = nil
		}
		option = TrimOWS(option)
		if FoldEqual(option, "close") {
			f.Close = true
		}
		if rule := b.rules.find(option); rule != nil && rule.role == roleIdentity {
			return refuseHopByHop
		}
	}
	return nil
}

// parseLength reads digits without a leading zero. Anything from 10^18 on is
// refused: no limit is that high.
func parseLength(value []byte) (n int64, ok bool) {
	if len(value) == 0 || len(value) > 18 || value[0] == '0' && len(value) > 1 {
		return 0, false
	}
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
