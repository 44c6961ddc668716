package transport

import (
	"io"
	"sync"
	"sync/atomic"
)

// Body is the body of an answer. Closing it gives the connection back if the
// answer was read to its end, and closes the connection otherwise.
type Body struct {
	io.ReadCloser
	connections *Connections
	conn        *conn
	whole       atomic.Bool
	once        sync.Once
}

func (b *Body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.whole.Store(true)
	}
	return n, err
}

// Close ends the request. It is idempotent.
func (b *Body) Close() error {
	b.once.Do(func() { b.connections.finish(b.conn, b.conn.done(b.ReadCloser, b.whole.Load())) })
	return nil
}

// Discard ends the request and has its connection serve no other one: the
// answer was none to the request.
func (b *Body) Discard() {
	b.once.Do(func() {
		b.conn.done(b.ReadCloser, false)
		b.connections.discard(b.conn)
	})
}
