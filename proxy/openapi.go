package proxy

import (
	"crypto/sha256"
	_ "embed" // for the description
	"encoding/hex"

	"pollux/proxy/wire"
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
	x.SetHeader(wire.HeaderContentType, wire.TypeJSON)
	x.SetHeader(wire.HeaderCacheControl, []byte("no-cache"))
	x.SetHeader(wire.HeaderSniff, wire.NoSniff)
	x.Ctx.Response.Header.Set("ETag", openAPITag)
	if x.Unchanged(openAPITag) {
		return
	}
	x.Ctx.Response.SetBodyRaw(openAPI)
}
