package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"pollux/providers"
	"pollux/proxy/problem"
)

// batchRequest is the body of a batch, checked as far as it does not concern
// single references.
type batchRequest struct {
	tasks       []json.RawMessage
	wait        time.Duration
	untilAny    bool                         // answer when one reference has finished, not when all have
	credentials map[string]map[string]string // by upstream, then by header or query parameter
}

// parseBatch reads the body of a batch with at most limit references. The
// error says what is wrong without quoting the body.
func parseBatch(body []byte, limit int) (batchRequest, error) {
	var b batchRequest
	if err := checkJSON(body); err != nil {
		return b, fmt.Errorf("the body %w", err)
	}
	m, err := members(body, "tasks", "wait", "until", "credentials")
	if err != nil {
		return b, fmt.Errorf("the body %w", err)
	}
	if isNull(m["tasks"]) || json.Unmarshal(m["tasks"], &b.tasks) != nil {
		return b, fmt.Errorf("tasks wants a list of references")
	}
	if len(b.tasks) > limit {
		return b, fmt.Errorf("tasks has more than %d references; limits.batch raises the limit", limit)
	}
	if raw, ok := m["wait"]; ok {
		if b.wait, ok = parseWait(raw); !ok {
			return b, fmt.Errorf("wait wants whole seconds")
		}
	}
	if raw, ok := m["until"]; ok {
		if b.untilAny = string(raw) == `"any"`; !b.untilAny && string(raw) != `"all"` {
			return b, fmt.Errorf("until wants all or any")
		}
	}
	if raw, ok := m["credentials"]; ok {
		b.credentials, err = parseCredentials(raw)
	}
	return b, err
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

// reference is one task of a batch: where it is looked for, or the problem
// that keeps it from being looked for.
type reference struct {
	echo    json.RawMessage // as it was sent
	target  *target
	ref     providers.Reference
	problem *problem.Problem
}

// resolve reads one reference of a batch.
func (st *settings) resolve(raw json.RawMessage) reference {
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
