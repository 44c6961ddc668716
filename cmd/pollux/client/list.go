package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollux/cmd/pollux/console"
	"pollux/normalize"
	"pollux/providers/strictyaml"
)

var errNoList = errors.New("the answer is no list of tasks: is this a Pollux?")

// taskRow is a row of the list of tasks, without what the client does not show.
type taskRow struct {
	Ref       string           `json:"ref"`
	Key       string           `json:"key"`
	Upstream  string           `json:"upstream"`
	Status    normalize.Status `json:"status"`
	CreatedAt *time.Time       `json:"created_at"`
	FirstSeen *time.Time       `json:"first_seen"`
	UpdatedAt *time.Time       `json:"updated_at"`
	Error     *struct {
		Code    *string `json:"code"`
		Message *string `json:"message"`
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
	return connection.run(ctx, t, "list", func(c *client) error {
		query, err := filters.query(strings.Join(rest, ""), time.Now())
		if err != nil {
			return err
		}
		r := request{path: pathTasks, query: encoded(query), upstream: query.Get("upstream")}
		if *watch {
			return c.watchList(ctx, t, r, *asJSON)
		}
		return c.list(ctx, t, r, *asJSON)
	})
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
	fs.StringVar(&f.q, "q", "", "only tasks whose `id` is or begins with this, or whose model or error code is this")
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
	if err := f.check(); err != nil {
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

// check refuses what Pollux would refuse, and says what was meant.
func (f *listFlags) check() error {
	statuses := make([]string, len(normalize.Statuses))
	for i, s := range normalize.Statuses {
		statuses[i] = string(s)
	}
	for status := range strings.SplitSeq(f.status, ",") {
		if err := oneOf("status", "statuses are", strings.TrimSpace(status), statuses); f.status != "" && err != nil {
			return err
		}
	}
	if err := oneOf("terminal", "it is", f.terminal, []string{"true", "false"}); f.terminal != "" && err != nil {
		return err
	}
	orders := []string{"created_at", "updated_at", "completed_at"}
	if err := oneOf("sort", "orders are", strings.TrimPrefix(f.sort, "-"), orders); f.sort != "" && err != nil {
		return err
	}
	return nil
}

// oneOf is the fault of a flag whose value is none of known.
func oneOf(name, are, value string, known []string) error {
	if slices.Contains(known, value) {
		return nil
	}
	if near := strictyaml.Suggest(value, known); near != "" {
		return wrongUsage("--%s: there is no `%s`: did you mean `%s`?", name, value, near)
	}
	return wrongUsage("--%s: there is no `%s`: %s %s", name, value, are, strings.Join(known, ", "))
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
	if len(list.Data) > 0 {
		if err := writeLines(t.Stdout, t.Lines(taskTable(list.Data, time.Now()), t.Width())); err != nil {
			return err
		}
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

// taskTable shows rows with what is to be known of each. The reference, which
// other commands take, is cut last.
func taskTable(rows []taskRow, now time.Time) *console.Table {
	table := &console.Table{Columns: []console.Column{{Head: "TASK", Least: 24}, {Head: "STATUS"}, {Head: "CREATED", Right: true, Drop: 2},
		{Head: "CHANGED", Right: true, Drop: 1}, {Head: "NOTE", Least: 28}, {Head: "MODEL", Drop: 3}}}
	for i := range rows {
		row := &rows[i]
		table.Rows = append(table.Rows, []console.Cell{
			{Text: console.CleanLine(row.Ref)}, row.statusCell(), {Text: console.Since(row.start(), now)},
			{Text: console.Since(row.UpdatedAt, now)}, row.note(), {Text: textOf(row.Model), Style: console.Faint}})
	}
	return table
}

// start is when the task was created, or else when Pollux first saw it.
func (r *taskRow) start() *time.Time { return cmp.Or(r.CreatedAt, r.FirstSeen) }

func (r *taskRow) statusCell() console.Cell {
	return console.Cell{Text: console.CleanLine(string(r.Status)), Style: statusStyle(r.Status)}
}

// note is what deserves attention: why a task failed, or that it takes longer
// than others did.
func (r *taskRow) note() console.Cell {
	switch {
	case r.Error != nil:
		return console.Cell{Text: reasonText(r.Error.Code, r.Error.Message)}
	case r.Stuck:
		return console.Cell{Text: "stuck", Style: console.Caution}
	}
	return console.Cell{}
}

// reasonText is a code and a message on one line, as far as there are any.
func reasonText(code, message *string) string {
	c, m := textOf(code), textOf(message)
	if c != "" && m != "" {
		return c + ": " + m
	}
	return c + m
}

// maxRemembered bounds what a list that is watched for days remembers.
const maxRemembered = 10_000

// watchList shows rows as they change. A new connection repeats what is known
// already, which is not shown again.
func (c *client) watchList(ctx context.Context, t *console.Terminal, r request, asJSON bool) error {
	shown := map[[2]string]string{} // the last row by key and reference: a reference is a task under each credential
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
		line := strings.TrimRight(fmt.Sprintf("%-20s  %s  %s  %s", secondText(row.UpdatedAt), t.Paint(statusStyle(row.Status),
			console.Pad(console.CleanLine(string(row.Status)), 15)), console.CleanLine(row.Ref), row.note().Text), " ")
		task := [2]string{row.Key, row.Ref}
		if shown[task] == line {
			return nil
		}
		if len(shown) >= maxRemembered {
			clear(shown)
		}
		shown[task] = line
		if asJSON {
			return writeJSONLine(t.Stdout, ev.data)
		}
		return writeLine(t.Stdout, fitted(t, line))
	}
	s := &stream{client: c, request: r, handle: handle, over: func() bool { return false }}
	return s.run(ctx)
}
