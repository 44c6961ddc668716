package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// connection is one keep-alive connection of a client.
type connection struct {
	net.Conn
	r    *bufio.Reader
	last fasthttp.Response
}

// dial connects with a buffer of so many bytes for answers.
func dial(address string, buffer int) (*connection, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: c, r: bufio.NewReaderSize(c, buffer)}, nil
}

// request is a GET as the clients of vendors' SDKs send it.
func request(address, path, credential string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
		"User-Agent: python-httpx/0.27\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\nConnection: keep-alive\r\n\r\n",
		path, address, credential)
}

// do sends a request and reads its answer.
func (c *connection) do(request []byte) (code int, err error) {
	if _, err = c.Write(request); err == nil {
		err = c.last.Read(c.r)
	}
	return c.last.StatusCode(), err
}

// load is clients that each send their next request when they have the answer.
type load struct {
	address     string
	connections int
	next        func(client, n int) []byte // the nth request of a client
	code        int                        // what every answer must have
}

// outcome is what a load came to.
type outcome struct {
	requests int64
	took     time.Duration
	cpu      time.Duration // of the server
	latency  []time.Duration
}

func (o *outcome) perRequest() time.Duration {
	return time.Duration(float64(o.cpu) / float64(max(1, o.requests)))
}

func (o *outcome) add(p outcome) {
	o.requests, o.took, o.cpu = o.requests+p.requests, o.took+p.took, o.cpu+p.cpu
	o.latency = append(o.latency, p.latency...)
}

// quantile is of the latencies, which it sorts.
func (o *outcome) quantile(q float64) time.Duration {
	if len(o.latency) == 0 {
		return 0
	}
	slices.Sort(o.latency)
	return o.latency[int(q*float64(len(o.latency)-1))]
}

// run loads p for some time, or until limit requests were answered.
func (l load) run(p *process, d time.Duration, limit int64) (outcome, error) {
	var o outcome
	conns := make([]*connection, l.connections)
	for i := range conns {
		c, err := dial(l.address, 64<<10)
		if err != nil {
			return o, err
		}
		defer c.Close()
		conns[i] = c
	}
	var crowd sync.WaitGroup
	var mu sync.Mutex
	var failed error
	var sent atomic.Int64
	before, began := p.cpu(), time.Now()
	for i, c := range conns {
		crowd.Go(func() {
			var latency []time.Duration
			err := func() error {
				for n := 0; time.Since(began) < d && sent.Add(1) <= limit; n++ {
					at := time.Now()
					code, err := c.do(l.next(i, n))
					if err != nil {
						return err
					}
					if code != l.code {
						return fmt.Errorf("answered %d: %.200s %.200s", code, c.last.Header.Header(), c.last.Body())
					}
					latency = append(latency, time.Since(at))
				}
				return nil
			}()
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
			o.latency = append(o.latency, latency...)
		})
	}
	crowd.Wait()
	o.took, o.cpu, o.requests = time.Since(began), p.cpu()-before, int64(len(o.latency))
	if failed != nil {
		return o, fmt.Errorf("%s: %w", p.name, failed)
	}
	return o, nil
}
