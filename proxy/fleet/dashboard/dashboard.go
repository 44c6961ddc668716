// Package dashboard holds the live page of a Pollux: HTML, style sheets and
// ECMAScript modules, embedded as they are written. There is no build step and
// nothing is loaded from elsewhere.
package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"path"
)

// CSP is the Content-Security-Policy that every answer with an asset must
// carry. The page shows text of upstreams, so nothing inline may run or style,
// and Trusted Types turn any string that reaches an HTML sink into an error.
const CSP = "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// Root is the path of the page itself.
const Root = "/dashboard"

//go:embed static/*.html static/*.css static/*.mjs static/*.svg
var files embed.FS

type asset struct {
	body              []byte
	contentType, etag string
}

var assets = load()

// Asset returns what is served under path, a whole request path such as
// /dashboard or /dashboard/main.mjs. ok is false if there is nothing. etag is a
// strong entity tag with its quotes. The body is shared: it must not be
// modified. Safe for concurrent use.
func Asset(path string) (body []byte, contentType, etag string, ok bool) {
	a, ok := assets[path]
	return a.body, a.contentType, a.etag, ok
}

// contentTypes are the media types by file extension. JavaScript is
// text/javascript since RFC 9239, and a module with another type is refused.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".mjs":  "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

func load() map[string]asset {
	entries, err := files.ReadDir("static")
	if err != nil {
		panic("BUG: the embedded dashboard cannot be read: " + err.Error())
	}
	assets := make(map[string]asset, len(entries)+2)
	for _, e := range entries {
		body, err := files.ReadFile("static/" + e.Name())
		if err != nil {
			panic("BUG: the embedded dashboard cannot be read: " + err.Error())
		}
		if e.Name() == "index.html" {
			assets[Root] = newAsset(e.Name(), body)
			assets[Root+"/"] = newAsset(e.Name(), oneLevelDown(body))
			continue
		}
		assets[Root+"/"+e.Name()] = newAsset(e.Name(), body)
	}
	return assets
}

func newAsset(name string, body []byte) asset {
	sum := sha256.Sum256(body)
	return asset{body, contentTypes[path.Ext(name)], `"` + hex.EncodeToString(sum[:12]) + `"`}
}

// oneLevelDown rewrites the relative references of the page for the address
// with a closing slash, where they would otherwise lead to dashboard/dashboard/.
func oneLevelDown(page []byte) []byte {
	return bytes.ReplaceAll(page, []byte(`="dashboard/`), []byte(`="`))
}
