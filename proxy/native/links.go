package native

import (
	"net/url"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/access"
	"pollux/proxy/wire"
)

// links leads URLs of an upstream through Pollux: Location, Content-Location
// and Link of every answer, and what the provider file declares of this one.
type links struct {
	upstream  *access.Upstream
	publicURL string   // without a slash at its end; "" makes them relative
	paths     []string // GJSON paths in the body
	declared  []string // headers, in canonical form
}

// pollLinks is for the answer to a status poll.
func pollLinks(x *access.Request, t *access.Upstream) links {
	poll := &t.Provider.Poll
	return links{t, x.Settings.PublicURL, poll.Links, poll.LinkHeaders}
}

// forwardedLinks is for the answer to a request that is forwarded.
func forwardedLinks(x *access.Request, t *access.Upstream) links {
	paths, headers := t.Parser.Links(x.Ctx.Method(), x.Rest)
	return links{t, x.Settings.PublicURL, paths, headers}
}

// body rewrites the declared strings of a JSON body, and no other byte.
func (l *links) body(b []byte) []byte { return providers.RewriteLinks(b, l.paths, l.through) }

// header is what a header whose name is in canonical form says to the client.
func (l *links) header(name, value string) string {
	switch {
	case name == "Link":
		return l.linkHeader(value)
	case name == "Location", name == "Content-Location", slices.Contains(l.declared, name):
		return l.through(value)
	}
	return value
}

// headers repeats what an upstream's answer said beside its body.
func (l *links) headers(h *fasthttp.ResponseHeader, said []cache.Header) {
	for _, f := range said {
		if fieldValue(f.Value) {
			h.Add(f.Name, l.header(f.Name, f.Value))
		}
	}
}

// etag is the validator of a status answer whose body l rewrites.
func (l *links) etag(received string) string {
	if len(l.paths) == 0 {
		return received
	}
	return wire.DerivedETag(received, []byte(l.root()))
}

// root is what the upstream's base URL is to a client.
func (l *links) root() string { return l.publicURL + access.NativePath + l.upstream.Name }

// through returns what an upstream's reference (RFC 3986, section 4.1) is to a
// client that reached the upstream through Pollux. What points below the
// base URL comes back below /native/, byte for byte after that. What is
// root-relative and points elsewhere at the upstream becomes absolute, since
// our own root has nothing of it. Other hosts and relative paths stay.
func (l *links) through(ref string) string {
	base := l.upstream.Base
	rest, rooted := ref, strings.HasPrefix(ref, "/") && !strings.HasPrefix(ref, "//")
	if scheme, after, ok := strings.Cut(ref, "://"); ok && isScheme(scheme) {
		if !strings.EqualFold(scheme, base.Scheme) {
			return ref
		}
		rest = "//" + after
	}
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		end := strings.IndexAny(after, "/?#")
		if end < 0 {
			end = len(after)
		}
		if !sameAuthority(after[:end], base) {
			return ref
		}
		rest = after[end:]
	} else if !rooted {
		return ref
	}
	tail, below := strings.CutPrefix(rest, strings.TrimSuffix(base.EscapedPath(), "/"))
	path := tail[:indexOrLen(tail, "?#")]
	if below && (tail == "" || strings.ContainsRune("/?#", rune(tail[0]))) && !climbs([]byte(path)) {
		return l.root() + tail
	}
	if rooted {
		return base.Scheme + "://" + base.Host + ref
	}
	return ref
}

func indexOrLen(s, chars string) int {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return i
	}
	return len(s)
}

// isScheme follows RFC 3986, section 3.1.
func isScheme(s string) bool {
	for i := range len(s) {
		c := wire.LowerByte(s[i])
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", rune(c))) {
			return false
		}
	}
	return s != ""
}

// sameAuthority compares host and port, the scheme's own port standing for an
// absent one.
func sameAuthority(authority string, base *url.URL) bool {
	trim := func(s string) string {
		if base.Scheme == "https" {
			return strings.TrimSuffix(s, ":443")
		}
		return strings.TrimSuffix(s, ":80")
	}
	return strings.EqualFold(trim(authority), trim(base.Host))
}

// linkHeader is through for every <target> of a Link header (RFC 8288,
// section 3). What stands in quotes is no target.
func (l *links) linkHeader(value string) string {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(value); i++ {
		c := value[i]
		b.WriteByte(c)
		switch {
		case quoted && c == '\\' && i+1 < len(value):
			i++
			b.WriteByte(value[i])
		case c == '"':
			quoted = !quoted
		case c == '<' && !quoted:
			end := strings.IndexByte(value[i:], '>')
			if end < 0 {
				continue
			}
			b.WriteString(l.through(value[i+1 : i+end]))
			i += end - 1
		}
	}
	return b.String()
}
