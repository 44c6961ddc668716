package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/valyala/fasthttp"

	"pollux/proxy/poller"
	"pollux/proxy/problem"
	"pollux/proxy/webhooks"
)

const webhooksPath = "/v1/webhooks"

// webhookFace serves the registrations of a [webhooks.Service]. Its methods are
// safe for concurrent use.
type webhookFace struct {
	service *webhooks.Service
	life    *life
}

// newWebhookFace returns what serves the webhooks of service.
func newWebhookFace(service *webhooks.Service, l *life) *webhookFace {
	return &webhookFace{service: service, life: l}
}

// webhookRequest is the body of POST /v1/webhooks, checked as far as it does
// not concern single references.
type webhookRequest struct {
	tasks       []json.RawMessage
	credentials map[string]map[string]string
	url         string
	on          []string
}

// parseWebhook reads the body of a registration. The error says what is wrong
// without quoting the body.
func parseWebhook(body []byte, limit int) (webhookRequest, error) {
	var r webhookRequest
	if err := checkJSON(body); err != nil {
		return r, fmt.Errorf("the body %w", err)
	}
	m, err := members(body, "tasks", "url", "on", "credentials")
	if err != nil {
		return r, fmt.Errorf("the body %w", err)
	}
	if isNull(m["tasks"]) || json.Unmarshal(m["tasks"], &r.tasks) != nil || len(r.tasks) == 0 {
		return r, errors.New("tasks wants a list of references, at least one")
	}
	if len(r.tasks) > limit {
		return r, fmt.Errorf("tasks has more than %d references; limits.batch raises the limit", limit)
	}
	if isNull(m["url"]) || json.Unmarshal(m["url"], &r.url) != nil {
		return r, errors.New("url wants an absolute https URL")
	}
	r.on = []string{webhooks.OnTerminal}
	if raw, ok := m["on"]; ok {
		if r.on, ok = stringList(raw); !ok || !validEvents(r.on) {
			return r, errors.New("on wants a list of terminal, requires_action or both")
		}
	}
	if raw, ok := m["credentials"]; ok {
		r.credentials, err = parseCredentials(raw)
	}
	return r, err
}

func validEvents(on []string) bool {
	for i, event := range on {
		if event != webhooks.OnTerminal && event != webhooks.OnRequiresAction || slices.Contains(on[:i], event) {
			return false
		}
	}
	return len(on) > 0
}

// serveRegister answers POST /v1/webhooks. One bad reference fails all of it:
// a webhook that follows less than was asked for would be noticed too late.
func (s *webhookFace) serveRegister(x *request, st *webhooks.Settings) {
	c, inHeader, _, ok := s.enterWebhooks(x)
	if !ok {
		return
	}
	if len(x.facts.query) > 0 {
		x.problem(invalid("a registration takes no query parameters; credentials carries what belongs there"))
		return
	}
	body, ok := x.wantedBody()
	if !ok {
		return
	}
	r, err := parseWebhook(body, x.settings.Limits.Batch)
	if err != nil {
		x.problem(invalid(err.Error()))
		return
	}
	reg, denied := registration(x, c, inHeader, r)
	if denied != nil {
		x.deny(denied)
		return
	}
	id, secret, p := s.service.Register(s.life.polls, st, reg)
	if p != nil {
		x.problem(p)
		return
	}
	type task struct {
		Task  string             `json:"task"`
		State webhooks.TaskState `json:"state"`
	}
	created := struct {
		ID     string   `json:"id"`
		Secret string   `json:"secret"`
		URL    string   `json:"url"`
		On     []string `json:"on"`
		Tasks  []task   `json:"tasks"`
	}{ID: id, Secret: secret, URL: r.url, On: r.on}
	for _, t := range reg.Tasks {
		created.Tasks = append(created.Tasks, task{t.Ref, webhooks.TaskWatching})
	}
	x.ctx.Response.Header.Set("Location", x.settings.publicURL+webhooksPath+"/"+id)
	x.ctx.SetStatusCode(fasthttp.StatusCreated)
	x.json(&created)
}

