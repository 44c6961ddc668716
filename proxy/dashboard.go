package proxy

import (
	"net/url"

	"github.com/valyala/fasthttp"

	"pollux/proxy/dashboard"
)

const (
	dashboardPath = dashboard.Root
	sessionPath   = "/v1/session"
)

// serveIndex sends browsers to the dashboard, below the path of public_url.
func (s *fleetService) serveIndex(x *request) {
	prefix := ""
	if u, err := url.Parse(x.settings.publicURL); err == nil {
		prefix = u.EscapedPath()
	}
	x.ctx.Response.Header.Set("Location", prefix+dashboardPath)
	x.setHeader(headerCacheControl, noStore)
	x.ctx.SetStatusCode(fasthttp.StatusFound)
}

// serveDashboard answers with the page and its files. The page shows nothing
// that it has not asked for under /v1, with the key of who looks at it. Who
// lacks the scope fleet is told so by the status code, and gets the page all
// the same, since it is also the form in which to log in.
func (s *fleetService) serveDashboard(x *request) {
	body, contentType, etag, ok := dashboard.Asset(string(x.path))
	if !ok {
		x.problem(&refusePath.Problem)
		return
	}
	h := &x.ctx.Response.Header
	code := fasthttp.StatusOK
	if path := string(x.path); path == dashboardPath || path == dashboardPath+"/" {
		if denied := x.rules.enter(&x.ctx.Request.Header, ScopeFleet, nil); denied != nil {
			if code = denied.Status; code == fasthttp.StatusUnauthorized {
				h.Set("WWW-Authenticate", denied.challenge)
			}
		}
		h.Set("Vary", "Authorization, Cookie, "+keyHeader)
	}
	h.SetContentType(contentType)
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", dashboard.CSP)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	if code != fasthttp.StatusOK {
		x.ctx.SetStatusCode(code)
		x.ctx.Response.SetBodyRaw(body)
		return
	}
	h.Set("ETag", etag)
	if x.unchanged(etag) {
		return
	}
	x.ctx.Response.SetBodyRaw(body)
}
