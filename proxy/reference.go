package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/valyala/fasthttp"

	"pollux/providers"
	"pollux/proxy/problem"
)

// reference is one task of a batch: where it is looked for, or the problem
// that keeps it from being looked for.
type reference struct {
	echo    json.RawMessage // as it was sent
	target  *target
	ref     providers.Reference
	problem *problem.Problem
}

// resolve reads one reference of a batch.
func (st *rules) resolve(raw json.RawMessage) reference {
	r := reference{echo: raw}
	var name, path string
	var id []string
	var params map[string]string
	if err := json.Unmarshal(raw, &path); err == nil && !isNull(raw) {
		name, path, _ = strings.Cut(path, "/")
	} else if name, id, params, err = parseReference(raw); err != nil {
		r.problem = invalid(err.Error())
		return r
	}
	if r.target = st.targets[name]; r.target == nil {
		r.problem = problemNoUpstream
		return r
	}
	var err error
	if path != "" || id == nil {
		r.ref, err = r.target.Parser.ParseString(path)
	} else {
		r.ref, err = r.target.Parser.FromValues(id, params)
	}
	if err != nil {
		r.problem = invalid(err.Error())
		if r.target.mentioned(raw) {
			r.echo = json.RawMessage("null")
		}
	}
	return r
}

// mentioned reports whether a reference may hold a credential, which belongs
// elsewhere and is not shown again.
func (t *target) mentioned(raw []byte) bool {
	for _, name := range t.query {
		if bytes.Contains(raw, name) {
			return true
		}
	}
	return false
}

// parseReference reads the object form of a reference.
func parseReference(raw json.RawMessage) (upstream string, id []string, params map[string]string, err error) {
	m, err := members(raw, "upstream", "id", "params")
	if err != nil {
		return "", nil, nil, fmt.Errorf("a reference wants to be a string, or an object of upstream, id and params")
	}
	if isNull(m["upstream"]) || json.Unmarshal(m["upstream"], &upstream) != nil {
		return "", nil, nil, fmt.Errorf("upstream wants a name")
	}
	id, ok := stringList(m["id"])
	if !ok {
		return "", nil, nil, fmt.Errorf("id wants a list of strings")
	}
	if raw, sent := m["params"]; sent {
		if params, ok = stringMap(raw); !ok {
			return "", nil, nil, fmt.Errorf("params wants an object of strings")
		}
	}
	return upstream, id, params, nil
}

func parseCredentials(raw json.RawMessage) (map[string]map[string]string, error) {
	var m map[string]json.RawMessage
	if isNull(raw) || json.Unmarshal(raw, &m) != nil {
		return nil, fmt.Errorf("credentials wants an object by upstream")
	}
	out := make(map[string]map[string]string, len(m))
	for upstream, value := range m {
		fields, ok := stringMap(value)
		if !ok {
			return nil, fmt.Errorf("credentials wants headers with strings as values for each upstream")
		}
		out[upstream] = fields
	}
	return out, nil
}

// callersOf makes the caller of every upstream that references name. The
// headers of the request itself serve when they can be meant for one upstream
// only, and carry no Pollux key.
func (st *rules) callersOf(h *fasthttp.RequestHeader, credentials map[string]map[string]string, refs []reference, inHeader bool) (map[*target]*caller, error) {
	byName := map[string]*target{}
	for name := range credentials {
		t := st.targets[name]
		if t == nil || t.Held {
			return nil, errCredentialsUpstream
		}
		byName[name] = t
	}
	callers := map[*target]*caller{}
	named := 0
	for i := range refs {
		t := refs[i].target
		if t == nil || callers[t] != nil {
			continue
		}
		callers[t] = &caller{}
		callers[t].reset(t)
		if !t.Held {
			named++
		}
	}
	for name, t := range byName {
		c := callers[t]
		if c == nil {
			c = &caller{}
			c.reset(t)
		}
		if err := c.readFields(t, credentials[name]); err != nil {
			return nil, err
		}
	}
	if named == 1 && !inHeader {
		for t, c := range callers {
			if _, given := credentials[t.Name]; !t.Held && !given {
				c.readHeaders(t, h)
			}
		}
	}
	return callers, nil
}
