package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"pollux/cmd/pollux/console"
)

func getCommand(ctx context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("get", `Shows a task as Pollux knows it, asking the upstream only when it is time to.
`+clientHelp,
		"pollux get shannon/task_1",
		"pollux get --json orq/my-agent/01K6 | jq -r .output.text",
		"pollux get --fresh 'gumloop/abc?user_id=u'  # asks the upstream again")
	connection := addConnectionFlags(fs).addCredentialFlags(fs)
	asJSON := fs.Bool("json", false, "print the task document as it was received")
	fresh := fs.Bool("fresh", false, "ask the upstream again, as soon as its pace allows")
	include := fs.String("include", "", "what to add to the document: `native`, history, or both with a comma; implies --json")
	rest, code, done := t.Parse(fs, args, 1)
	if done {
		return code
	}
	return connection.run(ctx, t, "get", func(c *client) error {
		ref, err := parseRef(rest[0])
		if err == nil {
			err = checkInclude(*include)
		}
		if err != nil {
			return err
		}
		r := taskRequest(ref)
		if *fresh {
			r.header.Set("Cache-Control", "no-cache")
		}
		r.include(*include)
		return c.get(ctx, t, ref, r, *asJSON || *include != "")
	})
}

func checkInclude(what string) error {
	for word := range strings.SplitSeq(what, ",") {
		if err := oneOf("include", "it is", word, []string{"native", "history"}); what != "" && err != nil {
			return err
		}
	}
	return nil
}

// include asks for more than the document; "" for nothing.
func (r *request) include(what string) {
	if what == "" {
		return
	}
	if r.query != "" {
		r.query += "&"
	}
	r.query += "include=" + url.QueryEscape(what)
}

func (c *client) get(ctx context.Context, t *console.Terminal, ref taskRef, r request, asJSON bool) error {
	a, err := c.ask(ctx, r)
	if err != nil {
		return err
	}
	if a.code != http.StatusOK {
		return errNoDocument
	}
	d, err := parseDocument(a.body)
	if err != nil {
		return err
	}
	return d.write(t, ref, a, asJSON)
}

// write shows the document of an answer, or its bytes as they were received
// and the end of a line.
func (d *document) write(t *console.Terminal, ref taskRef, a *answer, asJSON bool) error {
	var err error
	if asJSON {
		_, err = fmt.Fprintf(t.Stdout, "%s\n", a.body)
	} else {
		err = d.writeText(t, ref.label, heardText(a))
	}
	if err != nil {
		return outputError{fmt.Errorf("%s cannot be shown: %w", ref.label, err)}
	}
	return nil
}
