package access

import (
	"bytes"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/problem"
)

// Domains of the keyed hashes.
const (
	partitionDomain = "partition"
	keyDomain       = "key"
)

// Caller is the credential of a request as it stands in the request's buffers.
// An empty value counts as not sent: it is neither keyed nor forwarded.
type Caller struct {
	headers [][]byte // by Upstream.headers; nil: not sent
	selects [][]byte // by Upstream.selects, likewise; no part of the credential itself
	query   [][]byte // by Upstream.query, escaped as sent; nil: not sent
}

// Reset makes room for the identity of t.
func (c *Caller) Reset(t *Upstream) {
	c.headers = resized(c.headers, len(t.headers))
	c.selects = resized(c.selects, len(t.selects))
	c.query = resized(c.query, len(t.Query))
}

func resized(b [][]byte, n int) [][]byte {
	if cap(b) < n {
		return make([][]byte, n)
	}
	b = b[:n]
	clear(b)
	return b
}

// ReadHeaders takes the identity headers of a request.
func (c *Caller) ReadHeaders(t *Upstream, h *fasthttp.RequestHeader) {
	readHeaders(c.headers, t.headers, h)
}

// ReadSelects takes the headers of a request that select a version or form.
// They are no secret, so they count whoever holds the credential. An Accept that
// asks for a stream of events asks Pollux for it, and no vendor.
func (c *Caller) ReadSelects(t *Upstream, h *fasthttp.RequestHeader) {
	readHeaders(c.selects, t.selects, h)
	for i, name := range t.selects {
		if string(name) == fasthttp.HeaderAccept && bytes.Contains(c.selects[i], eventStream) {
			c.selects[i] = nil
		}
	}
}

var eventStream = []byte("text/event-stream")

func readHeaders(values, names [][]byte, h *fasthttp.RequestHeader) {
	for i, name := range names {
		if value := h.PeekCanonical(name); len(value) > 0 && values[i] == nil {
			values[i] = value
		}
	}
}

// readQuery takes the identity parameters of t.
func (c *Caller) readQuery(t *Upstream, sent map[string][]byte) {
	for i, name := range t.Query {
		if value := sent[string(name)]; len(value) > 0 {
			c.query[i] = value
		}
	}
}

// sentAny reports whether anything was sent that names a caller.
func (c *Caller) sentAny() bool {
	return sent(c.headers)+sent(c.query) > 0
}

// Sufficient reports whether what was sent is what the provider demands.
func (c *Caller) Sufficient(t *Upstream) bool {
	return t.Provider.Identity.Enough(sent(c.headers), sent(c.query))
}

// sent is how many of the values there are.
func sent(values [][]byte) (n int) {
	for _, v := range values {
		if v != nil {
			n++
		}
	}
	return n
}

// Partition stores in id who may share answers: everybody who sends exactly
// this, to this upstream. All callers of a held upstream share one, apart from
// what they select.
func (c *Caller) Partition(secret *cache.Secret, t *Upstream, id *cache.ID) {
	c.partition(secret, t, c.selects, id)
}

// selected reports whether the caller selects anything, and does not merely send
// its credential.
func (c *Caller) selected() bool {
	return slices.ContainsFunc(c.selects, func(v []byte) bool { return v != nil })
}

func (c *Caller) partition(secret *cache.Secret, t *Upstream, selects [][]byte, id *cache.ID) {
	h := secret.Hash(partitionDomain)
	h.PartString(t.Name)
	h.Part(t.base)
	parts := [...][][]byte{c.headers, c.query, selects}
	if t.Held {
		h.PartString("held")
		parts = [...][][]byte{nil, nil, selects}
	}
	for _, values := range parts {
		for _, v := range values {
			if v == nil {
				h.Absent()
			} else {
				h.Part(v)
			}
		}
	}
	h.Sum(id)
}

// Credential returns a copy that outlives the request.
func (c *Caller) Credential(t *Upstream) providers.Credential {
	var out providers.Credential
	if t.Held {
		out = t.HeldCredential()
	} else {
		out = providers.Credential{Headers: sentFields(t.headers, c.headers), Query: sentFields(t.Query, c.query)}
	}
	out.Select = sentFields(t.selects, c.selects)
	return out
}

// sentFields copies what was sent under names.
func sentFields(names, values [][]byte) (out []providers.Field) {
	for i, v := range values {
		if v != nil {
			out = append(out, providers.Field{Name: string(names[i]), Value: string(v)})
		}
	}
	return out
}

// entryKey stores in id the key of a task in a partition.
func entryKey(secret *cache.Secret, partition *cache.ID, v *providers.View, id *cache.ID) {
	h := secret.Hash(keyDomain)
	h.Part(partition[:])
	for i := range v.Len() {
		if value := v.At(i); value == nil {
			h.Absent()
		} else {
			h.Part(value)
		}
	}
	h.Sum(id)
}

// ReferenceKey is entryKey for a reference that was copied.
func ReferenceKey(secret *cache.Secret, partition *cache.ID, r providers.Reference, id *cache.ID) {
	h := secret.Hash(keyDomain)
	h.Part(partition[:])
	for _, value := range r.Values {
		if value == "" {
			h.Absent()
		} else {
			h.PartString(value)
		}
	}
	h.Sum(id)
}

// NoCredential is the problem of a request that lacks the upstream's credential.
func NoCredential(t *Upstream) *problem.Problem {
	return &problem.Problem{Type: problem.Unauthorized, Status: 401, Upstream: t.Name,
		Detail: "the upstream's credential is missing"}
}

var (
	errCredentialsUpstream = errors.New("credentials names what is no upstream in caller mode")
	errCredentialsHeader   = errors.New("credentials names a header that is no credential of its upstream, or one twice")
	errCredentialsValue    = errors.New("credentials holds a value that cannot stand in a header")
)

// readFields takes the identity of t out of a list by name, header names in
// any case.
func (c *Caller) readFields(t *Upstream, fields map[string]string) error {
	for name, value := range fields {
		var slot *[]byte
		if i := slices.IndexFunc(t.headers, func(h []byte) bool { return strings.EqualFold(string(h), name) }); i >= 0 {
			slot = &c.headers[i]
		} else if i := slices.IndexFunc(t.selects, func(h []byte) bool { return strings.EqualFold(string(h), name) }); i >= 0 {
			slot = &c.selects[i]
		} else if i := IndexOf(t.Query, []byte(name)); i >= 0 {
			slot, value = &c.query[i], url.QueryEscape(value)
		}
		if slot == nil || *slot != nil {
			return errCredentialsHeader
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }) {
			return errCredentialsValue
		}
		if value = strings.Trim(value, " \t"); value != "" {
			*slot = []byte(value)
		}
	}
	return nil
}
