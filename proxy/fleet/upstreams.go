package fleet

import (
	"time"

	"pollux/proxy/access"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
)

type upstreamJSON struct {
	Name       string         `json:"name"`
	Provider   string         `json:"provider"`
	Breaker    string         `json:"breaker"`
	RetryIn    *int64         `json:"retry_in_seconds"`
	Budget     *budgetJSON    `json:"budget"`
	PausedFor  *int64         `json:"paused_for_seconds"`
	Latency    latencyJSON    `json:"latency"`
	ErrorRatio float64        `json:"error_ratio"`
	LastError  *lastErrorJSON `json:"last_error"`
	Polls      upstreamPolls  `json:"polls"`
	InFlight   int64          `json:"in_flight"`
	// Credential is where a caller's own goes, nil where Pollux holds it or none
	// goes in a header.
	Credential *credentialJSON `json:"credential"`
	// Cancel is the request by which a task is cancelled, as the provider file has
	// it; nil where none can be.
	Cancel *string `json:"cancel"`
}

// credentialJSON is a header, and the word that stands before the credential in
// it, "" for none.
type credentialJSON struct {
	Header string `json:"header"`
	Scheme string `json:"scheme"`
}

// budgetJSON is a rate, and what is left of it: at most Burst at a time.
type budgetJSON struct {
	Limit      int     `json:"limit"`
	PerSeconds float64 `json:"per_seconds"`
	Burst      int     `json:"burst"`
	Left       int     `json:"left"`
}

type latencyJSON struct {
	P50 *float64 `json:"p50_seconds"`
	P99 *float64 `json:"p99_seconds"`
}

type lastErrorJSON struct {
	At     time.Time `json:"at"`
	Type   string    `json:"type"`
	Status *int      `json:"status"`
	Detail *string   `json:"detail"`
}

type upstreamPolls struct {
	Received int64 `json:"received"`
	Upstream int64 `json:"upstream"`
}

// ServeUpstreams answers GET /v1/upstreams with the upstreams that the caller
// may use. Budgets and pauses are per credential: those in sight count.
func (s *Service) ServeUpstreams(x *access.Request) {
	v, ok := s.plainReach(x)
	if !ok {
		return
	}
	answer := struct {
		Object string         `json:"object"`
		Data   []upstreamJSON `json:"data"`
	}{Object: "list", Data: make([]upstreamJSON, 0, len(v.Upstreams))}
	for _, u := range v.Upstreams {
		answer.Data = append(answer.Data, s.upstreamState(u, v, x.Now))
	}
	x.Json(answer)
}

func (s *Service) upstreamState(u *upstream.Upstream, v *access.Reach, now time.Time) upstreamJSON {
	h, t := u.Health(now), u.Tally()
	left, paused := s.engine.Allowance(u, &v.Sight, now)
	out := upstreamJSON{
		Name: u.Name, Provider: u.Provider.Name, Breaker: h.Breaker,
		RetryIn: secondsOrNull(h.RetryIn), PausedFor: secondsOrNull(paused),
		Latency:    latencyJSON{secondsOf(h.Latency.P50, h.Latency.Samples), secondsOf(h.Latency.P99, h.Latency.Samples)},
		ErrorRatio: h.ErrorRatio, Polls: upstreamPolls{t.Received, t.Upstream}, InFlight: h.InFlight,
	}
	if c := u.Config.Rate; c != nil {
		out.Budget = &budgetJSON{Limit: c.Requests, PerSeconds: c.Per.Seconds(), Burst: c.Budget().Burst, Left: left}
	}
	if id := &u.Provider.Identity; !u.Held && len(id.Headers) > 0 {
		out.Credential = &credentialJSON{id.Headers[0], id.Scheme}
	}
	if a := u.Provider.Cancel; a != nil {
		out.Cancel = new(a.Request.String())
	}
	if e := h.LastError; e != nil {
		out.LastError = &lastErrorJSON{At: e.At.UTC().Truncate(time.Millisecond), Type: string(e.Type), Detail: orNull(e.Detail)}
		if e.Status != 0 {
			out.LastError.Status = &e.Status
		}
	}
	return out
}

// secondsOrNull rounds up: nobody shall come too early.
func secondsOrNull(d time.Duration) *int64 {
	if d <= 0 {
		return nil
	}
	return new(problem.WholeSeconds(d))
}
