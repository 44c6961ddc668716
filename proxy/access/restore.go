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
	t := st.Upstreams[upstream]
	if t == nil || len(values) != len(t.Provider.Params) {
		return nil, false
	}
	var who Caller
	who.Reset(t)
	if !who.restore(t, c) {
		return nil, false
	}
	r := poller.Request{Upstream: t.Upstream, Reference: providers.Reference{Values: values}, Credential: who.Credential(t)}
	var id cache.ID
	who.Partition(st.Secret, t, &id)
	ReferenceKey(st.Secret, &id, r.Reference, &r.Key)
	if id != *partition || r.Key != *key {
		return nil, false
	}
	r.Partition = st.Partition(&who, t, &id)
	return &r, true
}

// restore is the reverse of credential. It reports false if c is not of t. Of a
// held upstream only what was selected is the caller's.
func (c *Caller) restore(t *Upstream, from providers.Credential) bool {
	if !restoreFields(c.selects, t.selects, from.Select) {
		return false
	}
	return t.Held || restoreFields(c.headers, t.headers, from.Headers) && restoreFields(c.query, t.Query, from.Query) && c.Sufficient(t)
}

func restoreFields(values, names [][]byte, from []providers.Field) bool {
	for _, f := range from {
		i := IndexOf(names, []byte(f.Name))
		if i < 0 {
			return false
		}
		values[i] = []byte(f.Value)
	}
	return true
}