// registration turns the references of r into polls. The problem names the
// first that is bad.
func registration(x *request, c *client, inHeader bool, r webhookRequest) (reg webhooks.Registration, denied *denial) {
	refs := make([]reference, len(r.tasks))
	for i, raw := range r.tasks {
		if refs[i] = x.rules.resolve(raw); refs[i].problem == nil {
			refs[i].problem = permit(c, ScopeWebhooks, refs[i].target)
		}
		if refs[i].problem != nil {
			return reg, &denial{Problem: atTask(i, refs[i].problem), challenge: keyChallenge}
		}
	}
	callers, err := x.rules.callersOf(&x.ctx.Request.Header, r.credentials, refs, inHeader)
	if err != nil {
		return reg, &denial{Problem: invalid(err.Error())}
	}
	reg = webhooks.Registration{URL: r.url, On: r.on, Owner: c.fingerprint()}
	for i := range refs {
		t := refs[i].target
		caller := callers[t]
		if !t.Held && !caller.sufficient(t) {
			return reg, &denial{Problem: atTask(i, noCredential(t)), challenge: t.challenge}
		}
		task := webhooks.Task{Ref: t.Name + "/" + t.Parser.Format(refs[i].ref), Upstream: t.Name, Values: refs[i].ref.Values}
		caller.partition(x.rules.secret, t, &task.Partition)
		referenceKey(x.rules.secret, &task.Partition, refs[i].ref, &task.Key)
		if slices.ContainsFunc(reg.Tasks, func(o webhooks.Task) bool { return o.Key == task.Key }) {
			continue // named twice
		}
		reg.Tasks = append(reg.Tasks, task)
		reg.Requests = append(reg.Requests, poller.Request{
			Upstream: t.Upstream, Partition: x.rules.partitions.Partition(t.Upstream, &task.Partition), Key: task.Key,
			Reference: refs[i].ref, Credential: caller.credential(t),
		})
	}
	return reg, nil
}

// atTask is p, saying which reference it is about.
func atTask(i int, p *problem.Problem) *problem.Problem {
	at := *p
	at.Detail = fmt.Sprintf("tasks[%d]: %s", i, p.Detail)
	return &at
}

// serveWebhook answers GET of a webhook.
func (s *webhookFace) serveWebhook(x *request) {
	id, shown, ok := s.findWebhook(x)
	if !ok {
		return
	}
	if v := s.service.View(id, shown); v != nil {
		x.json(v)
		return
	}
	x.problem(problemNoWebhook)
}

// serveEndWebhook answers DELETE.
func (s *webhookFace) serveEndWebhook(x *request) {
	id, _, ok := s.findWebhook(x)
	if !ok {
		return
	}
	if p := s.service.Delete(s.life.polls, id); p != nil {
		x.problem(p)
		return
	}
	x.ctx.SetStatusCode(fasthttp.StatusNoContent)
}

// serveRedeliver answers POST {id}:redeliver: what there is, is sent again.
func (s *webhookFace) serveRedeliver(x *request) {
	id, _, ok := s.findWebhook(x)
	if !ok {
		return
	}
	s.service.Redeliver(id)
	x.ctx.SetStatusCode(fasthttp.StatusAccepted)
	x.setHeader(headerCacheControl, noStore)
}

// serveRotate answers POST {id}:rotate with a new secret.
func (s *webhookFace) serveRotate(x *request) {
	id, _, ok := s.findWebhook(x)
	if !ok {
		return
	}
	secret, p := s.service.Rotate(s.life.polls, id)
	switch {
	case p != nil:
		x.problem(p)
	case secret == "":
		x.problem(problemNoWebhook)
	default:
		x.json(map[string]string{"secret": secret})
	}
}
