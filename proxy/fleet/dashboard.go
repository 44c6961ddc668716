package fleet

import (
	"net/url"

	"github.com/valyala/fasthttp"

	"pollux/proxy/access"
	"pollux/proxy/fleet/dashboard"
	"pollux/proxy/wire"
)

const (
	DashboardPath = dashboard.Root
	SessionPath   = "/v1/session"
)

// ServeIndex sends browsers to the dashboard, below the path of public_url.
func (s *Service) ServeIndex(x *access.Request) {
	prefix := ""
	if u, err := url.Parse(x.Settings.PublicURL); err == nil {
		prefix = u.EscapedPath()
	}
	x.Ctx.Response.Header.Set("Location", prefix+DashboardPath)
	x.SetHeader(wire.HeaderCacheControl, wire.NoStore)
	x.Ctx.SetStatusCode(fasthttp.StatusFound)
}

// ServeDashboard answers with the page and its files. The page shows nothing
// that it has not asked for under /v1, with the key of who looks at it. Who
// lacks the scope fleet is told so by the status code, and gets the page all
// the same, since it is also the form in which to log in.
func (s *Service) ServeDashboard(x *access.Request) {
	body, contentType, etag, ok := dashboard.Asset(string(x.Path))
	if !ok {
		x.Problem(&wire.RefusePath.Problem)
		return
	}
	h := &x.Ctx.Response.Header
	code := fasthttp.StatusOK
	if path := string(x.Path); path == DashboardPath || path == DashboardPath+"/" {
		if _, denied := x.Rules.Enter(&x.Ctx.Request.Header, access.ScopeFleet, nil); denied != nil {
			if code = denied.Status; code == fasthttp.StatusUnauthorized {
				h.Set("WWW-Authenticate", denied.Challenge)
			}
		}
		h.Set("Vary", "Authorization, Cookie, "+access.KeyHeader)
	}
	h.SetContentType(contentType)
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", dashboard.CSP)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	if code != fasthttp.StatusOK {
		x.Ctx.SetStatusCode(code)
		x.Ctx.Response.SetBodyRaw(body)
		return
	}
	h.Set("ETag", etag)
	if x.Unchanged(etag) {
		return
	}
	x.Ctx.Response.SetBodyRaw(body)
}
