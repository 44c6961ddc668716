package client

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"pollux/cmd/pollux/console"
	"pollux/normalize"
)

var errNoList = errors.New("the answer is no list of tasks: is this a Pollux?")

// taskRow is a row of the list of tasks, without what the client does not show.
type taskRow struct {
	Ref       string           `json:"ref"`
	Upstream  string           `json:"upstream"`
	Status    normalize.Status `json:"status"`
	CreatedAt *time.Time       `json:"created_at"`
	FirstSeen *time.Time       `json:"first_seen"`
	UpdatedAt *time.Time       `json:"updated_at"`
	Error     *struct {
		Code *string `json:"code"`
	} `json:"error"`
	Model *string `json:"model"`
	Stuck bool    `json:"stuck"`
}

// taskList is one page.
type taskList struct {
	Object     string    `json:"object"`
	Data       []taskRow `json:"data"`
	NextCursor *string   `json:"next_cursor"`
}

func listCommand(ctx context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("list", `Lists the tasks that Pollux knows, without asking an upstream. With an argument
only those of that upstream, or of that id at it.
`+clientHelp,
		"pollux list",
		"pollux list --status failed,timed_out --since 24h  # with the reasons",
		"pollux list orq --terminal false --watch")
	connection := addConnectionFlags(fs).addCredentialFlags(fs)
	filters := addListFlags(fs)
	asJSON := fs.Bool("json", false, "print the list as it was received; with --watch one row a line")
	watch := fs.Bool("watch", false, "go on showing rows as they change, until Ctrl-C")
	rest, code, done := t.Parse(fs, args, console.AnyCount)
	if done {
		return code
	}
	if len(rest) > 1 {
		return t.Misused(fs, "wants at most one argument, has %d", len(rest))
	}
	query, err := filters.query(strings.Join(rest, ""), time.Now())
	if err != nil {
		return ended(ctx, t, "list", err)
	}
	c, err := connection.connect(t)
	if err != nil {
		return ended(ctx, t, "list", err)
	}
	defer c.close()
	r := request{path: pathTasks, query: encoded(query), upstream: query.Get("upstream")}
	if *watch {
		return ended(ctx, t, "list", c.watchList(ctx, t.Stdout, r, *asJSON))
	}
	return ended(ctx, t, "list", c.list(ctx, t, r, *asJSON))
}

// listFlags is what may be asked of a list.
type listFlags struct {
	upstream, status, terminal, q, since, until, sort, cursor string
	limit                                                     int
}

func addListFlags(fs *flag.FlagSet) *listFlags {
	f := &listFlags{}
	fs.StringVar(&f.upstream, "upstream", "", "only tasks at this `upstream`")
	fs.StringVar(&f.status, "status", "", "only tasks in this `status`, or in one of several, with commas")
	fs.StringVar(&f.terminal, "terminal", "", "only tasks that have ended: `true`, or that have not: false")
	fs.StringVar(&f.q, "q", "", "only tasks whose `id` is or begins with this")
	fs.StringVar(&f.since, "since", "", "only tasks since this `time`: RFC 3339, or how long ago, such as 2h")
	fs.StringVar(&f.until, "until", "", "only tasks until this `time`")
	fs.StringVar(&f.sort, "sort", "", "`order`: created_at, updated_at or completed_at, with - in front for the latest first")
	fs.IntVar(&f.limit, "limit", 0, "at most so many `rows`; 0 leaves it to Pollux")
	fs.StringVar(&f.cursor, "cursor", "", "go on behind an earlier list, which named this `cursor`")
	return f
}

// query is the filters as the API wants them. ref is an upstream, or a task.
func (f *listFlags) query(ref string, now time.Time) (url.Values, error) {
	values := url.Values{}
	set := func(name, value string) {
		if value != "" {
			values.Set(name, value)
		}
	}
	set("upstream", f.upstream)
	set("q", f.q)
	if !strings.Contains(ref, "/") {
		set("upstream", ref)
	} else if task, err := parseRef(ref); err == nil {
		set("upstream", task.upstream)
		set("q", task.id())
	} else {
		return nil, err
	}
	set("status", f.status)
	set("terminal", f.terminal)
	for name, text := range map[string]string{"since": f.since, "until": f.until} {
		moment, err := momentText(text, now)
		if err != nil {
			return nil, wrongUsage("--%s wants a time, such as 2025-10-22T10:30:00Z, or how long ago, such as 2h", name)
		}
		set(name, moment)
	}
	set("sort", f.sort)
	set("cursor", f.cursor)
	if f.limit < 0 {
		return nil, wrongUsage("--limit is not negative")
	}
	if f.limit > 0 {
		set("limit", strconv.Itoa(f.limit))
	}
	return values, nil
}

