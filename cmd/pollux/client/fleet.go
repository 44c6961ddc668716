package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// slowestAsked is how many tasks are asked for: as many as a tall terminal shows.
const slowestAsked = 100

// overview is one look at the fleet.
type overview struct {
	Fleet     fleetState         `json:"-"`
	Upstreams []upstreamRow      `json:"-"`
	Slowest   []taskRow          `json:"-"`
	at        time.Time          // of the look
	received  [3]json.RawMessage // what Pollux answered, in the same order
}

// fleetState is the part of /v1/fleet that is shown.
type fleetState struct {
	Object string `json:"object"`
	Tasks  struct {
		Total    int            `json:"total"`
		Stuck    int            `json:"stuck"`
		ByStatus map[string]int `json:"by_status"`
		// ByUpstream counts by upstream, then by status.
		ByUpstream map[string]map[string]int `json:"by_upstream"`
	} `json:"tasks"`
	Polls struct {
		Received int64 `json:"received"`
		Upstream int64 `json:"upstream"`
		Saved    struct {
			Total int64 `json:"total"`
		} `json:"saved"`
		RateLimitsAvoided int64 `json:"rate_limits_avoided"`
	} `json:"polls"`
	Durations map[string]struct {
		P50 *float64 `json:"p50_seconds"`
		P95 *float64 `json:"p95_seconds"`
	} `json:"durations"`
	Failures []failureGroup `json:"failures"`
}

// failureGroup is failures of one kind.
type failureGroup struct {
	Upstream string    `json:"upstream"`
	Code     *string   `json:"code"`
	Message  *string   `json:"message"`
	Count    int       `json:"count"`
	Latest   time.Time `json:"latest"`
	Ref      string    `json:"ref"` // of the latest
}

var errNoFleet = errors.New("the answer is no fleet: is this a Pollux?")

// look asks for everything that is shown, all at once.
func (c *client) look(ctx context.Context) (*overview, error) {
	o := &overview{at: time.Now()}
	var upstreams upstreamList
	var tasks taskList
	requests := [...]request{
		{path: "/v1/fleet"},
		{path: "/v1/upstreams"},
		{path: pathTasks, query: fmt.Sprintf("terminal=false&sort=created_at&limit=%d", slowestAsked)},
	}
	into := [...]any{&o.Fleet, &upstreams, &tasks}
	var failures [len(requests)]error
	var asking sync.WaitGroup
	for i, r := range requests {
		asking.Go(func() {
			a, err := c.ask(ctx, r)
			if err == nil && (a.code != http.StatusOK || json.Unmarshal(a.body, into[i]) != nil) {
				err = errNoFleet
			}
			if err == nil {
				o.received[i] = a.body
			}
			failures[i] = err
		})
	}
	asking.Wait()
	for _, err := range failures {
		if err != nil {
			return nil, err
		}
	}
	if o.Fleet.Object != "fleet" || upstreams.Object != "list" || tasks.Object != "list" {
		return nil, errNoFleet
	}
	o.Upstreams, o.Slowest = upstreams.Data, tasks.Data
	return o, nil
}

// json is everything that was answered, on one line.
func (o *overview) json() string {
	text, err := json.Marshal(struct {
		Fleet     json.RawMessage `json:"fleet"`
		Upstreams json.RawMessage `json:"upstreams"`
		Tasks     json.RawMessage `json:"tasks"`
	}{o.received[0], o.received[1], o.received[2]})
	if err != nil {
		panic("BUG: answers that were read are no JSON: " + err.Error())
	}
	return string(text)
}
