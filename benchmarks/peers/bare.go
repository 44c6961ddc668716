package main

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// serveBare is the floor of a hit: fasthttp with the timeouts of Pollux, and a
// handler that sends the same headers, and one of so many bodies, found by the
// target. One body is sent whatever is asked.
func serveBare(address string, documents int) error {
	headers := [][2][]byte{}
	for _, line := range []string{
		`ETag: W/"0123456789abcdef0123456789abcdef"`, "Cache-Control: private, max-age=900, immutable", "Age: 1",
		"Cache-Status: pollux; hit; detail=terminal", "Vary: Authorization, Accept, Prefer", "X-Content-Type-Options: nosniff", "Content-Type: application/json",
	} {
		name, value, _ := strings.Cut(line, ": ")
		headers = append(headers, [2][]byte{[]byte(name), []byte(value)})
	}
	bodies := make(map[string][]byte, documents)
	for i := range documents {
		bodies[nativePath(taskName(i))] = []byte(ended(2000))
	}
	first := bodies[nativePath(taskName(0))]
	s := &fasthttp.Server{
		Handler: func(ctx *fasthttp.RequestCtx) {
			for _, h := range headers {
				ctx.Response.Header.SetCanonical(h[0], h[1])
			}
			body := first
			if documents > 1 {
				body = bodies[string(ctx.RequestURI())]
			}
			ctx.Response.SetBodyRaw(body)
		},
		ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute, WriteTimeout: 15 * time.Second,
		ReadBufferSize: 16 << 10, NoDefaultServerHeader: true, NoDefaultContentType: true, StreamRequestBody: true,
	}
	return s.ListenAndServe(address)
}

// serveBroadcast is the floor of a wake-up: fasthttp, and one request to the
// upstream for all who ask meanwhile, each of whom waits for a channel to close.
func serveBroadcast(address, upstream string) error {
	type poll struct {
		done chan struct{}
		code int // this and body are read once done is closed
		body []byte
	}
	var mu sync.Mutex
	polls := map[string]*poll{}
	s := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		path := string(ctx.RequestURI())
		mu.Lock()
		p := polls[path]
		first := p == nil
		if first {
			p = &poll{done: make(chan struct{})}
			polls[path] = p
		}
		mu.Unlock()
		if first {
			code, body, err := fasthttp.Get(nil, upstream+path)
			if p.code, p.body = code, body; err != nil {
				p.code = fasthttp.StatusBadGateway
			}
			mu.Lock()
			delete(polls, path)
			mu.Unlock()
			close(p.done)
		}
		<-p.done
		ctx.SetStatusCode(p.code)
		ctx.Response.SetBodyRaw(p.body)
	}}
	return s.ListenAndServe(address)
}

// serveReverseProxy is the floor of a miss in Go: net/http in front, and
// httputil.ReverseProxy behind it.
func serveReverseProxy(address, upstream string) error {
	u, err := url.Parse(upstream)
	if err != nil {
		return err
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}
	s := &http.Server{Addr: address, Handler: proxy, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	return s.ListenAndServe()
}
