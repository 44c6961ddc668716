package proxy

import "time"

// What clients read of the fleet, written down apart from what renders it.

type countsShape map[string]int

// fleetShape is the answer of /v1/fleet.
type fleetShape struct {
	Object    string                   `json:"object"`
	At        time.Time                `json:"at"`
	Tasks     fleetTasksShape          `json:"tasks"`
	Polls     fleetPollsShape          `json:"polls"`
	Durations map[string]durationShape `json:"durations"`
	Oldest    *rowShape                `json:"oldest"`
	History   historyShape             `json:"history"`
	Failures  []failureShape           `json:"failures"`
}

type fleetTasksShape struct {
	Total      int                    `json:"total"`
	Stuck      int                    `json:"stuck"`
	ByStatus   countsShape            `json:"by_status"`
	ByUpstream map[string]countsShape `json:"by_upstream"`
}

type fleetPollsShape struct {
	Received          int64      `json:"received"`
	Upstream          int64      `json:"upstream"`
	Saved             savedShape `json:"saved"`
	RateLimitsAvoided int64      `json:"rate_limits_avoided"`
}

// savedShape are polls that cost the upstream nothing; total is their sum.
type savedShape struct {
	Total       int64 `json:"total"`
	Hit         int64 `json:"hit"`
	Collapsed   int64 `json:"collapsed"`
	Stale       int64 `json:"stale"`
	NotModified int64 `json:"not_modified"`
}

type durationShape struct {
	P50     *float64 `json:"p50_seconds"`
	P95     *float64 `json:"p95_seconds"`
	Samples int      `json:"samples"`
}

type historyShape struct {
	StepSeconds   int              `json:"step_seconds"`
	ByStatus      map[string][]int `json:"by_status"`
	PollsReceived []int64          `json:"polls_received"`
	PollsUpstream []int64          `json:"polls_upstream"`
}

type failureShape struct {
	Upstream string    `json:"upstream"`
	Code     *string   `json:"code"`
	Message  *string   `json:"message"`
	Count    int       `json:"count"`
	Latest   time.Time `json:"latest"`
	Ref      string    `json:"ref"`
}

type upstreamShape struct {
	Name       string             `json:"name"`
	Provider   string             `json:"provider"`
	Breaker    string             `json:"breaker"`
	RetryIn    *int64             `json:"retry_in_seconds"`
	Budget     *budgetShape       `json:"budget"`
	PausedFor  *int64             `json:"paused_for_seconds"`
	Latency    latencyShape       `json:"latency"`
	ErrorRatio float64            `json:"error_ratio"`
	LastError  *lastErrorShape    `json:"last_error"`
	Polls      upstreamPollsShape `json:"polls"`
	InFlight   int64              `json:"in_flight"`
	Credential *struct {
		Header string `json:"header"`
		Scheme string `json:"scheme"`
	} `json:"credential"`
	Cancel *string `json:"cancel"`
}

type budgetShape struct {
	Limit      int     `json:"limit"`
	PerSeconds float64 `json:"per_seconds"`
	Burst      int     `json:"burst"`
	Left       int     `json:"left"`
}

type latencyShape struct {
	P50 *float64 `json:"p50_seconds"`
	P99 *float64 `json:"p99_seconds"`
}

type lastErrorShape struct {
	At     time.Time `json:"at"`
	Type   string    `json:"type"`
	Status *int      `json:"status"`
	Detail *string   `json:"detail"`
}

type upstreamPollsShape struct {
	Received int64 `json:"received"`
	Upstream int64 `json:"upstream"`
}

// rowShape is a row of a list as it is rendered.
type rowShape struct {
	ID           string         `json:"id"`
	Upstream     string         `json:"upstream"`
	Provider     string         `json:"provider"`
	Status       string         `json:"status"`
	NativeStatus *string        `json:"native_status"`
	Terminal     bool           `json:"terminal"`
	CreatedAt    *time.Time     `json:"created_at"`
	CompletedAt  *time.Time     `json:"completed_at"`
	UpdatedAt    time.Time      `json:"updated_at"`
	FirstSeen    time.Time      `json:"first_seen"`
	Age          int64          `json:"age"`
	Error        *rowErrorShape `json:"error"`
	Model        *string        `json:"model"`
	Stuck        bool           `json:"stuck"`
	Ref          string         `json:"ref"`
	Key          string         `json:"key"`
}

type rowErrorShape struct {
	Code    *string `json:"code"`
	Message *string `json:"message"`
}
