package proxy

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"

	"github.com/valyala/fasthttp"

	"pollux/proxy/access"
	"pollux/proxy/agents"
	"pollux/proxy/follow"
	"pollux/proxy/problem"
	"pollux/proxy/tasks"
)

// desk is what agents may do with tasks: the faces of tasks and of the fleet,
// under the rules of a batch.
type desk struct {
	server    *Server
	group     *tasks.Group
	request   *access.Request // while it lasts
	publicURL string
}

// openDesk is an agents.Open.
func (s *Server) openDesk(x *access.Request, header *fasthttp.RequestHeader, inHeader bool) agents.Tasks {
	return &desk{server: s, request: x, publicURL: x.Settings.PublicURL, group: &tasks.Group{
		Rules: x.Rules, Grant: x.Grant(access.ScopeRead), Limits: x.Settings.Limits, Header: header, Client: x.Client, InHeader: inHeader, Traceparent: x.Traceparent(), Span: x.Span,
	}}
}

func (d *desk) Wait(ctx context.Context, refs []string, enough func([]follow.Answer) bool) []follow.Answer {
	return d.server.tasks.Wait(ctx, d.group, refs, enough)
}

func (d *desk) List(q agents.Query) ([]json.RawMessage, string, *problem.Problem) {
	query := url.Values{"limit": {strconv.Itoa(q.Limit)}}
	for name, value := range map[string]string{"upstream": q.Upstream, "status": q.Status, "q": q.Q, "since": q.Since, "cursor": q.Cursor} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return d.server.fleet.Rows(d.request, []byte(query.Encode()))
}

func (d *desk) Cancel(ctx context.Context, ref string) *problem.Problem {
	return d.server.tasks.Cancel(ctx, d.group, ref)
}

func (d *desk) Explain(p *problem.Problem) json.RawMessage { return p.AppendJSON(nil, d.publicURL) }
