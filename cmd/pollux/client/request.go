package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// maxAnswer is more than a document with the largest native body that
	// Pollux accepts by default, twice over.
	maxAnswer = 64 << 20
	// answerTime is how long Pollux may take to answer, beside the time that
	// it was asked to wait: several times what an upstream may take.
	answerTime = time.Minute
	// pathTasks leads to tasks, alone to their list.
	pathTasks = "/v1/tasks"
)

// request is one question to Pollux.
type request struct {
	method      string // "" for GET
	path, query string // escaped
	body        []byte
	upstream    string // whose credential goes along; "" for that of the command
	header      http.Header
	wait        time.Duration // how long the answer may wait for something to tell
}

// answer is what Pollux said, with code 200, 204 or 304.
type answer struct {
	code   int
	header http.Header
	body   []byte
}

// taskRequest asks for the task ref.
func taskRequest(ref taskRef) request {
	return request{path: pathTasks + "/" + ref.path, query: ref.query, upstream: ref.upstream, header: http.Header{}}
}

// ask asks and reads the whole answer. The error is a *problem when Pollux
// answered with one, else says why there is no answer; it never holds the URL,
// whose query may be a credential's.
func (c *client) ask(ctx context.Context, r request) (*answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.wait+answerTime, errNoAnswer)
	defer cancel()
	response, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, c.unreachable(ctx, err)
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("the answer is larger than %d MiB", maxAnswer>>20)
	}
	return &answer{response.StatusCode, response.Header, body}, nil
}

var errNoAnswer = errors.New("no answer in time")

// send asks, and returns the answer with its body to be read and closed.
func (c *client) send(ctx context.Context, r request) (*http.Response, error) {
	address := c.base + r.path
	if r.query != "" {
		address += "?" + r.query
	}
	request, err := http.NewRequestWithContext(ctx, r.method, address, bytes.NewReader(r.body))
	if err != nil {
		return nil, wrongUsage("this makes no URL")
	}
	for name, values := range r.header {
		request.Header[name] = values
	}
	if request.Header.Get("Accept") == "" {
		request.Header.Set("Accept", "application/json")
	}
	request.Header.Set("User-Agent", "pollux-cli")
	for _, field := range c.credentials.of(r.upstream).Headers {
		request.Header.Set(field.Name, field.Value)
	}
	if c.key != "" {
		request.Header.Set("X-Pollux-Key", c.key)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	switch response.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent, http.StatusNotModified:
		return response, nil
	}
	if media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); r.path == pathMCP && media == "application/json" {
		return response, nil // an error of JSON-RPC
	}
	defer response.Body.Close()
	return nil, problemOf(response)
}

// unreachable says why there is no answer.
func (c *client) unreachable(ctx context.Context, err error) error {
	if inner, ok := errors.AsType[*url.Error](err); ok {
		err = inner.Err // without the URL
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return &unreachableError{fmt.Errorf("%s cannot be reached: %w", c.base, err)}
}

// unreachableError is a connection that could not be made, or broke.
type unreachableError struct{ error }

func (e *unreachableError) Unwrap() error { return errors.Unwrap(e.error) }

// problem is what Pollux answers when it has nothing better (RFC 9457).
type problem struct {
	Type           string `json:"type"`
	Title          string `json:"title"`
	Status         int    `json:"status"`
	Detail         string `json:"detail"`
	RetryAfter     int64  `json:"retry_after"` // seconds
	UpstreamStatus int    `json:"upstream_status"`
}

// is reports whether the problem has the type /problems/<name>.
func (p *problem) is(name string) bool { return strings.HasSuffix(p.Type, "/problems/"+name) }

// Error is the title, the code and the detail.
func (p *problem) Error() string {
	text := fmt.Sprintf("%s (%d)", p.Title, p.Status)
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	if p.UpstreamStatus != 0 && p.UpstreamStatus != p.Status {
		text += fmt.Sprintf(" (the upstream said %d)", p.UpstreamStatus)
	}
	return text
}

// problemOf reads the problem in an answer. What stands before Pollux may
// answer something else, of which only the code is of use.
func problemOf(response *http.Response) *problem {
	p := &problem{}
	media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err == nil && media == "application/problem+json" {
		p = parseProblem(body)
	}
	p.Status = response.StatusCode
	if p.Title == "" {
		p.Title = cmp.Or(http.StatusText(response.StatusCode), "unknown answer")
	}
	if p.RetryAfter == 0 {
		p.RetryAfter = retryAfter(response.Header)
	}
	return p
}

// parseProblem reads what it can.
func parseProblem(body []byte) *problem {
	p := &problem{}
	if json.Unmarshal(body, p) != nil {
		p = &problem{}
	}
	return p
}

// retryAfter is the seconds that a header asks for, 0 if it asks for none.
func retryAfter(h http.Header) int64 {
	seconds, err := strconv.ParseInt(h.Get("Retry-After"), 10, 64)
	if err != nil || seconds < 0 {
		return 0
	}
	return seconds
}

// denied reports whether err says that there is no such task, or no more.
func denied(err error) bool {
	p, ok := errors.AsType[*problem](err)
	return ok && (p.Status == http.StatusNotFound || p.Status == http.StatusGone)
}

// passing reports whether err may be gone in a moment: the connection broke,
// or Pollux or the upstream are busy, restarting or slow.
func passing(err error) bool {
	if p, ok := errors.AsType[*problem](err); ok {
		switch p.Status {
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	_, ok := errors.AsType[*unreachableError](err)
	return ok
}
