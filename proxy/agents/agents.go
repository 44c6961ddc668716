// Package agents is the face for language models: an MCP server whose tools
// wait, so that a model spends one turn where it would have polled for many.
// It keeps nothing between two messages: what a message may see is decided by
// the headers that came with it, as for a batch.
//
// The methods are few and written out here, not taken from an SDK: those in Go
// have no Tasks extension, and run a session in goroutines of its own for every
// message, which cannot see that a client of ours has left. The official
// clients drive it in the tests.
package agents

import (
	"context"
	"encoding/json"
	"time"

	"pollux/proxy/follow"
	"pollux/proxy/problem"
)

// Tasks is what the caller of one message may do with tasks. References are
// strings, as in a batch.
type Tasks interface {
	// Wait polls refs, then follows them until enough says so of the answers,
	// which are in the order of refs, or ctx ends. enough is called in one
	// goroutine, after the first answers and after each change.
	Wait(ctx context.Context, refs []string, enough func([]follow.Answer) bool) []follow.Answer
	// List returns rows as GET /v1/tasks has them.
	List(q Query) (rows []json.RawMessage, next string, p *problem.Problem)
	// Cancel asks the upstream to cancel the task. It returns nil once the
	// upstream has accepted.
	Cancel(ctx context.Context, ref string) *problem.Problem
	// Explain is the document of a problem (RFC 9457).
	Explain(p *problem.Problem) json.RawMessage
}

// Query is a list that is asked for, each member as the query parameter of the
// same name. Empty ones restrict nothing.
type Query struct {
	Upstream, Status, Q, Since, Cursor string
	Limit                              int
}

// Server answers MCP messages. It is safe for concurrent use.
type Server struct {
	version string
}

// New returns a Server that gives version as its own.
func New(version string) *Server { return &Server{version: version} }

// Request is one message and what came with it.
type Request struct {
	Body    []byte
	Header  func(name string) string // of the HTTP request, "" if absent
	Tasks   Tasks
	MaxWait time.Duration // limits.wait
	Left    func() bool   // whether the caller has gone; nil: nobody can tell
}

// left reports whether nobody waits for the answer any more.
func (r *Request) left() bool { return r.Left != nil && r.Left() }

// Reply answers a message. Body is nil where there is nothing to say, as to a
// notification.
type Reply struct {
	Code int // HTTP status
	Body []byte
}

// Call is a message that was understood, and has to be answered.
type Call struct {
	server   *Server
	request  Request
	id       json.RawMessage
	method   string
	params   params
	modern   bool // revision 2026-07-28 or later
	progress json.RawMessage
}

// Progress reports whether the caller wants to be told how a wait goes, so that
// the answer has to be a stream.
func (c *Call) Progress() bool { return c.progress != nil && c.method == "tools/call" }

// Run carries the call out. notify is called with messages that come before
// the answer, in order, by one goroutine; nil drops them.
func (c *Call) Run(ctx context.Context, notify func(message []byte)) Reply {
	if notify == nil {
		notify = func([]byte) {}
	}
	result, failed := c.dispatch(ctx, notify)
	if failed != nil {
		return c.fail(failed)
	}
	return Reply{Code: 200, Body: appendResponse(c.id, "result", result)}
}

func (c *Call) dispatch(ctx context.Context, notify func([]byte)) (any, *rpcError) {
	switch c.method {
	case "tools/list":
		return c.listTools(), nil
	case "tools/call":
		return c.callTool(ctx, notify)
	}
	if c.modern {
		switch c.method {
		case "server/discover":
			return c.discover(), nil
		case "tasks/get", "tasks/update", "tasks/cancel":
			return c.taskMethod(ctx)
		}
	} else {
		switch c.method {
		case "initialize":
			return c.initialize()
		case "ping":
			return struct{}{}, nil
		}
	}
	return nil, &rpcError{Code: codeMethodNotFound, Message: "there is no such method in this revision"}
}
