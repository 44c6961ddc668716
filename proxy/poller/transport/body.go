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
	err := b.ReadCloser.Close()
	b.once.Do(func() { b.connections.finish(b.conn, b.whole.Load()) })
	return err
}

// Discard ends the request and has its connection serve no other one: the
// answer was none to the request.
func (b *Body) Discard() {
	_ = b.ReadCloser.Close() // the connection ends whatever it says
	b.once.Do(func() { b.connections.discard(b.conn) })
}
