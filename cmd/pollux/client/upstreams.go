package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollux/cmd/pollux/console"
)

// upstreamRow is the part of an element of /v1/upstreams that is shown.
type upstreamRow struct {
	Name    string   `json:"name"`
	Breaker string   `json:"breaker"`
	RetryIn *float64 `json:"retry_in_seconds"`
	Paused  *float64 `json:"paused_for_seconds"`
	Budget  *struct {
		Limit float64 `json:"limit"` // what Burst is where Pollux says none
		Burst float64 `json:"burst"`
		Left  float64 `json:"left"`
	} `json:"budget"`
	Latency struct {
		P50 *float64 `json:"p50_seconds"`
		P99 *float64 `json:"p99_seconds"`
	} `json:"latency"`
	ErrorRatio float64 `json:"error_ratio"`
	LastError  *struct {
		At     time.Time `json:"at"`
		Type   string    `json:"type"`
		Status *int      `json:"status"`
		Detail *string   `json:"detail"`
	} `json:"last_error"`
	Polls struct {
		Received int64 `json:"received"`
		Upstream int64 `json:"upstream"`
	} `json:"polls"`
}

// upstreamList is what /v1/upstreams answers.
type upstreamList struct {
	Object string        `json:"object"`
	Data   []upstreamRow `json:"data"`
}

var errNoUpstreams = errors.New("the answer is no list of upstreams: is this a Pollux?")

func upstreamsCommand(ctx context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("upstreams", `Shows the state of each upstream, those in trouble first: cut off (it failed too
often and is left alone, until when), probing, paused (it asked for that),
failing, slow, answering. Where Pollux wants a key, one with the scope fleet sees
all of its upstreams, one with read those whose credential Pollux holds.
`+fleetHelp,
		"pollux upstreams",
		"pollux upstreams --json | jq -r '.data[] | select(.breaker != \"closed\") | .name'")
	connection := addConnectionFlags(fs)
	asJSON := fs.Bool("json", false, "print the upstreams as they were received")
	if _, code, done := t.Parse(fs, args, 0); done {
		return code
	}
	return connection.run(ctx, t, "upstreams", func(c *client) error { return c.upstreams(ctx, t, *asJSON) })
}

func (c *client) upstreams(ctx context.Context, t *console.Terminal, asJSON bool) error {
	a, err := c.ask(ctx, request{path: "/v1/upstreams"})
	if err != nil {
		return err
	}
	var list upstreamList
	if a.code != http.StatusOK || json.Unmarshal(a.body, &list) != nil || list.Object != "list" {
		return errNoUpstreams
	}
	if asJSON {
		return writeLine(t.Stdout, string(a.body))
	}
	if len(list.Data) == 0 {
		fmt.Fprintln(t.Stderr, "no upstreams")
		return nil
	}
	return writeLines(t.Stdout, t.Lines(upstreamTable(list.Data, time.Now()), t.Width()))
}

// state is how an upstream does.
type state int

// The states, in the order in which they are shown.
const (
	cutOff state = iota
	probing
	paused
	failing
	slow
	answering
	notAsked
)

const (
	// failingRatio of the polls of the last minutes failed, the latest within
	// failingFor: fewer is what clients do not notice.
	failingRatio = 0.1
	failingFor   = time.Minute
	// slowFrom is the median of an answer to a status poll that a person
	// would call slow, in seconds.
	slowFrom = 2
)

func (u *upstreamRow) state(now time.Time) state {
	switch {
	case u.Breaker == "half-open":
		return probing
	case u.Breaker != "closed":
		return cutOff
	case u.Paused != nil && *u.Paused > 0:
		return paused
	case u.ErrorRatio >= failingRatio && u.LastError != nil && now.Sub(u.LastError.At) < failingFor:
		return failing
	case u.Latency.P50 != nil && *u.Latency.P50 >= slowFrom:
		return slow
	case u.Polls.Upstream == 0 && u.LastError == nil:
		return notAsked
	}
	return answering
}

