package agents

import (
	"context"

	"github.com/valyala/fasthttp"

	"pollux/proxy/access"
	"pollux/proxy/follow"
	"pollux/proxy/wire"
)

// Path is where the MCP server is.
const Path = "/mcp"

// BodyLimit is as long as a message may be, in bytes.
const BodyLimit = 256 << 10

// Face serves MCP over HTTP (Streamable HTTP, stateless).
type Face struct {
	server *Server
	life   *wire.Life
	open   Open
}

// Open returns what the caller of x may do. header is a copy of the request's:
// the result may be used for tasks after x is gone, but not for lists. inHeader
// is what x.Admit found.
type Open func(x *access.Request, header *fasthttp.RequestHeader, inHeader bool) Tasks

// NewFace returns a Face for s.
func NewFace(s *Server, l *wire.Life, open Open) *Face { return &Face{server: s, life: l, open: open} }

// Serve answers POST of a message: in JSON, or, where the caller wants to be
// told how a wait goes, as a stream.
func (f *Face) Serve(x *access.Request) {
	inHeader, denied := x.Admit(access.ScopeRead)
	if denied != nil {
		x.Deny(denied)
		return
	}
	header := new(fasthttp.RequestHeader)
	x.Ctx.Request.Header.CopyTo(header)
	body, ok := x.WantedBody()
	if !ok {
		return
	}
	limits := x.Settings.Limits
	c, reply := f.server.Read(Request{Body: body, MaxWait: limits.Wait, Tasks: f.open(x, header, inHeader),
		Header: func(name string) string { return string(header.Peek(name)) }})
	switch {
	case c == nil:
	case c.Progress() && x.WantsStream():
		f.life.TakeOver(&x.Exchange, "", func() {}, func(w wire.EventWriter) { f.stream(w, c) })
		return
	default:
		ctx, cancel := context.WithCancel(f.life.Polls)
		defer cancel()
		c.request.Left = x.Left
		if wire.HeldBack(x.Ctx) { // an answer before this one is still in the buffer, and would wait too
			c.request.MaxWait = 0
		}
		reply = c.Run(ctx, nil)
	}
	x.Ctx.SetStatusCode(reply.Code)
	x.SetHeader(wire.HeaderCacheControl, wire.NoStore)
	if reply.Body == nil {
		return
	}
	x.SetHeader(wire.HeaderContentType, wire.TypeJSON)
	x.SetHeader(wire.HeaderSniff, wire.NoSniff)
	x.Ctx.Response.SetBodyRaw(reply.Body)
}

// stream writes what comes before the answer, and the answer.
func (f *Face) stream(w wire.EventWriter, c *Call) {
	ctx, cancel := context.WithCancel(f.life.Polls)
	defer cancel()
	send := func(message []byte) {
		if w.Send(follow.AppendEvent(nil, "message", "", message)) != nil {
			cancel()
		}
	}
	c.request.Left = w.Left
	send(c.Run(ctx, send).Body)
}
