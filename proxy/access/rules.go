package access

import (
	"slices"
	"sync/atomic"

	"pollux/cache"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/wire"
)

// Partitions is what access needs of the engine.
type Partitions interface {
	Partition(u *upstream.Upstream, id *cache.ID) *upstream.Partition
}

// Partition is what the engine knows of c at t, whose partition id is.
func (r *Rules) Partition(c *Caller, t *Upstream, id *cache.ID) *upstream.Partition {
	part := r.Partitions.Partition(t.Upstream, id)
	if c.selected() && part.Credential() == part { // nobody said yet whose credential it has
		var credential cache.ID
		c.partition(r.Secret, t, make([][]byte, len(c.selects)), &credential)
		part.Under(r.Partitions.Partition(t.Upstream, &credential))
	}
	return part
}

// Rules is the part of a configuration that decides who may do what. It is
// immutable, but for its successor.
type Rules struct {
	Secret     *cache.Secret
	Partitions Partitions
	Strict     *wire.Strictness
	clients    []Client
	Upstreams  map[string]*Upstream // by name
	Sorted     []*Upstream          // the same, by name

	replaced chan struct{} // closed once next is set
	next     atomic.Pointer[Rules]
}

// NewRules prepares the rules for validated clients and for upstreams that are
// sorted by name.
func NewRules(clients []ClientConfig, upstreams []*upstream.Upstream, strict *wire.Strictness, engine Partitions, secret *cache.Secret) (*Rules, error) {
	r := &Rules{Secret: secret, Partitions: engine, Strict: strict, Upstreams: make(map[string]*Upstream, len(upstreams)),
		replaced: make(chan struct{})}
	for i := range clients {
		c, err := newClient(&clients[i])
		if err != nil {
			return nil, err
		}
		r.clients = append(r.clients, c)
	}
	for _, u := range upstreams {
		t := newUpstream(u, r.Keyed())
		r.Upstreams[u.Name] = t
		r.Sorted = append(r.Sorted, t)
	}
	return r, nil
}

// Keyed reports whether callers need a Pollux key.
func (st *Rules) Keyed() bool { return len(st.clients) > 0 }

// Upstream returns the upstream of that name, nil if there is none. Requests look
// upstreams up here and never in the engine, where a reload may be further.
func (st *Rules) Upstream(name []byte) *Upstream { return st.Upstreams[string(name)] }

// IdentityParam reports whether an upstream takes its credential in that query
// parameter.
func (st *Rules) IdentityParam(name string) bool {
	return slices.ContainsFunc(st.Sorted, func(t *Upstream) bool { return slices.Contains(t.Provider.Identity.Query, name) })
}

// upstreams are all of them, sorted by name.
func (st *Rules) upstreams() []*upstream.Upstream {
	all := make([]*upstream.Upstream, len(st.Sorted))
	for i, t := range st.Sorted {
		all[i] = t.Upstream
	}
	return all
}

// heldUpstreams are the upstreams whose credential headers may carry a Pollux key.
func (st *Rules) heldUpstreams() []*Upstream {
	var held []*Upstream
	for _, t := range st.Sorted {
		if t.Held {
			held = append(held, t)
		}
	}
	return held
}
