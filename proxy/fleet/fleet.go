package fleet

import (
	"context"
	"strings"
	"time"

	"pollux/cache"
	"pollux/normalize"
	"pollux/proxy/access"
	"pollux/proxy/poller/trend"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

const (
	// failuresSeen is how many of the latest failed tasks are grouped, and
	// failureGroups how many groups are shown.
	failuresSeen  = 200
	failureGroups = 20
	// maxFailureText bounds the message of a group, in bytes.
	maxFailureText = 300
)

type statusCounts map[string]int

// document is the answer of /v1/fleet.
type document struct {
	Object    string                  `json:"object"`
	At        time.Time               `json:"at"`
	Tasks     fleetTasks              `json:"tasks"`
	Polls     fleetPolls              `json:"polls"`
	Durations map[string]durationJSON `json:"durations"`
	Oldest    *rowJSON                `json:"oldest"`
	History   history                 `json:"history"`
	Failures  []failureJSON           `json:"failures"`
	Replicas  []replicaJSON           `json:"replicas"`
	// NoticesCurrent is whether what other replicas find is heard of, and Leased
	// how many polls were answered by what another replica was asking for, both
	// as this replica sees it.
	NoticesCurrent bool  `json:"notices_current"`
	Leased         int64 `json:"polls_leased"`
	StoreAnswers   bool  `json:"store_answers"`
}

// replicaJSON is a process that shares the store, and how many of the slots it
// looks after.
type replicaJSON struct {
	ID        string    `json:"id"`
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"`
	Slots     int       `json:"slots"`
	Self      bool      `json:"self"`
	Lag       *float64  `json:"notice_lag_seconds"` // nil: not known
}

type fleetTasks struct {
	Total      int                     `json:"total"`
	Stuck      int                     `json:"stuck"`
	ByStatus   statusCounts            `json:"by_status"`
	ByUpstream map[string]statusCounts `json:"by_upstream"`
}

type fleetPolls struct {
	Received          int64      `json:"received"`
	Upstream          int64      `json:"upstream"`
	Saved             savedPolls `json:"saved"`
	RateLimitsAvoided int64      `json:"rate_limits_avoided"`
}

// savedPolls are polls that cost the upstream nothing; total is their sum.
type savedPolls struct {
	Total       int64 `json:"total"`
	Hit         int64 `json:"hit"`
	Collapsed   int64 `json:"collapsed"`
	Stale       int64 `json:"stale"`
	NotModified int64 `json:"not_modified"`
}

type durationJSON struct {
	P50     *float64 `json:"p50_seconds"`
	P95     *float64 `json:"p95_seconds"`
	Samples int      `json:"samples"`
}

type history struct {
	StepSeconds   int              `json:"step_seconds"`
	ByStatus      map[string][]int `json:"by_status"`
	PollsReceived []int64          `json:"polls_received"`
	PollsUpstream []int64          `json:"polls_upstream"`
}

type failureJSON struct {
	Upstream string    `json:"upstream"`
	Code     *string   `json:"code"`
	Message  *string   `json:"message"`
	Count    int       `json:"count"`
	Latest   time.Time `json:"latest"`
	Ref      string    `json:"ref"`
}

// ServeFleet answers GET /v1/fleet.
func (s *Service) ServeFleet(x *access.Request) {
	params, credentials, p := access.ParsePairs(x.Facts.Query, x.Rules.IdentityParam, func(name string) bool { return name == "window" })
	if p != nil {
		x.Problem(p)
		return
	}
	span, known := trend.Windows[params["window"]]
	if !known && params["window"] != "" {
		x.Problem(wire.Invalid("window wants 15m, 1h, 24h or all"))
		return
	}
	v, denied := x.Reach(credentials)
	if denied != nil {
		x.Deny(denied)
		return
	}
	if x.WantsStream() {
		s.serveFleetStream(x, v, span)
		return
	}
	fleet, p := s.fleet(v, span, x.Now)
	if p != nil {
		x.Problem(p)
		return
	}
	x.Json(fleet)
}

// plainReach is the reach of a request without parameters of its own. It answers
// the request itself when there is none.
func (s *Service) plainReach(x *access.Request) (*access.Reach, bool) {
	_, credentials, p := access.ParsePairs(x.Facts.Query, x.Rules.IdentityParam, func(string) bool { return false })
	if p != nil {
		x.Problem(p)
		return nil, false
	}
	v, denied := x.Reach(credentials)
	if denied != nil {
		x.Deny(denied)
		return nil, false
	}
	return v, true
}

// fleet is the fleet as v shows it: the tasks in sight, and the polls and
// durations of the upstreams that the caller may use, whoever caused them. With a
// span, tasks and failures are those that changed within it, and polls those made
// within it; what runs longest and how long tasks take are of all.
func (s *Service) fleet(v *access.Reach, span time.Duration, now time.Time) (*document, *problem.Problem) {
	f := &document{Object: "fleet", At: now.UTC().Truncate(time.Millisecond), Durations: map[string]durationJSON{}, Failures: []failureJSON{}}
	var since time.Time
	if span > 0 {
		since = now.Add(-span)
	}
	for _, u := range v.Upstreams {
		if span > 0 {
			f.Polls.add(u.TallySince(since))
		} else {
			f.Polls.add(u.Tally())
		}
		d := u.Durations()
		f.Durations[u.Name] = durationJSON{secondsOf(d.P50, d.Samples), secondsOf(d.P95, d.Samples), d.Samples}
	}
	f.History = s.fleetHistory(v, span)
	s.replicas(f, v.Sight.All)
	if p := s.indexed(f, v, since, now); p != nil && f.StoreAnswers {
		return nil, p
	}
	return f, nil
}

// indexed adds what the index tells of the tasks that changed since, zero being
// ever; what it could not tell has no task.
func (s *Service) indexed(f *document, v *access.Reach, since, now time.Time) *problem.Problem {
	f.Tasks = s.fleetTasks(v, nil, now)
	counts, p := s.counts(v, since)
	if p != nil {
		return p
	}
	f.Tasks = s.fleetTasks(v, counts, now)
	oldest := cache.Query{Limit: 1, Statuses: running}
	failed := cache.Query{Limit: failuresSeen, Statuses: failures, Order: cache.ByUpdated, Descending: true, Since: since}
	for _, q := range []*cache.Query{&oldest, &failed} {
		v.Restrict(q)
	}
	rows, _, p := s.list(&oldest)
	if p != nil {
		return p
	}
	for i := range rows {
		f.Oldest = new(s.rendered(&rows[i], now))
	}
	if rows, _, p = s.list(&failed); p == nil {
		f.Failures = groupFailures(rows)
	}
	return p
}

// replicas says how the store is shared and, to whoever sees the whole fleet, by
// whom.
func (s *Service) replicas(f *document, whole bool) {
	shared := s.engine.Sharing()
	members := shared.Members
	f.NoticesCurrent, f.Leased, f.StoreAnswers = shared.Current, shared.Leased, !shared.Alone
	f.Replicas = []replicaJSON{}
	if !whole {
		return
	}
	for _, m := range members.All {
		r := replicaJSON{ID: m.ID, Version: m.Version, StartedAt: m.Started.UTC().Truncate(time.Millisecond),
			Slots: members.Slots(m.ID), Self: m.ID == members.Self}
		if lag, known := shared.Lags[m.ID]; known {
			r.Lag = new(lag.Seconds())
		}
		f.Replicas = append(f.Replicas, r)
	}
}

// counts asks the index for the tasks that changed since, zero being ever.
func (s *Service) counts(v *access.Reach, since time.Time) (cache.Counts, *problem.Problem) {
	if since.IsZero() {
		return s.index.Counts(&v.Sight), nil
	}
	ctx, cancel := context.WithTimeout(s.life.Polls, listTimeout)
	defer cancel()
	counts, err := s.index.CountsSince(ctx, &v.Sight, since)
	if err != nil {
		return nil, s.unlisted(err)
	}
	return counts, nil
}

var (
	running  = statusesThat(func(s normalize.Status) bool { return !s.Terminal() })
	failures = []string{string(normalize.Failed), string(normalize.TimedOut)}
)

func statusesThat(holds func(normalize.Status) bool) (names []string) {
	for _, status := range normalize.Statuses {
		if holds(status) {
			names = append(names, string(status))
		}
	}
	return names
}

func noTasks() statusCounts {
	c := statusCounts{}
	for _, status := range normalize.Statuses {
		c[string(status)] = 0
	}
	return c
}

func (s *Service) fleetTasks(v *access.Reach, counts cache.Counts, now time.Time) fleetTasks {
	t := fleetTasks{ByStatus: noTasks(), ByUpstream: map[string]statusCounts{}}
	for _, u := range v.Upstreams {
		t.ByUpstream[u.Name] = noTasks()
	}
	for upstream, byStatus := range counts {
		for status, n := range byStatus {
			if v.May(upstream) && normalize.Status(status).Valid() { // a store may be damaged
				t.Total += n
				t.ByStatus[status] += n
				t.ByUpstream[upstream][status] += n
			}
		}
	}
	for upstream, n := range s.engine.Stuck().Counts(&v.Sight, now) {
		if v.May(upstream) {
			t.Stuck += n
		}
	}
	return t
}

func (p *fleetPolls) add(t upstream.Tally) {
	p.Received += t.Received
	p.Upstream += t.Upstream
	p.RateLimitsAvoided += t.RateLimitsAvoided
	p.Saved.Total += t.Saved()
	p.Saved.Hit += t.Hit
	p.Saved.Collapsed += t.Collapsed
	p.Saved.Stale += t.Stale
	p.Saved.NotModified += t.NotModified
}

func secondsOf(d time.Duration, samples int) *float64 {
	if samples == 0 {
		return nil
	}
	return new(d.Round(time.Microsecond).Seconds())
}

// fleetHistory is how the window went, as far as it lies after the start. How many
// tasks there were is only known of all together, so a reach of single partitions
// has no points there.
func (s *Service) fleetHistory(v *access.Reach, window time.Duration) history {
	past := s.engine.Trends().Over(window)
	n := len(past.Points)
	h := history{
		StepSeconds: int(past.Step / time.Second), ByStatus: map[string][]int{},
		PollsReceived: make([]int64, n), PollsUpstream: make([]int64, n),
	}
	for i, status := range normalize.Statuses {
		h.ByStatus[string(status)] = []int{}
		if v.All {
			h.ByStatus[string(status)] = levels(past.Points, v.Upstreams, i)
		}
	}
	for i, point := range past.Points {
		for _, u := range v.Upstreams {
			h.PollsReceived[i] += point[u.Name].Received
			h.PollsUpstream[i] += point[u.Name].Upstream
		}
	}
	return h
}

// levels are how many tasks of the upstreams were in one status at each point.
func levels(points []map[string]trend.Point, upstreams []*upstream.Upstream, status int) []int {
	all := make([]int, len(points))
	for i, point := range points {
		for _, u := range upstreams {
			all[i] += point[u.Name].ByStatus[status]
		}
	}
	return all
}

// groupFailures puts failures of one kind together, the newest first.
func groupFailures(rows []cache.Row) []failureJSON {
	type kind struct{ upstream, code, message string }
	at := map[kind]int{}
	groups := []failureJSON{}
	for i := range rows {
		r := &rows[i]
		message := strings.ToValidUTF8(r.ErrorMessage[:min(len(r.ErrorMessage), maxFailureText)], "")
		k := kind{r.Upstream, r.ErrorCode, message}
		n, known := at[k]
		if !known {
			n = len(groups)
			at[k] = n
			groups = append(groups, failureJSON{Upstream: r.Upstream, Code: orNull(r.ErrorCode), Message: orNull(message), Latest: r.UpdatedAt.UTC(), Ref: r.Ref})
		}
		groups[n].Count++
	}
	return groups[:min(len(groups), failureGroups)]
}
