package access

import (
	"crypto/hmac"

	"github.com/valyala/fasthttp"

	"pollux/cache"
	"pollux/providers"
)

// originDomain is that of the keyed hash which proves a caller's credential.
const originDomain = "origin"

// Origin is how something at an upstream was reached when it was asked for: enough to know later whether that upstream is still the one, and
// the caller the same.
type Origin struct {
	Base string `json:"base"`
	Held bool   `json:"held,omitempty"` // the credential is ours
	// Headers and Query name what the caller's own credential was made of, Proof
	// is a keyed hash of its values.
	Headers []string `json:"headers,omitempty"`
	Query   []string `json:"query,omitempty"`
	Proof   []byte   `json:"proof,omitempty"`
}

// Origin says how a caller reached t with its credential c.
func (st *Rules) Origin(t *Upstream, c providers.Credential) Origin {
	o := Origin{Base: string(t.base), Held: t.Held}
	if t.Held {
		return o
	}
	h := st.Secret.Hash(originDomain)
	h.PartString(t.Name)
	for _, f := range c.Headers {
		o.Headers = append(o.Headers, f.Name)
		h.PartString(f.Value)
	}
	for _, f := range c.Query {
		o.Query = append(o.Query, f.Name)
		h.PartString(f.Value)
	}
	var sum cache.ID
	h.Sum(&sum)
	o.Proof = sum[:]
	return o
}

// Reaches reports whether an upstream is still where and what it was.
func (st *Rules) Reaches(name string, o Origin) bool {
	t := st.Upstreams[name]
	return t != nil && string(t.base) == o.Base && t.Held == o.Held
}

// Proves reports whether a request comes with the credential with which name was
// reached, whatever became of that upstream. sent are its query parameters, escaped.
func (st *Rules) Proves(name string, o Origin, header *fasthttp.RequestHeader, sent map[string][]byte) bool {
	if o.Held || len(o.Headers)+len(o.Query) == 0 {
		return false
	}
	h := st.Secret.Hash(originDomain)
	h.PartString(name)
	for _, n := range o.Headers {
		h.Part(header.Peek(n))
	}
	for _, n := range o.Query {
		h.Part(sent[n])
	}
	var sum cache.ID
	h.Sum(&sum)
	return hmac.Equal(sum[:], o.Proof)
}
