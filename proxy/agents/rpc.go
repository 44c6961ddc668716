package agents

import (
	"bytes"
	"encoding/json"

	"pollux/proxy/wire"
)

// Codes of JSON-RPC 2.0, section 5.1, and of MCP 2026-07-28.
const (
	codeParse              = -32700
	codeInvalidRequest     = -32600
	codeMethodNotFound     = -32601
	codeInvalidParams      = -32602
	codeHeaderMismatch     = -32020
	codeMissingCapability  = -32021
	codeUnsupportedVersion = -32022
)

// rpcError is an error of the protocol. What an upstream says never is one.
type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

// message is any JSON-RPC message.
type message struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  *string         `json:"method"`
	Params  json.RawMessage `json:"params"`
	Result  json.RawMessage `json:"result"`
	Error   json.RawMessage `json:"error"`
}

// params are the members of a request's params that this face reads.
type params struct {
	Meta struct {
		Version       *string         `json:"io.modelcontextprotocol/protocolVersion"`
		Capabilities  json.RawMessage `json:"io.modelcontextprotocol/clientCapabilities"`
		ProgressToken json.RawMessage `json:"progressToken"`
	} `json:"_meta"`
	ProtocolVersion string          `json:"protocolVersion"` // of initialize
	Name            string          `json:"name"`            // of tools/call
	Arguments       json.RawMessage `json:"arguments"`
	TaskID          string          `json:"taskId"` // of tasks/*
}

// Read understands one message. It returns nil and what to answer where there
// is nothing to carry out.
func (s *Server) Read(r Request) (*Call, Reply) {
	c := &Call{server: s, request: r, id: json.RawMessage("null")}
	if err := wire.CheckJSON(r.Body); err != nil {
		return nil, c.refuse(400, codeParse, "the body "+err.Error())
	}
	if bytes.HasPrefix(bytes.TrimLeft(r.Body, " \t\r\n"), []byte("[")) {
		return nil, c.refuse(400, codeInvalidRequest, "one message a request: batches went with revision 2025-06-18")
	}
	var m message
	if json.Unmarshal(r.Body, &m) != nil || m.Version != "2.0" {
		return nil, c.refuse(400, codeInvalidRequest, "the body is no JSON-RPC 2.0 message")
	}
	if m.Method == nil {
		if m.Result == nil && m.Error == nil {
			return nil, c.refuse(400, codeInvalidRequest, "method is missing")
		}
		return nil, Reply{Code: 202} // an answer, to a question that was never asked
	}
	c.method = *m.Method
	if m.ID == nil {
		return nil, c.notified()
	}
	if !isID(m.ID) {
		return nil, c.refuse(400, codeInvalidRequest, "id wants a string or a number")
	}
	c.id = m.ID
	if m.Params != nil && json.Unmarshal(m.Params, &c.params) != nil {
		return nil, c.refuse(400, codeInvalidParams, "params wants an object, and its members their types")
	}
	if token := c.params.Meta.ProgressToken; !wire.IsNull(token) {
		if !isID(token) {
			return nil, c.refuse(400, codeInvalidParams, "progressToken wants a string or a number")
		}
		c.progress = token
	}
	if failed, code := c.revise(); failed != nil {
		return nil, Reply{Code: code, Body: appendResponse(c.id, "error", failed)}
	}
	return c, Reply{}
}

// notified answers a notification. None of them changes anything here: there is
// no session to initialise, and a wait is cancelled by closing its connection.
func (c *Call) notified() Reply {
	if failed := c.checkVersion(); failed != nil {
		return Reply{Code: 400, Body: appendResponse(c.id, "error", failed)}
	}
	return Reply{Code: 202}
}

func (c *Call) refuse(status, code int, text string) Reply {
	return Reply{Code: status, Body: appendResponse(c.id, "error", &rpcError{Code: code, Message: text})}
}

// fail answers with an error, and with the HTTP status that goes with it from
// 2026-07-28 on.
func (c *Call) fail(e *rpcError) Reply {
	status := 200
	if c.modern {
		switch e.Code {
		case codeMethodNotFound:
			status = 404
		case codeInvalidParams, codeMissingCapability, codeUnsupportedVersion:
			status = 400
		}
	}
	return Reply{Code: status, Body: appendResponse(c.id, "error", e)}
}

func isID(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) > 0 && (raw[0] == '"' || raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9')
}

// appendResponse is a response whose member is result or error.
func appendResponse(id json.RawMessage, member string, value any) []byte {
	return mustJSON(map[string]any{"jsonrpc": "2.0", "id": id, member: value})
}

func notification(method string, params any) []byte {
	return mustJSON(map[string]any{"jsonrpc": "2.0", "method": method, "params": params})
}

// mustJSON is v as JSON, with <, > and & as they are: no browser reads it as a
// page, and a model reads fewer tokens.
func mustJSON(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("BUG: " + err.Error()) // every value here is ours, or was checked
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
