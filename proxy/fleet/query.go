package fleet

import (
	"slices"
	"strings"
	"time"

	"pollux/cache"
	"pollux/normalize"
	"pollux/proxy/access"
	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

const (
	defaultLimit = 50
	maxLimit     = 1000
	// maxIDPrefix is as long as a value of a reference may ever be, in bytes.
	maxIDPrefix = 2048
)

// listParams reads each parameter of a list into a query. An empty value is
// one that was not sent.
var listParams = map[string]func(q *listQuery, value string) string{
	"upstream": (*listQuery).setUpstreams,
	"status":   (*listQuery).setStatuses,
	"terminal": (*listQuery).setTerminal,
	"q":        (*listQuery).setID,
	"since":    func(q *listQuery, v string) string { return setTime(&q.Since, v) },
	"until":    func(q *listQuery, v string) string { return setTime(&q.Until, v) },
	"sort":     (*listQuery).setSort,
	"limit":    (*listQuery).setLimit,
	"cursor":   func(q *listQuery, v string) string { q.cursor = v; return "" },
}

// listQuery is what a request wants to see of the list.
type listQuery struct {
	cache.Query
	terminal *bool
	cursor   string
	seal     cache.ID // of cursors: stands for filters and order as they were sent
}

// parseList reads the query of a list.
func (s *Service) parseList(st *access.Rules, query []byte) (q *listQuery, credentials map[string][]byte, p *problem.Problem) {
	known := func(name string) bool { return listParams[name] != nil }
	params, credentials, p := access.ParsePairs(query, st.IdentityParam, known)
	if p != nil {
		return nil, nil, p
	}
	q = &listQuery{Query: cache.Query{Descending: true, Limit: defaultLimit}}
	for name, value := range params {
		if value == "" {
			continue
		}
		if wrong := listParams[name](q, value); wrong != "" {
			return nil, nil, wire.Invalid(name + " " + wrong)
		}
	}
	for _, name := range q.Upstreams {
		if st.Upstreams[name] == nil {
			return nil, nil, wire.Invalid("upstream names what is no upstream")
		}
	}
	if q.terminal != nil {
		q.keepTerminal(*q.terminal)
	}
	q.seal = s.cursorSeal(q)
	if q.cursor != "" {
		if q.After = s.openCursor(q); q.After == nil {
			return nil, nil, wire.Invalid("cursor is not one that a list with these parameters returned")
		}
	}
	return q, credentials, nil
}

// Every setter returns what is wrong with the value, "" if nothing.

func (q *listQuery) setUpstreams(value string) string {
	q.Upstreams = strings.Split(value, ",")
	return ""
}

func (q *listQuery) setStatuses(value string) string {
	q.Statuses = strings.Split(value, ",")
	for _, word := range q.Statuses {
		if !normalize.Status(word).Valid() {
			return "wants statuses, separated by commas"
		}
	}
	return ""
}

func (q *listQuery) setTerminal(value string) string {
	if value != "true" && value != "false" {
		return "wants true or false"
	}
	q.terminal = new(value == "true")
	return ""
}

// keepTerminal narrows the statuses down: whether a task is terminal follows
// from its status.
func (q *listQuery) keepTerminal(terminal bool) {
	kept := []string{}
	for _, status := range normalize.Statuses {
		if status.Terminal() == terminal && (q.Statuses == nil || slices.Contains(q.Statuses, string(status))) {
			kept = append(kept, string(status))
		}
	}
	q.Statuses = kept
}

func (q *listQuery) setID(value string) string {
	if len(value) > maxIDPrefix {
		return "is longer than any id"
	}
	q.Text = value
	return ""
}

func setTime(at *time.Time, value string) string {
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return "wants an RFC 3339 time"
	}
	*at = t
	return ""
}

func (q *listQuery) setSort(value string) string {
	name, descending := strings.CutPrefix(value, "-")
	order, ok := map[string]cache.Order{"created_at": cache.ByCreated, "updated_at": cache.ByUpdated, "completed_at": cache.ByCompleted}[name]
	if !ok {
		return "wants created_at, updated_at or completed_at, with - first for descending"
	}
	q.Order, q.Descending = order, descending
	return ""
}

func (q *listQuery) setLimit(value string) (wrong string) {
	q.Limit, wrong = wire.RowLimit(value, maxLimit)
	return wrong
}
