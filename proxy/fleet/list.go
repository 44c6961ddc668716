package fleet

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"

	"pollux/cache"
	"pollux/proxy/access"
	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

// listTimeout bounds the look into the index.
const listTimeout = 2 * time.Second

// rowDomain is of the hashes that are the keys of rows.
const rowDomain = "row"

// rowJSON is a row of a list as it is rendered.
type rowJSON struct {
	ID           string     `json:"id"`
	Upstream     string     `json:"upstream"`
	Provider     string     `json:"provider"`
	Status       string     `json:"status"`
	NativeStatus *string    `json:"native_status"`
	Terminal     bool       `json:"terminal"`
	CreatedAt    *time.Time `json:"created_at"`
	CompletedAt  *time.Time `json:"completed_at"`
	UpdatedAt    time.Time  `json:"updated_at"`
	FirstSeen    time.Time  `json:"first_seen"`
	Age          int64      `json:"age"`
	Error        *rowError  `json:"error"`
	Model        *string    `json:"model"`
	Stuck        bool       `json:"stuck"`
	Ref          string     `json:"ref"`
	Key          string     `json:"key"` // tells rows apart: a reference is a task under each credential
}

type rowError struct {
	Code    *string `json:"code"`
	Message *string `json:"message"` // its beginning
}

// rendered is r as it stands now.
func (s *Service) rendered(r *cache.Row, now time.Time) rowJSON {
	observed := r.ObservedAt
	if e := s.engine.Known(&r.Key); e != nil && e.ObservedAt.After(observed) {
		observed = e.ObservedAt // the index hears of an unchanged task now and then only
	}
	out := rowJSON{
		ID: r.TaskID, Upstream: r.Upstream, Provider: r.Provider, Status: r.Status, NativeStatus: orNull(r.NativeStatus),
		Terminal: r.Terminal, CreatedAt: timeOrNull(r.CreatedAt), CompletedAt: timeOrNull(r.CompletedAt),
		UpdatedAt: r.UpdatedAt.UTC(), FirstSeen: r.FirstSeen.UTC().Truncate(time.Microsecond),
		Age: int64(max(0, now.Sub(observed)) / time.Second), Model: orNull(r.Model), Stuck: s.engine.Stuck().Stuck(r, now), Ref: r.Ref,
		Key: s.rowKey(r),
	}
	if slices.Contains(failures, r.Status) {
		out.Error = &rowError{Code: orNull(r.ErrorCode), Message: orNull(r.ErrorMessage)}
	}
	return out
}

// rowKey stands for the task and the credential of r, and gives neither away.
func (s *Service) rowKey(r *cache.Row) string {
	sum := s.secret.Sum(rowDomain, string(r.Key[:]))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC())
}

// ServeList answers GET /v1/tasks.
func (s *Service) ServeList(x *access.Request) {
	q, credentials, p := s.parseList(x.Rules, x.Facts.Query)
	if p != nil {
		x.Problem(p)
		return
	}
	v, denied := x.Reach(credentials)
	if denied != nil {
		x.Deny(denied)
		return
	}
	v.Restrict(&q.Query)
	if x.WantsStream() {
		s.serveRows(x, q)
		return
	}
	rows, next, p := s.list(&q.Query)
	if p != nil {
		x.Problem(p)
		return
	}
	answer := struct {
		Object string    `json:"object"`
		Data   []rowJSON `json:"data"`
		Next   *string   `json:"next_cursor"`
	}{Object: "list", Data: make([]rowJSON, len(rows))}
	for i := range rows {
		answer.Data[i] = s.rendered(&rows[i], x.Now)
	}
	if next != nil {
		answer.Next = new(s.sealCursor(q, next))
	}
	x.Json(answer)
}

// Rows is the page of a list that query asks for, as GET /v1/tasks has it, and
// the cursor of the next one, "" on the last.
func (s *Service) Rows(x *access.Request, query []byte) (rows []json.RawMessage, next string, p *problem.Problem) {
	q, credentials, p := s.parseList(x.Rules, query)
	if p != nil {
		return nil, "", p
	}
	v, denied := x.Reach(credentials)
	if denied != nil {
		return nil, "", denied.Problem
	}
	v.Restrict(&q.Query)
	found, position, p := s.list(&q.Query)
	if p != nil {
		return nil, "", p
	}
	for i := range found {
		rows = append(rows, wire.Marshal(s.rendered(&found[i], x.Now)))
	}
	if position != nil {
		next = s.sealCursor(q, position)
	}
	return rows, next, nil
}

// list asks the index.
func (s *Service) list(q *cache.Query) ([]cache.Row, *cache.Position, *problem.Problem) {
	ctx, cancel := context.WithTimeout(s.life.Polls, listTimeout)
	defer cancel()
	rows, next, err := s.index.List(ctx, q)
	if err != nil {
		return nil, nil, s.unlisted(err)
	}
	return rows, next, nil
}

// unlisted is the problem of an index that did not answer.
func (s *Service) unlisted(err error) *problem.Problem {
	s.log.Warn("tasks cannot be listed", "err", err)
	return &problem.Problem{Type: problem.Overloaded, Status: 503, RetryAfter: time.Second, Detail: "the index of tasks did not answer"}
}