// encoded is a query whose blanks are %20: a plus means one only in forms.
func encoded(v url.Values) string { return strings.ReplaceAll(v.Encode(), "+", "%20") }

// momentText reads a time, or how long before now it was.
func momentText(text string, now time.Time) (string, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago).UTC().Format(time.RFC3339), nil
	}
	if text == "" {
		return "", nil
	}
	moment, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return "", err
	}
	return moment.UTC().Format(time.RFC3339Nano), nil
}

func (c *client) list(ctx context.Context, t *console.Terminal, r request, asJSON bool) error {
	a, err := c.ask(ctx, r)
	if err != nil {
		return err
	}
	list, err := parseList(a)
	if err != nil {
		return err
	}
	if asJSON {
		return writeLine(t.Stdout, string(a.body))
	}
	if err := writeRows(t.Stdout, list.Data, time.Now()); err != nil {
		return outputError{err}
	}
	switch {
	case len(list.Data) == 0:
		fmt.Fprintln(t.Stderr, "no tasks")
	case list.NextCursor != nil:
		fmt.Fprintf(t.Stderr, "there are more: --cursor %s\n", console.CleanLine(*list.NextCursor))
	}
	return nil
}

func parseList(a *answer) (*taskList, error) {
	list := &taskList{}
	if a.code != http.StatusOK || json.Unmarshal(a.body, list) != nil || list.Object != "list" {
		return nil, errNoList
	}
	return list, nil
}

func writeRows(w io.Writer, rows []taskRow, now time.Time) error {
	if len(rows) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TASK\tSTATUS\tCREATED\tCHANGED\tMODEL\tNOTE")
	for _, row := range rows {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", console.CleanLine(row.Ref), console.CleanLine(string(row.Status)),
			console.Since(row.start(), now), console.Since(row.UpdatedAt, now), firstSet(textOf(row.Model), "-"), row.note())
	}
	return table.Flush()
}

// start is when the task was created, or else when Pollux first saw it.
func (r *taskRow) start() *time.Time {
	if r.CreatedAt != nil {
		return r.CreatedAt
	}
	return r.FirstSeen
}

// note is what deserves attention.
func (r *taskRow) note() string {
	switch {
	case r.Error != nil && r.Error.Code != nil:
		return console.CleanLine(*r.Error.Code)
	case r.Stuck:
		return "stuck"
	}
	return ""
}

// maxRemembered bounds what a list that is watched for days remembers.
const maxRemembered = 10_000

// watchList shows rows as they change. A new connection repeats what is known
// already, which is not shown again.
func (c *client) watchList(ctx context.Context, w io.Writer, r request, asJSON bool) error {
	shown := map[string]string{} // the last row by reference
	handle := func(ev event) error {
		switch ev.name {
		case "row":
		case "problem":
			return parseProblem(ev.data)
		default:
			return nil
		}
		var row taskRow
		if json.Unmarshal(ev.data, &row) != nil {
			return errNoList
		}
		line := fmt.Sprintf("%-20s  %s  %s", secondText(row.UpdatedAt), console.Pad(console.CleanLine(string(row.Status)), 15), console.CleanLine(row.Ref))
		if note := row.note(); note != "" {
			line += "  " + note
		}
		if shown[row.Ref] == line {
			return nil
		}
		if len(shown) >= maxRemembered {
			clear(shown)
		}
		shown[row.Ref] = line
		if asJSON {
			return writeJSONLine(w, ev.data)
		}
		return writeLine(w, line)
	}
	s := &stream{client: c, request: r, handle: handle, over: func() bool { return false }}
	return s.run(ctx)
}
