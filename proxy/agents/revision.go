package agents

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
)

const (
	revisionModern = "2026-07-28" // without sessions and initialize
	revisionLegacy = "2025-11-25" // the newest with them
)

// revisions are spoken, newest first.
var revisions = []string{revisionModern, revisionLegacy, "2025-06-18"}

const (
	headerVersion = "Mcp-Protocol-Version"
	headerMethod  = "Mcp-Method"
	headerName    = "Mcp-Name"
)

// tasksExtension is the extension under which a wait may be a handle.
const tasksExtension = "io.modelcontextprotocol/tasks"

// instructions tell a model what the server is for.
const instructions = "Jobs at other APIs answer 'come back later'. Do not poll them turn by turn: call wait_for_tasks with their references " +
	"and it answers when they have ended, or after timeout_seconds with what is known by then. " +
	"A reference is the upstream's name and the id, as in \"openai/resp_123\"; list_tasks finds them."

// checkVersion refuses a revision that is not spoken. Without the header it is
// one from before there was a header, or initialize.
func (c *Call) checkVersion() *rpcError {
	sent := c.request.Header(headerVersion)
	if sent == "" || slices.Contains(revisions, sent) || sent == "2025-03-26" {
		return nil
	}
	return unsupported(sent)
}

func unsupported(version string) *rpcError {
	return &rpcError{Code: codeUnsupportedVersion, Message: "unsupported protocol version",
		Data: map[string]any{"supported": revisions, "requested": version}}
}

// revise finds out which revision a request speaks and checks what that demands
// of its headers (2026-07-28, basic/transports): a load balancer decides by
// them, so they must not say other things than the body.
func (c *Call) revise() (failed *rpcError, status int) {
	if failed := c.checkVersion(); failed != nil {
		return failed, 400
	}
	sent, meta := c.request.Header(headerVersion), c.params.Meta.Version
	c.modern = sent >= revisionModern || meta != nil
	if !c.modern {
		return nil, 0
	}
	mismatch := func(text string) (*rpcError, int) { return &rpcError{Code: codeHeaderMismatch, Message: text}, 400 }
	switch {
	case sent == "":
		return mismatch("the header MCP-Protocol-Version is missing")
	case meta == nil:
		return &rpcError{Code: codeInvalidParams, Message: "_meta lacks io.modelcontextprotocol/protocolVersion"}, 400
	case sent != *meta:
		return mismatch("the header MCP-Protocol-Version and _meta name two revisions")
	case c.request.Header(headerMethod) == "":
		return mismatch("the header Mcp-Method is missing")
	case c.request.Header(headerMethod) != c.method:
		return mismatch("the header Mcp-Method names another method than the body")
	case !c.nameMatches():
		return mismatch("the header Mcp-Name is missing, or names something else than the body")
	case !isObject(c.params.Meta.Capabilities):
		return &rpcError{Code: codeInvalidParams, Message: "_meta lacks io.modelcontextprotocol/clientCapabilities"}, 400
	}
	return nil, 0
}

func isObject(raw json.RawMessage) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal(raw, &object) == nil && object != nil
}

// nameMatches compares Mcp-Name with what the method is about.
func (c *Call) nameMatches() bool {
	switch c.method {
	case "tools/call":
		return c.headerName() == c.params.Name && c.params.Name != ""
	case "tasks/get", "tasks/update", "tasks/cancel":
		return c.headerName() == c.params.TaskID && c.params.TaskID != ""
	}
	return true
}

// headerName is Mcp-Name. What cannot stand in a header comes as
// =?base64?...?=.
func (c *Call) headerName() string {
	name := c.request.Header(headerName)
	if coded, ok := strings.CutPrefix(name, "=?base64?"); ok {
		if coded, ok = strings.CutSuffix(coded, "?="); ok {
			if plain, err := base64.StdEncoding.DecodeString(coded); err == nil {
				return string(plain)
			}
		}
	}
	return name
}

// handles reports whether the request declares the Tasks extension. It counts
// for that request only.
func (c *Call) handles() bool {
	var declared struct {
		Extensions map[string]json.RawMessage `json:"extensions"`
	}
	_ = json.Unmarshal(c.params.Meta.Capabilities, &declared) // nothing declared then
	return c.modern && isObject(declared.Extensions[tasksExtension])
}

type implementation struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Version string `json:"version"`
}

func (s *Server) implementation() implementation {
	return implementation{Name: "pollux", Title: "Pollux", Version: s.version}
}

func (c *Call) initialize() (any, *rpcError) {
	if c.params.ProtocolVersion == "" {
		return nil, &rpcError{Code: codeInvalidParams, Message: "protocolVersion is missing"}
	}
	version := revisionLegacy
	if v := c.params.ProtocolVersion; v != revisionModern && slices.Contains(revisions, v) {
		version = v
	}
	return map[string]any{
		"protocolVersion": version, "capabilities": map[string]any{"tools": struct{}{}},
		"serverInfo": c.server.implementation(), "instructions": instructions,
	}, nil
}

func (c *Call) discover() any {
	return c.complete(map[string]any{
		"supportedVersions": revisions, "instructions": instructions,
		"capabilities": map[string]any{"tools": struct{}{}, "extensions": map[string]any{tasksExtension: struct{}{}}},
		"ttlMs":        listTTL.Milliseconds(), "cacheScope": "public",
		"_meta": map[string]any{"io.modelcontextprotocol/serverInfo": c.server.implementation()},
	})
}

// complete marks a result as one, from 2026-07-28 on.
func (c *Call) complete(result map[string]any) map[string]any {
	if c.modern {
		result["resultType"] = "complete"
	}
	return result
}
