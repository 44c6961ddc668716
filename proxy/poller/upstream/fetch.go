package upstream

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/egress"
	"pollux/proxy/poller/transport"
	"pollux/proxy/trace"
)

// Response is an upstream's answer, read to its end.
type Response struct {
	Code   int
	Header http.Header
	Body   []byte
	// Unusable says what is wrong with a body that could not be taken whole;
	// body is nil then.
	Unusable string
}

// FetchError is why there is no answer. Its text is ours: errors of net/http
// quote URLs and bytes.
type FetchError struct {
	Timeout bool
	Reason  string
}

func (e *FetchError) Error() string { return e.Reason }

// kind is what traces call it.
func (e *FetchError) kind() string {
	if e.Timeout {
		return "timeout"
	}
	return "no_answer"
}

// Fetch sends req once for a partition, reads the answer and has judge judge
// it, all until req's context ends, which must. An answer about another task ends
// its connection: the next answer on it would be as foreign. Fetch returns a
// *FetchError when no whole answer came; judge is not called then.
func (u *Upstream) Fetch(part *Partition, req *http.Request, judge func(*Response) providers.Verdict) (*Response, providers.Verdict, error) {
	return u.Send(req, int64(u.Config.MaxResponseBytes), judge,
		func(req *http.Request) (*http.Response, error) { return u.Transport.RoundTrip(&part.ID, req) })
}

// Send is Fetch by another way, for an answer of at most limit bytes.
func (u *Upstream) Send(req *http.Request, limit int64, judge func(*Response) providers.Verdict,
	roundTrip func(*http.Request) (*http.Response, error)) (*Response, providers.Verdict, error) {
	ctx := req.Context()
	req.Header["Via"] = ownVia
	span := trace.Send(ctx, req)
	res, err := roundTrip(req)
	if err != nil {
		failed := explain(ctx, err, "reach the upstream")
		span.Failed(failed.kind())
		return nil, providers.Verdict{}, failed
	}
	defer res.Body.Close()
	out := &Response{Code: res.StatusCode, Header: res.Header}
	body, err := readBody(res, limit)
	if err != nil {
		var unusable *unusableBody
		if !errors.As(err, &unusable) {
			failed := explain(ctx, err, "read the upstream's answer")
			span.Failed(failed.kind())
			return nil, providers.Verdict{}, failed
		}
		out.Unusable = unusable.reason
	} else {
		out.Body = body
	}
	span.Answered(res.StatusCode)
	v := judge(out)
	if v.Foreign {
		discard(res.Body)
	}
	return out, v, nil
}

func discard(body io.ReadCloser) {
	if b, ok := body.(interface{ Discard() }); ok {
		b.Discard()
	}
}

func explain(ctx context.Context, err error, doing string) *FetchError {
	var netErr net.Error
	var dns *net.DNSError
	var op *net.OpError
	var malformed *transport.Malformed
	var proxy *egress.Error
	switch {
	case errors.As(err, &malformed):
		return &FetchError{Reason: malformed.Error()}
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return &FetchError{Timeout: true, Reason: doing + ": no whole answer in time"}
	case errors.As(err, &proxy):
		return &FetchError{Reason: doing + ": " + proxy.Error()}
	case errors.As(err, &dns):
		return &FetchError{Reason: doing + ": its name does not resolve"}
	case errors.As(err, &op) && op.Op == "dial":
		return &FetchError{Reason: doing + ": connection refused or host unreachable"}
	case strings.Contains(err.Error(), "tls:"), strings.Contains(err.Error(), "x509:"):
		return &FetchError{Reason: doing + ": TLS failed; its certificate may be expired, self-signed or for another name"}
	}
	return &FetchError{Reason: doing + ": the connection broke"}
}

// unusableBody is a body that came, but cannot be an answer.
type unusableBody struct{ reason string }

func (e *unusableBody) Error() string { return e.reason }

// maxRatio is how much a coded body may grow; JSON full of blanks stays far below.
const maxRatio = 200

// readBody reads and decodes a body of at most limit bytes. It takes memory as
// bytes arrive, never by a declared length, and at most twice the body's size.
func readBody(res *http.Response, limit int64) ([]byte, error) {
	var r io.Reader = res.Body
	var wire *countingReader // of a coded body
	switch codings := Codings(res.Header); {
	case len(codings) == 0:
	case len(codings) == 1 && (codings[0] == "gzip" || codings[0] == "x-gzip"):
		wire = &countingReader{r: io.LimitReader(res.Body, limit+1)}
		zr, err := gzip.NewReader(wire) // of all members (RFC 1952, section 2.2)
		if err != nil {
			return nil, gzipFault(err)
		}
		r = zr
	default:
		return nil, &unusableBody{"its content coding was not asked for"}
	}
	coded := wire != nil
	first := firstPieces.Get().(*[firstPiece]byte)
	defer firstPieces.Put(first)
	body := pieces{last: first[:0]}
	for {
		n, err := r.Read(body.room())
		body.took(n)
		switch {
		case body.size > limit, coded && wire.n > limit:
			return nil, &unusableBody{fmt.Sprintf("its body is longer than max_response_bytes (%d)", limit)}
		case coded && body.size > 1<<20 && body.size > maxRatio*wire.n:
			return nil, &unusableBody{"its compressed body grows beyond reason"}
		}
		switch {
		case err == io.EOF:
			return body.joined(), nil
		case err != nil && coded:
			return nil, gzipFault(err)
		case err != nil:
			return nil, err
		}
	}
}