// stateCell is the state in words, with how long it lasts.
func (u *upstreamRow) stateCell(now time.Time) console.Cell {
	until := func(word string, seconds *float64) string {
		if seconds == nil || *seconds <= 0 {
			return word
		}
		return fmt.Sprintf("%s %s", word, wait(*seconds))
	}
	switch u.state(now) {
	case cutOff:
		return console.Cell{Text: until("cut off", u.RetryIn), Style: console.Bad}
	case probing:
		return console.Cell{Text: "probing", Style: console.Caution}
	case paused:
		return console.Cell{Text: until("paused", u.Paused), Style: console.Caution}
	case failing:
		return console.Cell{Text: "failing", Style: console.Bad}
	case slow:
		return console.Cell{Text: "slow", Style: console.Caution}
	case notAsked:
		return console.Cell{Text: "not asked yet", Style: console.Faint}
	}
	return console.Cell{Text: "answering", Style: console.Good}
}

// wait is how long something lasts: 3 s, 12 min.
func wait(seconds float64) string {
	if seconds < 120 {
		return fmt.Sprintf("%.0f s", seconds)
	}
	return fmt.Sprintf("%.0f min", seconds/60)
}

// troubleFirst orders upstreams by how much they need somebody, then by name.
func troubleFirst(rows []upstreamRow, now time.Time) []upstreamRow {
	sorted := slices.Clone(rows)
	slices.SortStableFunc(sorted, func(a, b upstreamRow) int {
		x, y := min(a.state(now), answering), min(b.state(now), answering)
		if x != y {
			return int(x - y)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return sorted
}

// upstreamColumns are those that every table of upstreams has; what matters
// most stands first and stays.
var upstreamColumns = []console.Column{
	{Head: "UPSTREAM", Least: 12}, {Head: "STATE"}, {Head: "ERRORS", Right: true, Drop: 1}, {Head: "LAST ERROR", Least: 26, Drop: 2},
	{Head: "POLLS", Right: true, Drop: 4}, {Head: "ASKED", Right: true, Drop: 5},
	{Head: "P50", Right: true, Drop: 6}, {Head: "P99", Right: true, Drop: 3}, {Head: "BUDGET", Right: true, Drop: 7},
}

func upstreamTable(rows []upstreamRow, now time.Time) *console.Table {
	table := &console.Table{Columns: upstreamColumns}
	for _, u := range troubleFirst(rows, now) {
		table.Rows = append(table.Rows, u.cells(now))
	}
	return table
}

// cells are the row, in upstreamColumns.
func (u *upstreamRow) cells(now time.Time) []console.Cell {
	errorRatio := console.Cell{Text: fmt.Sprintf("%.1f %%", 100*u.ErrorRatio)}
	if u.ErrorRatio == 0 {
		errorRatio.Style = console.Faint
	}
	return []console.Cell{
		{Text: console.CleanLine(u.Name)}, u.stateCell(now), errorRatio, {Text: u.lastError(now)},
		{Text: count(u.Polls.Received)}, {Text: count(u.Polls.Upstream)},
		{Text: seconds(u.Latency.P50)}, {Text: seconds(u.Latency.P99)}, {Text: u.budget()},
	}
}

// budget is what is left of the polls that the upstream allows.
func (u *upstreamRow) budget() string {
	if u.Budget == nil {
		return ""
	}
	most := cmp.Or(u.Budget.Burst, u.Budget.Limit)
	if u.Budget.Left >= most {
		return "full"
	}
	return fmt.Sprintf("%.0f of %.0f", u.Budget.Left, most)
}

func (u *upstreamRow) lastError(now time.Time) string {
	if u.LastError == nil {
		return ""
	}
	text := console.CleanLine(u.LastError.Type)
	if u.LastError.Status != nil {
		text += fmt.Sprintf(" %d", *u.LastError.Status)
	}
	text += ", " + console.Since(&u.LastError.At, now) + " ago"
	if detail := textOf(u.LastError.Detail); detail != "" {
		text += ": " + detail
	}
	return text
}

// count is a number in at most six characters, so that no digit is cut off.
func count(n int64) string {
	switch {
	case n < 1e6:
		return strconv.FormatInt(n, 10)
	case n < 1e9:
		return fmt.Sprintf("%.1fM", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1fG", float64(n)/1e9)
}

// seconds is a short time: 8ms, 1.2s, 4m; "-" if nobody knows.
func seconds(s *float64) string {
	switch {
	case s == nil:
		return "-"
	case *s < 0.001:
		return "<1ms"
	case *s < 1:
		return fmt.Sprintf("%.0fms", *s*1000)
	case *s < 60:
		return fmt.Sprintf("%.1fs", *s)
	}
	return console.Brief(time.Duration(*s * float64(time.Second)))
}
