package proxy

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/poller"
	"pollux/proxy/problem"
)

// engine is what the face needs of a *poller.Poller.
type engine interface {
	Partition(u *poller.Upstream, id *cache.ID) *poller.Partition
	Cached(u *poller.Upstream, part *poller.Partition, key *cache.ID, now time.Time) (poller.Answer, bool)
	Poll(ctx context.Context, r poller.Request) poller.Answer
	Cancel(ctx context.Context, r poller.Request) error
	Forget(key *cache.ID) error
	Freshen(r poller.Request)
	Register(r poller.Request, created time.Time)
	Overheard(u *poller.Upstream, part *poller.Partition, code int, header http.Header, body []byte)
	Watch(r poller.Request) (release func(), why *problem.Problem)
	Observe(o poller.Observer)
	Index() cache.Index
	Known(key *cache.ID) *cache.Entry
	MayShow(u *poller.Upstream, part *poller.Partition, now time.Time) bool
	Stuck(r *cache.Row, now time.Time) bool
	StuckCounts(sight *cache.Sight, now time.Time) map[string]int
	Allowance(u *poller.Upstream, sight *cache.Sight, now time.Time) (left int, paused time.Duration)
	History() []map[string]poller.Point
	MaxAge(u *poller.Upstream, part *poller.Partition, e *cache.Entry, now time.Time) (maxAge time.Duration, immutable bool)
	RetryAfter(u *poller.Upstream, part *poller.Partition, e *cache.Entry, now time.Time) time.Duration
}

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
