package wire

import (
	"bufio"
	"bytes"
	"testing"

	"github.com/valyala/fasthttp"
)

// tryHeader reads the header of a request into ctx, nil if fasthttp cannot.
func tryHeader(ctx *fasthttp.RequestCtx, request []byte) *fasthttp.RequestHeader {
	if ctx.Request.Header.Read(bufio.NewReaderSize(bytes.NewReader(request), 1<<16)) != nil {
		return nil
	}
	return &ctx.Request.Header
}

func ParsedHeader(t testing.TB, ctx *fasthttp.RequestCtx, request string) *fasthttp.RequestHeader {
	t.Helper()
	h := tryHeader(ctx, []byte(request))
	if h == nil {
		t.Fatalf("cannot read %q", request)
	}
	return h
}
