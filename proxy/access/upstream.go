package access

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

// Upstream is an upstream with what every request to it needs prepared.
type Upstream struct {
	*upstream.Upstream
	base       []byte
	headers    [][]byte // identity headers, canonical
	selects    [][]byte // headers that select a version or form, canonical
	Query      [][]byte // identity query parameters
	Vary       []byte
	NativeVary []byte // of a native status poll
	Challenge  string // WWW-Authenticate of a 401
}

// newUpstream prepares u. keyed says that callers bring Pollux keys.
func newUpstream(u *upstream.Upstream, keyed bool) *Upstream {
	id := &u.Provider.Identity
	t := &Upstream{Upstream: u, base: []byte(u.Base.String())}
	vary := slices.Concat(id.Headers, id.Select)
	for _, name := range id.Headers {
		t.headers = append(t.headers, []byte(name))
	}
	for _, name := range id.Select {
		t.selects = append(t.selects, []byte(name))
	}
	for _, name := range id.Query {
		t.Query = append(t.Query, []byte(name))
	}
	if keyed || u.Held {
		vary = appendOnce(vary, "Authorization")
		vary = appendOnce(vary, KeyHeader)
	}
	if keyed {
		vary = appendOnce(vary, "Cookie") // a session
	}
	vary = slices.Clip(vary)
	t.Vary = []byte(strings.Join(append(vary, "Accept", "Prefer"), ", "))
	t.NativeVary = []byte(strings.Join(append(append(appendOnce(vary, "Cookie"), "Range"), u.Provider.Poll.Bypass.Headers...), ", "))
	scheme := cmp.Or(id.Scheme, "ApiKey")
	t.Challenge = scheme + ` realm="` + u.Name + `"`
	return t
}

func appendOnce(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// IdentityNames are the headers of all upstreams that name callers, or part what
// they see.
func IdentityNames(upstreams []*upstream.Upstream) []string {
	var names []string
	for _, u := range upstreams {
		for _, name := range slices.Concat(u.Provider.Identity.Headers, u.Provider.Identity.Select) {
			names = appendOnce(names, name)
		}
	}
	return names
}

// Validity is how long the entry of a holds for the partition.
func (t *Upstream) Validity(part *upstream.Partition, a *poller.Answer, now time.Time) wire.Validity {
	v := wire.Validity{Age: a.Entry.Age(now), Cache: a.Cache}
	v.MaxAge, v.Immutable = t.MaxAge(part, a.Entry, now)
	return v
}

// PollAfter says when asking again can tell more than a's entry does: in whole
// seconds, at least one.
func (x *Request) PollAfter(t *Upstream, part *upstream.Partition, a *poller.Answer) {
	x.Header = strconv.AppendInt(x.Header[:0], max(1, problem.WholeSeconds(max(a.RetryAfter, t.RetryAfter(part, a.Entry, x.Now)))), 10)
	x.SetHeader(wire.HeaderRetryAfter, x.Header)
}
