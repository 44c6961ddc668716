package client

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"pollux/cmd/pollux/console"
)

const (
	pathMCP = "/mcp"
	// maxMessage is as much as Pollux takes.
	maxMessage = 256 << 10
	// longestWait is more than limits.wait is likely to be.
	longestWait = 10 * time.Minute
)

func mcpCommand(ctx context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("mcp", `Speaks the Model Context Protocol on standard input and output, for hosts that
start their servers as programs. What it is asked it asks a running Pollux.
`+clientHelp,
		"pollux mcp",
		"claude mcp add pollux -- pollux mcp  # in Claude Code")
	connection := addConnectionFlags(fs).addCredentialFlags(fs)
	if _, code, done := t.Parse(fs, args, 0); done {
		return code
	}
	return connection.run(ctx, t, "mcp", func(c *client) error {
		b := &bridge{client: c, out: t.Stdout, calls: map[string]context.CancelFunc{}}
		return b.run(ctx, t.Stdin)
	})
}

// bridge passes the messages of an MCP client, one a line, on to Pollux, and
// what Pollux answers back.
type bridge struct {
	client *client

	mu       sync.Mutex // guards what follows
	out      io.Writer
	failed   error                         // of a write
	revision string                        // that was agreed on with initialize
	calls    map[string]context.CancelFunc // under way, by the id of the request
}

// envelope is what the bridge reads of a message.
type envelope struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Meta struct {
			Revision string `json:"io.modelcontextprotocol/protocolVersion"`
		} `json:"_meta"`
		Name      string `json:"name"`
		TaskID    string `json:"taskId"`
		Arguments struct {
			Task  string   `json:"task"`
			Tasks []string `json:"tasks"`
		} `json:"arguments"`
		RequestID json.RawMessage `json:"requestId"` // of notifications/cancelled
	} `json:"params"`
}

// run returns when the input ends and everything is answered, or when ctx ends.
func (b *bridge) run(ctx context.Context, in io.Reader) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	lines := make(chan []byte)
	ended := make(chan error, 1)
	go func() { // a read from a terminal cannot be interrupted, so nobody waits for this one
		scanner := bufio.NewScanner(in)
		scanner.Buffer(nil, maxMessage)
		for scanner.Scan() {
			select {
			case lines <- bytes.Clone(scanner.Bytes()):
			case <-ctx.Done():
				return
			}
		}
		err := scanner.Err()
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("a message is larger than %d KiB", maxMessage>>10)
		}
		ended <- err
	}()
	var calls sync.WaitGroup
	defer calls.Wait()
	for {
		select {
		case line := <-lines:
			if err := b.failure(); err != nil {
				return err
			}
			if line = bytes.TrimSpace(line); len(line) > 0 {
				b.take(ctx, &calls, line)
			}
		case err := <-ended:
			calls.Wait()
			return errors.Join(err, b.failure())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (b *bridge) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failed
}

// take passes one message on. What initialize agrees on holds for the messages
// behind it, so it is waited for.
func (b *bridge) take(ctx context.Context, calls *sync.WaitGroup, line []byte) {
	var m envelope
	_ = json.Unmarshal(line, &m) // Pollux says what is wrong with it
	if m.Method == "notifications/cancelled" {
		b.mu.Lock()
		defer b.mu.Unlock()
		if cancel := b.calls[string(m.Params.RequestID)]; cancel != nil {
			cancel() // closes the connection, which ends the wait
		}
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	if m.ID != nil {
		b.mu.Lock()
		b.calls[string(m.ID)] = cancel
		b.mu.Unlock()
	}
	pass := func() {
		defer cancel()
		b.pass(ctx, &m, line)
		b.mu.Lock()
		delete(b.calls, string(m.ID))
		b.mu.Unlock()
	}
	if m.Method == "initialize" {
		pass()
		return
	}
	calls.Go(pass)
}

// pass sends one message and writes what comes back. Of a call that was
// cancelled nothing comes back.
func (b *bridge) pass(ctx context.Context, m *envelope, line []byte) {
	err := b.exchange(ctx, m, line)
	if err == nil || m.ID == nil || ctx.Err() != nil {
		return
	}
	failure, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": m.ID,
		"error": map[string]any{"code": -32603, "message": err.Error()}}) // strings and numbers only
	b.write(failure)
}

func (b *bridge) exchange(ctx context.Context, m *envelope, line []byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, longestWait+answerTime, errNoAnswer)
	defer cancel()
	response, err := b.client.send(ctx, b.request(m, line))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if media == "text/event-stream" {
		return b.events(ctx, response.Body)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return b.client.unreachable(ctx, err)
	}
	if len(body) > 0 {
		b.answer(m, body)
	}
	return nil
}

// request is the message as Pollux wants it: since 2026-07-28 with what it is
// about in headers, too.
func (b *bridge) request(m *envelope, line []byte) request {
	b.mu.Lock()
	revision := cmp.Or(m.Params.Meta.Revision, b.revision)
	b.mu.Unlock()
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	if revision != "" && m.Method != "initialize" {
		h.Set("Mcp-Protocol-Version", revision)
	}
	if m.Params.Meta.Revision != "" {
		h.Set("Mcp-Method", m.Method)
		if name := cmp.Or(m.Params.TaskID, m.Params.Name); httpguts.ValidHeaderFieldValue(name) && name != "" {
			h.Set("Mcp-Name", name)
		}
	}
	return request{method: http.MethodPost, path: pathMCP, header: h, body: line, upstream: m.upstream()}
}

// upstream is the one that a call is about, whose credential goes along; "" if
// there is none, or several.
func (m *envelope) upstream() string {
	refs := append(m.Params.Arguments.Tasks, cmp.Or(m.Params.Arguments.Task, m.Params.TaskID))
	name := ""
	for _, ref := range refs {
		upstream, _, ok := strings.Cut(ref, "/")
		switch {
		case !ok || upstream == name:
		case name != "":
			return ""
		default:
			name = upstream
		}
	}
	return name
}

// events writes what a stream brings, up to the answer.
func (b *bridge) events(ctx context.Context, body io.Reader) error {
	events := eventReader{r: bufio.NewReader(body), alive: func() {}}
	for {
		e, err := events.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return b.client.unreachable(ctx, err)
		}
		b.write(e.data)
	}
}

func (b *bridge) answer(m *envelope, body []byte) {
	if m.Method == "initialize" {
		var agreed struct {
			Result struct {
				ProtocolVersion string `json:"protocolVersion"`
			} `json:"result"`
		}
		if json.Unmarshal(body, &agreed) == nil {
			b.mu.Lock()
			b.revision = agreed.Result.ProtocolVersion
			b.mu.Unlock()
		}
	}
	b.write(body)
}

// write writes one message as one line.
func (b *bridge) write(message []byte) {
	var line bytes.Buffer
	if json.Compact(&line, message) != nil {
		return // what stands before Pollux may answer a page
	}
	line.WriteByte('\n')
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.out.Write(line.Bytes()); err != nil && b.failed == nil {
		b.failed = outputError{fmt.Errorf("a message cannot be written: %w", err)}
	}
}
