package access

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/valyala/fasthttp"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/poller"
	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

// Reference is one task of a batch: where it is looked for, or the problem
// that keeps it from being looked for.
type Reference struct {
	Echo     json.RawMessage // as it was sent
	Upstream *Upstream
	Ref      providers.Reference
	Problem  *problem.Problem
}

// Resolve reads one reference of a batch, for a client to do what scope names.
func (st *Rules) Resolve(raw json.RawMessage, c *Client, scope string) Reference {
	r := st.resolve(raw)
	if r.Problem == nil {
		r.Problem = Permit(c, scope, r.Upstream)
	}
	return r
}

func (st *Rules) resolve(raw json.RawMessage) Reference {
	r := Reference{Echo: raw}
	var name, path string
	var id []string
	var params map[string]string
	if err := json.Unmarshal(raw, &path); err == nil && !wire.IsNull(raw) {
		name, path, _ = strings.Cut(path, "/")
	} else if name, id, params, err = parseReference(raw); err != nil {
		r.Problem = wire.Invalid(err.Error())
		return r
	}
	if r.Upstream = st.Upstreams[name]; r.Upstream == nil {
		r.Problem = wire.ProblemNoUpstream
		return r
	}
	var err error
	if path != "" || id == nil {
		r.Ref, err = r.Upstream.Parser.ParseString(path)
	} else {
		r.Ref, err = r.Upstream.Parser.FromValues(id, params)
	}
	if err != nil {
		r.Problem = wire.Invalid(err.Error())
		if r.Upstream.mentioned(raw) {
			r.Echo = json.RawMessage("null")
		}
	}
	return r
}

// mentioned reports whether a reference may hold a credential, which belongs
// elsewhere and is not shown again.
func (t *Upstream) mentioned(raw []byte) bool {
	for _, name := range t.Query {
		if bytes.Contains(raw, name) {
			return true
		}
	}
	return false
}

// parseReference reads the object form of a reference.
func parseReference(raw json.RawMessage) (upstream string, id []string, params map[string]string, err error) {
	m, err := wire.Members(raw, "upstream", "id", "params")
	if err != nil {
		return "", nil, nil, fmt.Errorf("a reference wants to be a string, or an object of upstream, id and params")
	}
	if wire.IsNull(m["upstream"]) || json.Unmarshal(m["upstream"], &upstream) != nil {
		return "", nil, nil, fmt.Errorf("upstream wants a name")
	}
	id, ok := wire.StringList(m["id"])
	if !ok {
		return "", nil, nil, fmt.Errorf("id wants a list of strings")
	}
	if raw, sent := m["params"]; sent {
		if params, ok = wire.StringMap(raw); !ok {
			return "", nil, nil, fmt.Errorf("params wants an object of strings")
		}
	}
	return upstream, id, params, nil
}

func ParseCredentials(raw json.RawMessage) (map[string]map[string]string, error) {
	var m map[string]json.RawMessage
	if wire.IsNull(raw) || json.Unmarshal(raw, &m) != nil {
		return nil, fmt.Errorf("credentials wants an object by upstream")
	}
	out := make(map[string]map[string]string, len(m))
	for upstream, value := range m {
		fields, ok := wire.StringMap(value)
		if !ok {
			return nil, fmt.Errorf("credentials wants headers with strings as values for each upstream")
		}
		out[upstream] = fields
	}
	return out, nil
}

// PollOf is the poll of a task at t by c, or the problem that c lacks its credential.
func (st *Rules) PollOf(c *Caller, t *Upstream, ref providers.Reference) (poller.Request, *problem.Problem) {
	if !t.Held && !c.Sufficient(t) {
		return poller.Request{}, NoCredential(t)
	}
	id := new(cache.ID)
	c.Partition(st.Secret, t, id)
	r := poller.Request{Upstream: t.Upstream, Partition: st.Partition(c, t, id), Reference: ref, Credential: c.Credential(t)}
	ReferenceKey(st.Secret, id, ref, &r.Key)
	return r, nil
}

// Callers makes the caller of every upstream that references name. The
// headers of the request itself serve when they can be meant for one upstream
// only, and carry no Pollux key.
func (st *Rules) Callers(h *fasthttp.RequestHeader, credentials map[string]map[string]string, refs []Reference, inHeader bool) (map[*Upstream]*Caller, error) {
	byName := map[string]*Upstream{}
	for name := range credentials {
		t := st.Upstreams[name]
		if t == nil || t.Held {
			return nil, errCredentialsUpstream
		}
		byName[name] = t
	}
	callers := map[*Upstream]*Caller{}
	named := 0
	for i := range refs {
		t := refs[i].Upstream
		if t == nil || callers[t] != nil {
			continue
		}
		callers[t] = &Caller{}
		callers[t].Reset(t)
		if !t.Held {
			named++
		}
	}
	for name, t := range byName {
		c := callers[t]
		if c == nil {
			c = &Caller{}
			c.Reset(t)
		}
		if err := c.readFields(t, credentials[name]); err != nil {
			return nil, err
		}
	}
	for t, c := range callers {
		c.ReadSelects(t, h)
	}
	if named == 1 && !inHeader {
		for t, c := range callers {
			if _, given := credentials[t.Name]; !t.Held && !given {
				c.ReadHeaders(t, h)
			}
		}
	}
	return callers, nil
}
