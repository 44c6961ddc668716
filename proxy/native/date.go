package native

import (
	"bufio"
	"net"
	"strings"
	"sync"

	"github.com/valyala/fasthttp"
)

// keepDate has a forwarded answer say what its upstream said of when it was
// made. h must be as a request found it. fasthttp writes a Date of its own
// unless a server is told not to, for all of its answers, and takes none by its
// setters; but it does copy one, and the wish for none.
func keepDate(h *fasthttp.ResponseHeader, values []string) {
	if len(values) == 0 {
		return
	}
	dated := fasthttp.ResponseHeader{}
	undated().CopyTo(&dated)
	for _, value := range values {
		lines := "Date: " + value + "\r\n\r\n"
		if dated.ReadTrailer(bufio.NewReader(strings.NewReader(lines))) != nil {
			return // no date that fasthttp would write, so it writes its own
		}
	}
	dated.CopyTo(h)
}

// undated is the header of an answer to which its server adds nothing.
var undated = sync.OnceValue(func() *fasthttp.ResponseHeader {
	found := new(fasthttp.ResponseHeader)
	s := fasthttp.Server{
		NoDefaultDate: true, NoDefaultContentType: true, NoDefaultServerHeader: true,
		Handler: func(ctx *fasthttp.RequestCtx) { ctx.Response.Header.CopyTo(found); ctx.SetConnectionClose() },
	}
	client, server := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ServeConn(server)
	}()
	client.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	client.Close()
	<-done
	return found
})
