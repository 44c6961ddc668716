package webhooks

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollux/cache"
	"pollux/proxy/access"
	"pollux/proxy/wire"
)

const (
	defaultLimit = 50
	maxLimit     = 1000
)

// Row is a webhook in a list. Counts are of its tasks and deliveries by state, as
// far as they may be seen.
type Row struct {
	ID        string         `json:"id"`
	URL       string         `json:"url"` // without its query
	On        []string       `json:"on"`
	State     string         `json:"state"`
	CreatedAt time.Time      `json:"created_at"`
	Counts    map[string]int `json:"counts"`
}

// after orders webhooks: the newest first.
func (r *Row) after(at time.Time, id string) int {
	return cmp.Or(at.Compare(r.CreatedAt), cmp.Compare(r.ID, id))
}

// List returns the webhooks that shows something of, the newest first: at most
// limit of those after the given place, and whether there are more.
func (w *Service) List(shows func(owner string, origins map[string]access.Origin, tasks []Task) func(*cache.ID) bool, at time.Time, id string, limit int) (rows []Row, more bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	rows = []Row{}
	for _, hook := range w.byID {
		r := Row{ID: hook.id, URL: hook.shown, On: hook.on, State: hook.state(), CreatedAt: hook.created}
		if id != "" && r.after(at, id) <= 0 {
			continue
		}
		shown := shows(hook.owner, hook.origins, hook.followedTasks())
		if shown == nil {
			continue
		}
		r.Counts = map[string]int{}
		for _, state := range []TaskState{TaskWatching, TaskSuspended, TaskDone} {
			r.Counts[string(state)] = 0
		}
		for _, state := range []DeliveryState{DeliveryPending, DeliveryDelivered, DeliveryGaveUp} {
			r.Counts[string(state)] = 0
		}
		for _, t := range hook.tasks {
			if shown(&t.Partition) {
				r.Counts[string(w.viewTask(t).State)]++
			}
		}
		for _, d := range hook.deliveries {
			if shown(&d.partition) {
				r.Counts[string(d.state)]++
			}
		}
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b Row) int { return a.after(b.CreatedAt, b.ID) })
	if more = len(rows) > limit; more {
		rows = rows[:limit]
	}
	return rows, more
}

// state is active, gone once the receiver has answered 410, or ended once what it
// rests on was taken away.
func (w *webhook) state() string {
	switch {
	case w.over():
		return "ended"
	case w.gone:
		return "gone"
	}
	return "active"
}

// ServeList answers GET /v1/webhooks: the caller's own.
func (s *Face) ServeList(x *access.Request) {
	params, credentials, p := access.ParsePairs(x.Facts.Query, x.Rules.IdentityParam, func(name string) bool { return name == "limit" || name == "cursor" })
	if p != nil {
		x.Problem(p)
		return
	}
	limit, at, after, wrong := page(params)
	if wrong != "" {
		x.Problem(wire.Invalid(wrong))
		return
	}
	inHeader, ok := s.enter(x, access.ScopeWebhooks, access.ScopePurge)
	if !ok {
		return
	}
	caller := s.callerOf(x, inHeader, credentials)
	shows := func(owner string, origins map[string]access.Origin, tasks []Task) func(*cache.ID) bool {
		if a, ok := s.decide(x, caller, "", owner, origins, tasks); ok {
			return a.shown
		}
		return nil
	}
	rows, more := s.service.List(shows, at, after, limit)
	answer := struct {
		Object string  `json:"object"`
		Data   []Row   `json:"data"`
		Next   *string `json:"next_cursor"`
	}{Object: "list", Data: rows}
	if more {
		last := rows[len(rows)-1]
		answer.Next = new(base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(last.CreatedAt.UnixNano(), 10) + " " + last.ID)))
	}
	x.Json(&answer)
}

// page reads limit and cursor, or says what is wrong with them.
func page(params map[string]string) (limit int, at time.Time, after string, wrong string) {
	limit = defaultLimit
	if sent := params["limit"]; sent != "" {
		if limit, wrong = wire.RowLimit(sent, maxLimit); wrong != "" {
			return 0, at, "", "limit " + wrong
		}
	}
	if sent := params["cursor"]; sent != "" {
		text, err := base64.RawURLEncoding.DecodeString(sent)
		nanos, id, _ := strings.Cut(string(text), " ")
		n, bad := strconv.ParseInt(nanos, 10, 64)
		if err != nil || bad != nil || id == "" {
			return 0, at, "", "cursor is not one that a list of webhooks returned"
		}
		at, after = time.Unix(0, n).UTC(), id
	}
	return limit, at, after, ""
}
