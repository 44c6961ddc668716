package proxy

import (
	"bytes"
	"fmt"
	"html"
	"strings"

	"github.com/prometheus/common/expfmt"

	"pollux/proxy/access"
	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

// serveHealth says that the process lives.
func (s *Server) serveHealth(x *serving) { x.Text(200, "ok\n") }

// serveReady says whether to send requests here: not once a shutdown has begun.
func (s *Server) serveReady(x *serving) {
	if s.draining.Load() {
		x.Text(503, "shutting down\n")
		return
	}
	if s.engine.Alone() {
		x.Text(200, "ready\nwarning: the store does not answer: going on without it\n")
		return
	}
	x.Text(200, "ready\n")
}

// serveMetrics writes all metrics in the text format of Prometheus.
func (s *Server) serveMetrics(x *serving) {
	if _, denied := x.Rules.Enter(&x.Ctx.Request.Header, access.ScopeFleet, nil); denied != nil {
		x.Deny(denied)
		return
	}
	families, err := s.gatherer.Gather()
	if err != nil {
		s.log.Error("metrics cannot be gathered completely", "err", err)
	}
	var b bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&b, family); err != nil {
			s.log.Error("a metric cannot be rendered", "metric", family.GetName(), "err", err)
		}
	}
	x.Ctx.Response.Header.SetContentType(string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	x.SetHeader(wire.HeaderCacheControl, wire.NoStore)
	x.Ctx.SetBody(b.Bytes())
}

const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>%[1]s</title>
<h1>%[1]s</h1>
%[2]s
</html>
`

// html answers with a small page. Body is markup of ours.
func (x *serving) html(title, body string) {
	h := &x.Ctx.Response.Header
	h.SetContentType("text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	x.Ctx.SetBodyString(fmt.Sprintf(page, html.EscapeString(title), body))
}

// problemList leads to the page of each problem type, by relative links.
func problemList() string {
	var b strings.Builder
	b.WriteString("<ul>\n")
	for i := range problem.Kinds {
		kind := &problem.Kinds[i]
		name := html.EscapeString(string(kind.Type))
		fmt.Fprintf(&b, "<li><a href=\"%s\"><code>%s</code></a>: %s. %s</li>\n", name, name, html.EscapeString(kind.Title), html.EscapeString(kind.About))
	}
	return b.String() + "</ul>"
}

// serveProblemPage explains one problem type, or lists them all.
func (s *Server) serveProblemPage(x *serving) {
	if len(x.Rest) == 0 {
		x.html("Problems", problemList())
		return
	}
	kind := problem.KindOf(problem.Type(x.Rest))
	if kind == nil {
		x.Problem(&problem.Problem{Type: problem.AboutBlank, Status: 404, Detail: "there is no such problem type"})
		return
	}
	code := "The status code is the upstream's."
	if kind.Code != 0 {
		code = fmt.Sprintf("Status code %d.", kind.Code)
	}
	x.html(kind.Title, "<p><code>"+html.EscapeString(string(kind.Type))+"</code></p>\n<p>"+html.EscapeString(kind.About)+"</p>\n<p>"+code+"</p>")
}
