package webhooks

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/valyala/fasthttp"

	"pollux/proxy/access"
	"pollux/proxy/poller"
	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

const WebhooksPath = "/v1/webhooks"

// Face serves the registrations of a [webhooks.Service]. Its methods are
// safe for concurrent use.
type Face struct {
	service *Service
	life    *wire.Life
}

// NewFace returns what serves the webhooks of service.
func NewFace(service *Service, l *wire.Life) *Face {
	return &Face{service: service, life: l}
}

// registrationRequest is the body of POST /v1/webhooks, checked as far as it does
// not concern single references.
type registrationRequest struct {
	tasks       []json.RawMessage
	credentials map[string]map[string]string
	url         string
	on          []string
}

// parseRegistration reads the body of a registration. The error says what is wrong
// without quoting the body.
func parseRegistration(body []byte, limit int) (registrationRequest, error) {
	var r registrationRequest
	if err := wire.CheckJSON(body); err != nil {
		return r, fmt.Errorf("the body %w", err)
	}
	m, err := wire.Members(body, "tasks", "url", "on", "credentials")
	if err != nil {
		return r, fmt.Errorf("the body %w", err)
	}
	if wire.IsNull(m["tasks"]) || json.Unmarshal(m["tasks"], &r.tasks) != nil || len(r.tasks) == 0 {
		return r, errors.New("tasks wants a list of references, at least one")
	}
	if len(r.tasks) > limit {
		return r, fmt.Errorf("tasks has more than %d references; limits.batch raises the limit", limit)
	}
	if wire.IsNull(m["url"]) || json.Unmarshal(m["url"], &r.url) != nil {
		return r, errors.New("url wants an absolute https URL")
	}
	r.on = []string{OnTerminal}
	if raw, ok := m["on"]; ok {
		if r.on, ok = wire.StringList(raw); !ok || !validEvents(r.on) {
			return r, errors.New("on wants a list of terminal, requires_action or both")
		}
	}
	if raw, ok := m["credentials"]; ok {
		r.credentials, err = access.ParseCredentials(raw)
	}
	return r, err
}

func validEvents(on []string) bool {
	for i, event := range on {
		if event != OnTerminal && event != OnRequiresAction || slices.Contains(on[:i], event) {
			return false
		}
	}
	return len(on) > 0
}

// ServeRegister answers POST /v1/webhooks. One bad reference fails all of it:
// a webhook that follows less than was asked for would be noticed too late.
func (s *Face) ServeRegister(x *access.Request, st *Settings) {
	inHeader, _, ok := s.enterWebhooks(x, func(string) bool { return false }, access.ScopeWebhooks)
	if !ok {
		return
	}
	if len(x.Facts.Query) > 0 {
		x.Problem(wire.Invalid("a registration takes no query parameters; credentials carries what belongs there"))
		return
	}
	body, ok := x.WantedBody()
	if !ok {
		return
	}
	r, err := parseRegistration(body, x.Settings.Limits.Batch)
	if err != nil {
		x.Problem(wire.Invalid(err.Error()))
		return
	}
	reg, denied := registration(x, x.Client, inHeader, r)
	if denied != nil {
		x.Deny(denied)
		return
	}
	id, secret, p := s.service.Register(s.life.Polls, st, reg)
	if p != nil {
		x.Problem(p)
		return
	}
	type task struct {
		Task  string    `json:"task"`
		State TaskState `json:"state"`
	}
	created := struct {
		ID     string   `json:"id"`
		Secret string   `json:"secret"`
		URL    string   `json:"url"`
		On     []string `json:"on"`
		Tasks  []task   `json:"tasks"`
	}{ID: id, Secret: secret, URL: r.url, On: r.on}
	for _, t := range reg.Tasks {
		created.Tasks = append(created.Tasks, task{t.Ref, TaskWatching})
	}
	x.Ctx.Response.Header.Set("Location", x.Settings.PublicURL+WebhooksPath+"/"+id)
	x.Ctx.SetStatusCode(fasthttp.StatusCreated)
	x.Json(&created)
}

// registration turns the references of r into polls. The problem names the
// first that is bad.
func registration(x *access.Request, c *access.Client, inHeader bool, r registrationRequest) (reg Registration, denied *wire.Denial) {
	refs := make([]access.Reference, len(r.tasks))
	for i, raw := range r.tasks {
		if refs[i] = x.Rules.Resolve(raw, c, access.ScopeWebhooks); refs[i].Problem != nil {
			return reg, &wire.Denial{Problem: atTask(i, refs[i].Problem), Challenge: access.KeyChallenge}
		}
	}
	callers, err := x.Rules.Callers(&x.Ctx.Request.Header, r.credentials, refs, inHeader)
	if err != nil {
		return reg, &wire.Denial{Problem: wire.Invalid(err.Error())}
	}
	reg = Registration{URL: r.url, On: r.on, Owner: c.Owner(), Origins: map[string]access.Origin{}}
	for i := range refs {
		t := refs[i].Upstream
		r, p := x.Rules.PollOf(callers[t], t, refs[i].Ref)
		if p != nil {
			return reg, &wire.Denial{Problem: atTask(i, p), Challenge: t.Challenge}
		}
		if slices.ContainsFunc(reg.Requests, func(o poller.Request) bool { return o.Key == r.Key }) {
			continue // named twice
		}
		reg.Origins[t.Name] = x.Rules.Origin(t, r.Credential)
		reg.Requests = append(reg.Requests, r)
		reg.Tasks = append(reg.Tasks, Task{Ref: t.Name + "/" + t.Parser.Format(r.Reference), Upstream: t.Name, Values: r.Reference.Values,
			Key: r.Key, Partition: r.Partition.ID})
	}
	return reg, nil
}

// atTask is p, saying which reference it is about.
func atTask(i int, p *problem.Problem) *problem.Problem {
	at := *p
	at.Detail = fmt.Sprintf("tasks[%d]: %s", i, p.Detail)
	return &at
}

// ServeWebhook answers GET of a webhook.
func (s *Face) ServeWebhook(x *access.Request) {
	a, ok := s.findWebhook(x)
	if !ok {
		return
	}
	if v := s.service.Describe(a.id, a.shown); v != nil {
		x.Json(v)
		return
	}
	x.Problem(problemNoWebhook)
}

// ServeEndWebhook answers DELETE.
func (s *Face) ServeEndWebhook(x *access.Request) {
	id, ok := s.managedWebhook(x)
	if !ok {
		return
	}
	if p := s.service.Delete(s.life.Polls, id); p != nil {
		x.Problem(p)
		return
	}
	x.Ctx.SetStatusCode(fasthttp.StatusNoContent)
}

// ServeRedeliver answers POST {id}:redeliver: what there is, is sent again.
func (s *Face) ServeRedeliver(x *access.Request) {
	a, ok := s.findWebhook(x)
	if !ok {
		return
	}
	if !s.service.Redeliver(a.id) {
		x.Problem(problemWebhookOver)
		return
	}
	x.Ctx.SetStatusCode(fasthttp.StatusAccepted)
	x.SetHeader(wire.HeaderCacheControl, wire.NoStore)
}

// ServeRotate answers POST {id}:rotate with a new secret.
func (s *Face) ServeRotate(x *access.Request) {
	id, ok := s.managedWebhook(x)
	if !ok {
		return
	}
	secret, p := s.service.Rotate(s.life.Polls, id)
	switch {
	case p != nil:
		x.Problem(p)
	case secret == "":
		x.Problem(problemNoWebhook)
	default:
		x.Json(map[string]string{"secret": secret})
	}
}
