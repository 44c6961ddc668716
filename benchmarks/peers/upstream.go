package main

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"

	"github.com/valyala/fasthttp"
)

// vendor is the upstream: a service whose tasks answer as the scenario says. It
// runs in this process, whose own time is not counted.
type vendor struct {
	address string
	polls   atomic.Int64
	answer  func(ctx *fasthttp.RequestCtx, id string)
	ln      net.Listener
}

func newVendor(answer func(ctx *fasthttp.RequestCtx, id string)) (*vendor, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	v := &vendor{address: ln.Addr().String(), answer: answer, ln: ln}
	s := &fasthttp.Server{Handler: v.serve, NoDefaultServerHeader: true}
	go func() { _ = s.Serve(ln) }()
	return v, nil
}

// close ends the upstream once its connections have.
func (v *vendor) close() { _ = v.ln.Close() }

func (v *vendor) serve(ctx *fasthttp.RequestCtx) {
	id, _ := strings.CutPrefix(string(ctx.Path()), "/async/")
	id, ok := strings.CutSuffix(id, "/output")
	if !ok {
		ctx.SetStatusCode(404)
		return
	}
	v.polls.Add(1)
	ctx.SetContentType("application/json")
	v.answer(ctx, id)
}

const running = `{"status":"in_progress"}`

// ended is the answer about a task that has ended, of about so many bytes.
func ended(size int) string {
	return fmt.Sprintf(`{"status":"completed","status_code":200,"raw_output":"","output":{"text":%q,"score":0.9712}}`, strings.Repeat("The picture shows two dogs. ", 1+size/28)[:size])
}

func split(address string) (host, port string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		panic("BUG: not an address: " + address)
	}
	return host, port
}
