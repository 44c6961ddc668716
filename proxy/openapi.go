package proxy

import (
	"crypto/sha256"
	_ "embed" // for the description
	"encoding/hex"
)

// openAPI describes every endpoint in OpenAPI 3.1.
//
//go:embed openapi.json
var openAPI []byte

var openAPITag = func() string {
	sum := sha256.Sum256(openAPI)
	return `"` + hex.EncodeToString(sum[:12]) + `"`
}()

// serveOpenAPI answers with the description. It holds nothing of this
// installation, so it needs no key.
func (s *Server) serveOpenAPI(x *serving) {
	x.setHeader(headerContentType, typeJSON)
	x.setHeader(headerCacheControl, []byte("no-cache"))
	x.setHeader(headerSniff, noSniff)
	x.ctx.Response.Header.Set("ETag", openAPITag)
	if x.unchanged(openAPITag) {
		return
	}
	x.ctx.Response.SetBodyRaw(openAPI)
}
