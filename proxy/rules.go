package proxy

import (
	"slices"
	"time"

	"pollux/cache"
	"pollux/proxy/poller"
)

// partitions is what access needs of the engine.
type partitions interface {
	Partition(u *poller.Upstream, id *cache.ID) *poller.Partition
	MayShow(u *poller.Upstream, part *poller.Partition, now time.Time) bool
}

// rules is the part of a configuration that decides who may do what. It is
// immutable.
type rules struct {
	secret     *cache.Secret
	partitions partitions
	strict     *strictness
	clients    []client
	targets    map[string]*target // by name
	sorted     []*target          // the same, by name
}

// newRules prepares the rules for validated clients and for upstreams that are
// sorted by name.
func newRules(clients []ClientConfig, upstreams []*poller.Upstream, strict *strictness, engine partitions, secret *cache.Secret) (*rules, error) {
	r := &rules{secret: secret, partitions: engine, strict: strict, targets: make(map[string]*target, len(upstreams))}
	for i := range clients {
		c, err := newClient(&clients[i])
		if err != nil {
			return nil, err
		}
		r.clients = append(r.clients, c)
	}
	for _, u := range upstreams {
		t := newTarget(u, r.keyed())
		r.targets[u.Name] = t
		r.sorted = append(r.sorted, t)
	}
	return r, nil
}

// keyed reports whether callers need a Pollux key.
func (st *rules) keyed() bool { return len(st.clients) > 0 }

// target returns the upstream of that name, nil if there is none. Requests look
// upstreams up here and never in the engine, where a reload may be further.
func (st *rules) target(name []byte) *target { return st.targets[string(name)] }

// identityParam reports whether an upstream takes its credential in that query
// parameter.
func (st *rules) identityParam(name string) bool {
	return slices.ContainsFunc(st.sorted, func(t *target) bool { return slices.Contains(t.Provider.Identity.Query, name) })
}

// upstreams are all of them, sorted by name.
func (st *rules) upstreams() []*poller.Upstream {
	all := make([]*poller.Upstream, len(st.sorted))
	for i, t := range st.sorted {
		all[i] = t.Upstream
	}
	return all
}

// heldTargets are the upstreams whose credential headers may carry a Pollux key.
func (st *rules) heldTargets() []*target {
	var held []*target
	for _, t := range st.sorted {
		if t.Held {
			held = append(held, t)
		}
	}
	return held
}