// Codings are the content codings of a body in the order in which they were
// applied, in lower case and without identity (RFC 9110, section 8.4).
func Codings(h http.Header) (codings []string) {
	for _, line := range h["Content-Encoding"] {
		for coding := range strings.SplitSeq(line, ",") {
			if coding = strings.ToLower(strings.TrimSpace(coding)); coding != "" && coding != "identity" {
				codings = append(codings, coding)
			}
		}
	}
	return codings
}

const (
	firstPiece = 4 << 10
	maxPiece   = 256 << 10
)

// firstPieces are room for the beginning of a body, and all of most: what is
// returned is a copy.
var firstPieces = sync.Pool{New: func() any { return new([firstPiece]byte) }}

// pieces is a body as it arrives: a growing slice would have been copied, and
// left behind, over and over.
type pieces struct {
	full [][]byte
	last []byte
	size int64
}

// room is where the next bytes go.
func (p *pieces) room() []byte {
	if len(p.last) == cap(p.last) {
		p.full = append(p.full, p.last)
		p.last = make([]byte, 0, min(2*cap(p.last), maxPiece))
	}
	return p.last[len(p.last):cap(p.last)]
}

func (p *pieces) took(n int) {
	p.last = p.last[:len(p.last)+n]
	p.size += int64(n)
}

func (p *pieces) joined() []byte {
	whole := make([]byte, 0, p.size)
	for _, piece := range p.full {
		whole = append(whole, piece...)
	}
	return append(whole, p.last...)
}

// gzipFault tells a damaged coding from a connection that broke.
func gzipFault(err error) error {
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || strings.HasPrefix(err.Error(), "flate:") {
		return &unusableBody{"its compressed body is damaged"}
	}
	return err
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// RawOf is the answer as native clients get it; nil when no whole answer came,
// or one about another task, which is nobody's.
func (u *Upstream) RawOf(res *Response, v providers.Verdict) *Raw {
	if res == nil || res.Unusable != "" || v.Foreign {
		return nil
	}
	raw := &Raw{
		Code: res.Code, ContentType: res.Header.Get("Content-Type"),
		Challenge: res.Header.Get("WWW-Authenticate"), Body: res.Body,
	}
	for _, names := range [...][]string{telling, u.Provider.Poll.LinkHeaders} {
		for _, name := range names {
			if slices.ContainsFunc(raw.Header, func(h cache.Header) bool { return h.Name == name }) {
				continue // declared, and telling in every API
			}
			for _, value := range res.Header.Values(name) {
				raw.Header = append(raw.Header, cache.Header{Name: name, Value: value})
			}
		}
	}
	return raw
}

// telling are the headers that belong to what an answer of any API says: where
// its task or result is, and when to ask again.
var telling = []string{"Location", "Content-Location", "Link", "Retry-After"}

// ClampRetryAfter keeps an upstream's Retry-After between a second and a
// quarter of an hour: longer ones are mistakes more often than wishes.
func ClampRetryAfter(d time.Duration) time.Duration {
	return min(max(d, time.Second), 15*time.Minute)
}

// Poll is Fetch for a status request, and counts it: when it brought an answer,
// Judged must be called. It returns how long it took.
func (u *Upstream) Poll(part *Partition, req *http.Request, judge func(*Response) providers.Verdict) (*Response, providers.Verdict, time.Duration, error) {
	start := time.Now()
	u.stats.inFlight.Add(1)
	res, v, err := u.Fetch(part, req, judge)
	u.stats.inFlight.Add(-1)
	took := time.Since(start)
	u.Metrics.seconds.Observe(took.Seconds())
	if err != nil {
		u.Metrics.failed(err)
		u.stats.fetched(took, false, true, time.Now())
	}
	return res, v, took, err
}

// Judged counts what a status request came to that took so long.
func (u *Upstream) Judged(v providers.Verdict, took time.Duration) {
	u.Metrics.judged(v)
	u.stats.fetched(took, true, v.ServerFault, time.Now())
}

// Judge says what an answer to a poll of the task means.
func (u *Upstream) Judge(ref providers.Reference, res *Response) providers.Verdict {
	if res.Unusable != "" && res.Code == http.StatusOK {
		return providers.Verdict{Kind: providers.BadAnswer, Reason: res.Unusable, ServerFault: true}
	}
	return u.Provider.Judge(ref, res.Code, res.Header, res.Body, time.Now())
}

// Raw is an upstream's answer as it came. It is immutable.
type Raw struct {
	Code        int
	ContentType string
	Challenge   string         // WWW-Authenticate as sent, "" if absent
	Header      []cache.Header // Location, Content-Location, Link, Retry-After and the provider file's poll.link_headers, as sent
	Body        []byte
}
