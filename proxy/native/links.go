package native

import (
	"net/url"
	"strings"

	"pollux/proxy/access"
	"pollux/proxy/wire"
)

// throughPollux returns what an upstream's reference (RFC 3986, section 4.1) is
// to a client that reached the upstream through Pollux. What points below the
// base URL comes back below /native/, byte for byte after that. What is
// root-relative and points elsewhere at the upstream becomes absolute, since
// our own root has nothing of it. Other hosts and relative paths stay.
func throughPollux(t *access.Target, ref, publicURL string) string {
	base := t.Base
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
		return publicURL + access.NativePath + t.Name + tail
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

// rewriteLink is throughPollux for every <target> of a Link header (RFC 8288,
// section 3). What stands in quotes is no target.
func rewriteLink(t *access.Target, value, publicURL string) string {
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
			b.WriteString(throughPollux(t, value[i+1:i+end], publicURL))
			i += end - 1
		}
	}
	return b.String()
}
