package access

import (
	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/poller"
)

// Restore makes the poll of a task again that was asked for before, with the
// credential that was kept since. It reports false unless the upstream is the
// same as then, base URL and identity headers included: only then are partition
// and key.
func (st *Rules) Restore(upstream string, values []string, partition, key *cache.ID, c providers.Credential) (*poller.Request, bool) {
	t := st.Targets[upstream]
	if t == nil || len(values) != len(t.Provider.Params) {
		return nil, false
	}
	var who Caller
	who.Reset(t)
	if !t.Held && !who.restore(t, c) {
		return nil, false
	}
	r := poller.Request{Upstream: t.Upstream, Reference: providers.Reference{Values: values}, Credential: who.Credential(t)}
	var id cache.ID
	who.Partition(st.Secret, t, &id)
	ReferenceKey(st.Secret, &id, r.Reference, &r.Key)
	if id != *partition || r.Key != *key {
		return nil, false
	}
	r.Partition = st.Partitions.Partition(t.Upstream, &id)
	return &r, true
}

// restore is the reverse of credential. It reports false if c is not of t.
func (c *Caller) restore(t *Target, from providers.Credential) bool {
	for _, f := range from.Headers {
		i := IndexOf(t.headers, []byte(f.Name))
		if i < 0 {
			return false
		}
		c.headers[i] = []byte(f.Value)
	}
	for _, f := range from.Query {
		i := IndexOf(t.Query, []byte(f.Name))
		if i < 0 {
			return false
		}
		c.query[i] = []byte(f.Value)
	}
	return c.Sufficient(t)
}
