package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// silence is how long a stream may say nothing, comments included, before it
// counts as broken: three of the heartbeats of Pollux.
const silence = 45 * time.Second

// minRetry bounds what a stream may ask for, so that one that ends at once is
// not asked for without pause.
const minRetry = 100 * time.Millisecond

var (
	errSilent   = errors.New("the stream went silent")
	errNoStream = errors.New("the answer is no event stream: is this a Pollux?")
)

// event is one server-sent event.
type event struct {
	name string // "message" unless the stream says otherwise
	data []byte
}

// eventReader splits a stream into events, as the HTML standard, section
// 9.2.6, says, for lines that end in LF or CR LF.
type eventReader struct {
	r      *bufio.Reader
	alive  func()        // called with every line
	lastID string        // of the last event; as the stream before left it
	retry  time.Duration // what the stream asks for; 0 if it does not
}

// next returns the next event, or io.EOF. An event that the end cuts off is
// none.
func (e *eventReader) next() (event, error) {
	ev := event{name: "message"}
	id := e.lastID
	var data bytes.Buffer
	for {
		line, err := e.line()
		if err != nil {
			return ev, err
		}
		e.alive()
		if len(line) == 0 {
			e.lastID = id
			if data.Len() > 0 {
				ev.data = bytes.TrimSuffix(data.Bytes(), []byte("\n"))
				return ev, nil
			}
			ev.name = "message"
			continue
		}
		field, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "data":
			if data.Len()+len(value) > maxAnswer {
				return ev, fmt.Errorf("an event is larger than %d MiB", maxAnswer>>20)
			}
			data.WriteString(value)
			data.WriteByte('\n')
		case "event":
			ev.name = value
		case "id":
			if !strings.Contains(value, "\x00") {
				id = value
			}
		case "retry":
			if ms, err := strconv.ParseUint(value, 10, 31); err == nil {
				e.retry = time.Duration(ms) * time.Millisecond
			}
		}
	}
}

// line is the next line without its end.
func (e *eventReader) line() ([]byte, error) {
	var line []byte
	for {
		part, err := e.r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(line) > maxAnswer:
			return nil, fmt.Errorf("a line of the stream is larger than %d MiB", maxAnswer>>20)
		}
	}
}

// stream follows an event stream across broken connections.
type stream struct {
	client  *client
	request request
	handle  func(event) error // an error ends the stream
	over    func() bool       // whether an end of the stream is the end of the matter

	lastID string
	retry  time.Duration // the pause before the next connection
	heard  time.Time     // the last sign of life
}

// streamEnd is an error of handle: there is no point in another connection.
type streamEnd struct{ error }

func (e streamEnd) Unwrap() error { return e.error }

// run returns nil when Pollux says that there is nothing more to come.
func (s *stream) run(ctx context.Context) error {
	s.retry = time.Second
	for {
		before := s.heard
		over, err := s.once(ctx)
		end, final := errors.AsType[streamEnd](err)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case over:
			return nil
		case final:
			return end.error
		case err != nil && (s.heard.IsZero() || !passing(err) || time.Since(s.heard) > patience):
			return err
		case err != nil && s.heard.Equal(before):
			s.retry = min(2*s.retry, 10*time.Second)
		}
		sleep(ctx, s.retry)
	}
}

// once reads one connection to its end.
func (s *stream) once(ctx context.Context) (over bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// The head of the answer may take as long as any other answer.
	watchdog := time.AfterFunc(answerTime, func() { cancel(errSilent) })
	defer watchdog.Stop()
	r := s.request
	r.header = http.Header{"Accept": {"text/event-stream"}, "Cache-Control": {"no-store"}}
	if s.lastID != "" {
		r.header.Set("Last-Event-ID", s.lastID)
	}
	response, err := s.client.send(ctx, r)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNoContent {
		return true, nil
	}
	if media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); media != "text/event-stream" {
		return false, streamEnd{errNoStream}
	}
	alive := func() {
		watchdog.Reset(silence)
		s.heard = time.Now()
	}
	alive()
	s.retry = time.Second
	reader := &eventReader{r: bufio.NewReaderSize(response.Body, 16<<10), alive: alive, lastID: s.lastID}
	for {
		ev, err := reader.next()
		s.lastID = reader.lastID
		if reader.retry > 0 {
			s.retry = max(reader.retry, minRetry)
		}
		switch {
		case errors.Is(err, io.EOF):
			return s.over(), nil
		case err != nil:
			return false, s.client.unreachable(ctx, err)
		}
		if err := s.handle(ev); err != nil {
			return false, streamEnd{err}
		}
	}
}
