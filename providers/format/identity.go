package format

import (
	"net/textproto"
	"slices"

	"golang.org/x/net/http/httpguts"

	"pollux/providers/template"
)

// Need says how many of the identity headers must be sent.
type Need uint8

const (
	NeedAny  Need = iota // at least one identity header or query parameter
	NeedAll              // every one
	NeedNone             // a request without any is a caller of its own
)

// Identity lists what names the caller: it is keyed and forwarded.
type Identity struct {
	Headers []string // canonical form; the first one carries a Pollux-held credential
	Query   []string // query parameters that may carry a credential; redacted everywhere
	// Select lists headers that choose a version, a tenant or the form of the
	// answer, in canonical form. They are no secret: part of the partition and
	// forwarded in every mode, and no part of the credential.
	Select []string
	Need   Need
	Scheme string // put before a Pollux-held credential in Headers[0], as "Bearer"; "" sends it bare
}

// Enough reports whether that many of the headers and query parameters are.
func (id *Identity) Enough(headers, query int) bool {
	switch id.Need {
	case NeedAll:
		return headers == len(id.Headers)
	case NeedAny:
		return headers+query > 0
	}
	return true
}

// reservedNames are query parameters that Pollux itself reads on a task's URL.
var reservedNames = []string{"wait", "include"}

// ownHeaders are request headers that a caller's identity cannot be in: they
// belong to the connection, or Pollux sets them itself.
var ownHeaders = []string{
	"Accept", "Accept-Encoding", "Connection", "Content-Length", "Content-Type", "Cookie", "Expect", "Host",
	"Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent", "Via", "X-Pollux-Key",
}

// formHeaders are those of ownHeaders that say which form of an answer is
// wanted, which a file may choose, and let a caller choose.
var formHeaders = []string{"Accept", "Content-Type", "User-Agent"}

func (l *loader) identity() {
	f, id := &l.written.Identity, &l.file.Identity
	id.Headers = l.headers(f.Headers, "identity.headers", nil)
	id.Select = l.headers(f.Select, "identity.select", []string{"Accept"})
	for i, name := range id.Select {
		if name == "Authorization" || slices.Contains(id.Headers, name) {
			l.fault(f.Select[i].Node, "", "is a credential, or listed in identity.headers: select is for what is no secret, such as a version")
		}
	}
	for _, q := range f.Query {
		switch {
		case !template.IsName(q.Value) || slices.Contains(reservedNames, q.Value):
			l.fault(q.Node, "identity.query", "want the name of a query parameter that Pollux does not use itself")
		case slices.Contains(id.Query, q.Value):
			l.fault(q.Node, "identity.query", "is listed twice")
		}
		id.Query = append(id.Query, q.Value)
	}
	need, ok := map[string]Need{"": NeedAny, "any": NeedAny, "all": NeedAll, "none": NeedNone}[f.Need.Value]
	if !ok {
		l.fault(f.Need.Node, "identity.need", "want any, all or none")
	}
	id.Need = need
	if need != NeedNone && len(id.Headers)+len(id.Query) == 0 {
		l.fault(nil, "identity", "wants the headers that name the caller, or need: none")
	}
	id.Scheme = f.Scheme.Value
	if f.Scheme.Node == nil && len(id.Headers) > 0 && id.Headers[0] == "Authorization" {
		id.Scheme = "Bearer"
	}
	if id.Scheme != "" && !httpguts.ValidHeaderFieldName(id.Scheme) {
		l.fault(f.Scheme.Node, "identity.scheme", "want a word such as Bearer, or nothing")
	}
}

// headers checks a list of request headers and returns them in canonical form.
// Those in allowed may be among them though Pollux usually sets them itself.
func (l *loader) headers(list []text, key string, allowed []string) []string {
	var names []string
	for _, h := range list {
		name := textproto.CanonicalMIMEHeaderKey(h.Value)
		switch {
		case !httpguts.ValidHeaderFieldName(h.Value):
			l.fault(h.Node, key, "want the name of a request header")
		case slices.Contains(ownHeaders, name) && !slices.Contains(allowed, name):
			l.fault(h.Node, key, "is a header that Pollux sets itself")
		case slices.Contains(names, name):
			l.fault(h.Node, key, "is listed twice")
		}
		names = append(names, name)
	}
	return names
}
