package transport

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"pollux/proxy/egress"
)

var (
	// errStale says that nothing was sent, and no byte of a body read, since the
	// connection was over: another one may be tried.
	errStale  = errors.New("the connection was over before the request")
	errUnsent = errors.New("the request was not written to its end")
)

// lateWrite is how long the rest of a request may take once its answer has ended:
// an upstream that has answered to the end has read it, and who writes need only
// notice.
const lateWrite = 50 * time.Millisecond

// http1 is a connection of HTTP/1. Who asks writes the request and reads its
// answer: net/http has two goroutines for each connection, and hands every
// request and answer through both.
type http1 struct {
	*guard
	r     *bufio.Reader
	w     *bufio.Writer
	proxy *egress.Proxy // requests are sent to it as they are; nil: to the upstream
	over  bool          // the peer wants no other request, or its answer was none

	leave func() bool // ends the watch on the request's context
	sent  chan bool   // gets whether the request was written to its end; nil: it was

	mu        sync.Mutex // guards what follows
	answering bool       // the head of the answer has come
}

func newHTTP1(g *guard, proxy *egress.Proxy) *http1 {
	return &http1{guard: g, r: bufio.NewReader(g), w: bufio.NewWriter(g), proxy: proxy}
}

// ask sends req and reads the head of the answer, which may take patience to
// begin once req has been written; zero is for ever. The connection is closed
// when the context of req ends. reused says that there was a request before.
func (h *http1) ask(cs *Connections, req *http.Request, reused bool) (*http.Response, error) {
	if !sendable(req) {
		return nil, errors.New("no request for HTTP")
	}
	switch err := h.begin(req.Method); {
	case err != nil && reused:
		return nil, errStale
	case err != nil:
		return nil, err
	}
	h.sent, h.answering = nil, false
	h.leave = context.AfterFunc(req.Context(), func() { h.Conn.Close() })
	res, err := h.exchange(cs, req)
	if err == nil {
		h.over = res.Close
		return res, nil
	}
	h.over = true
	if !h.leave() {
		return nil, req.Context().Err()
	}
	return nil, err
}

// sendable reports whether req can be written as it is.
func sendable(req *http.Request) bool {
	if !httpguts.ValidHeaderFieldName(req.Method) {
		return false
	}
	for name, values := range req.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return false
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return false
			}
		}
	}
	return true
}

// exchange writes req and reads the head of its answer: at the same time where
// there is a body, since an upstream may refuse it before it has come whole.
func (h *http1) exchange(cs *Connections, req *http.Request) (*http.Response, error) {
	if req.Body == nil || req.Body == http.NoBody {
		if err := h.send(req, cs.cfg.Patience); err != nil {
			return nil, err
		}
	} else {
		sent := make(chan bool, 1)
		h.sent = sent
		go cs.cfg.Panics.Run("request body", func() {
			err := errUnsent
			defer func() {
				if op, ok := errors.AsType[*net.OpError](err); err != nil && (!ok || op.Op != "write") {
					h.Conn.Close() // else the upstream may have answered before it hung up
				}
				sent <- err == nil
			}()
			err = h.send(req, cs.cfg.Patience)
		})
	}
	for {
		res, err := http.ReadResponse(h.r, req)
		if err != nil {
			return nil, err
		}
		if res.StatusCode/100 != 1 || res.StatusCode == http.StatusSwitchingProtocols {
			h.answered()
			return res, nil
		}
	}
}

// send writes req, and gives its answer patience to begin.
func (h *http1) send(req *http.Request, patience time.Duration) error {
	var err error
	if h.proxy != nil {
		err = h.proxy.Write(h.w, req)
	} else {
		err = req.Write(h.w)
	}
	if err == nil {
		err = h.w.Flush()
	}
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if patience > 0 && !h.answering {
		_ = h.SetReadDeadline(time.Now().Add(patience)) // as in answered
	}
	return nil
}

// answered ends the patience that send began.
func (h *http1) answered() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answering = true
	_ = h.SetReadDeadline(time.Time{}) // of a connection that is closed already, Read will tell
}

// done ends a request, and reports whether the connection is good for another.
// whole says that the answer was read to its end.
func (h *http1) done(whole bool) bool {
	if !h.leave() || !whole || h.over || h.spoilt() {
		return false
	}
	if h.sent == nil {
		return true
	}
	select {
	case whole := <-h.sent:
		return whole
	case <-time.After(lateWrite):
		return false
	}
}
