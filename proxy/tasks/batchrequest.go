package tasks

import (
	"encoding/json"
	"fmt"
	"time"

	"pollux/proxy/access"
	"pollux/proxy/wire"
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
	if err := wire.CheckJSON(body); err != nil {
		return b, fmt.Errorf("the body %w", err)
	}
	m, err := wire.Members(body, "tasks", "wait", "until", "credentials")
	if err != nil {
		return b, fmt.Errorf("the body %w", err)
	}
	if wire.IsNull(m["tasks"]) || json.Unmarshal(m["tasks"], &b.tasks) != nil {
		return b, fmt.Errorf("tasks wants a list of references")
	}
	if len(b.tasks) > limit {
		return b, fmt.Errorf("tasks has more than %d references; limits.batch raises the limit", limit)
	}
	if raw, ok := m["wait"]; ok {
		seconds, whole := wire.WholeNumber(raw)
		if !whole || seconds < 0 {
			return b, fmt.Errorf("wait wants whole seconds")
		}
		b.wait = time.Duration(seconds) * time.Second
	}
	if raw, ok := m["until"]; ok {
		if b.untilAny = string(raw) == `"any"`; !b.untilAny && string(raw) != `"all"` {
			return b, fmt.Errorf("until wants all or any")
		}
	}
	if raw, ok := m["credentials"]; ok {
		b.credentials, err = access.ParseCredentials(raw)
	}
	return b, err
}
