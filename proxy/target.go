package proxy

import (
	"slices"
	"strings"
	"time"

	"pollux/providers"
	"pollux/proxy/poller"
)

// target is an upstream with what every request to it needs prepared.
type target struct {
	*poller.Upstream
	base       []byte
	headers    [][]byte // identity headers, canonical
	query      [][]byte // identity query parameters
	held       providers.Credential
	vary       []byte
	nativeVary []byte // of a native status poll
	challenge  string // WWW-Authenticate of a 401
}

// newTarget prepares u. keyed says that callers bring Pollux keys.
func newTarget(u *poller.Upstream, keyed bool) *target {
	id := &u.Provider.Identity
	t := &target{Upstream: u, base: []byte(u.Base.String())}
	vary := slices.Clone(id.Headers)
	for _, name := range id.Headers {
		t.headers = append(t.headers, []byte(name))
	}
	for _, name := range id.Query {
		t.query = append(t.query, []byte(name))
	}
	if u.Held {
		t.held = u.Provider.HeldCredential(u.Config.Credential.Value)
	}
	if keyed || u.Held {
		vary = appendOnce(vary, "Authorization")
		vary = appendOnce(vary, keyHeader)
	}
	if keyed {
		vary = appendOnce(vary, "Cookie") // a session
	}
	vary = slices.Clip(vary)
	t.vary = []byte(strings.Join(append(vary, "Accept", "Prefer"), ", "))
	t.nativeVary = []byte(strings.Join(append(append(appendOnce(vary, "Cookie"), "Range"), u.Provider.Poll.Bypass.Headers...), ", "))
	scheme := id.Scheme
	if scheme == "" {
		scheme = "ApiKey"
	}
	t.challenge = scheme + ` realm="` + u.Name + `"`
	return t
}

func appendOnce(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// identityNames are the headers of all upstreams that name callers.
func identityNames(upstreams []*poller.Upstream) []string {
	var names []string
	for _, u := range upstreams {
		for _, name := range u.Provider.Identity.Headers {
			names = appendOnce(names, name)
		}
	}
	return names
}

// validity is how long the entry of a holds for the partition.
func (t *target) validity(part *poller.Partition, a *poller.Answer, now time.Time) validity {
	v := validity{age: a.Entry.Age(now), cache: a.Cache}
	v.maxAge, v.immutable = t.MaxAge(part, a.Entry, now)
	return v
}
