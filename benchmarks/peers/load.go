package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// connection is one keep-alive connection of a client. It reads answers with a
// Content-Length, and ones in chunks.
type connection struct {
	net.Conn
	r    *bufio.Reader
	body []byte // of the last answer
	head []byte
}

func dial(address string) (*connection, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: c, r: bufio.NewReaderSize(c, 64<<10)}, nil
}

// dialSmall is dial for one of very many.
func dialSmall(address string) (*connection, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: c, r: bufio.NewReaderSize(c, 4<<10)}, nil
}

// request is a GET as the clients of vendors' SDKs send it.
func request(address, path, credential string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
		"User-Agent: python-httpx/0.27\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\nConnection: keep-alive\r\n\r\n",
		path, address, credential)
}

// do sends a request and reads its answer.
func (c *connection) do(request []byte) (code int, err error) {
	if _, err = c.Write(request); err != nil {
		return 0, err
	}
	return c.answer()
}

var errAnswer = errors.New("an answer is not HTTP")

func (c *connection) answer() (code int, err error) {
	length, chunked := -1, false
	c.head = c.head[:0]
	for first := true; ; first = false {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		c.head = append(c.head, line...)
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case first:
			if len(line) < 12 {
				return 0, errAnswer
			}
			if code, err = strconv.Atoi(string(line[9:12])); err != nil {
				return 0, errAnswer
			}
		case len(line) == 0:
			return code, c.readBody(code, length, chunked)
		case hasPrefixFold(line, "content-length:"):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[15:]))); err != nil {
				return 0, errAnswer
			}
		case hasPrefixFold(line, "transfer-encoding:"):
			chunked = true
		}
	}
}

func hasPrefixFold(line []byte, prefix string) bool {
	return len(line) >= len(prefix) && bytes.EqualFold(line[:len(prefix)], []byte(prefix))
}

func (c *connection) readBody(code, length int, chunked bool) error {
	c.body = c.body[:0]
	switch {
	case code == 304 || code == 204:
		return nil
	case length >= 0:
		return c.take(length)
	case !chunked:
		return errAnswer
	}
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return errAnswer
		}
		if err := c.take(int(n)); err != nil {
			return err
		}
		if _, err := c.r.Discard(2); err != nil || n == 0 {
			return err
		}
	}
}

func (c *connection) take(n int) error {
	at := len(c.body)
	c.body = slices.Grow(c.body, n)[:at+n]
	_, err := io.ReadFull(c.r, c.body[at:])
	return err
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
		c, err := dial(l.address)
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
						return fmt.Errorf("answered %d: %.200s %.200s", code, c.head, c.body)
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
