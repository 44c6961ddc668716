package wire

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"
)

// deadlines counts how often deadlines of reads are set.
type deadlines struct {
	net.Conn
	set int
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.set++
	return d.Conn.SetReadDeadline(t)
}

// TestReadsEndInTime: what costs nothing while requests come in quick succession
// still ends an idle connection, and one that brings half a request.
func TestReadsEndInTime(t *testing.T) {
	const idle, slow, requests = time.Minute, 10 * time.Second, 40
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		defer server.Close()
		defer client.Close()
		below := &deadlines{Conn: server}
		c := &Conn{Conn: &patient{Conn: below}, listener: &Listener{}}
		go func() {
			for range requests {
				time.Sleep(100 * time.Millisecond)
				_, _ = client.Write([]byte("G"))
			}
		}()
		read := func(after time.Duration) error {
			_ = c.SetReadDeadline(time.Now().Add(after))
			_, err := c.Read(make([]byte, 1))
			return err
		}
		for range requests {
			if err := read(idle); err != nil {
				t.Fatal(err)
			}
			_ = c.SetReadDeadline(time.Now().Add(slow)) // the request is whole: nothing is read within this
		}
		if most := requests/int(rearm/(100*time.Millisecond)) + 2; below.set > most {
			t.Errorf("the deadline was set %d times for %d quick requests, want %d at most", below.set, requests, most)
		}
		ends := func(what string, after time.Duration) {
			t.Helper()
			began := time.Now()
			err := read(after)
			if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took > after || took <= after-rearm {
				t.Errorf("%s: ended after %v with %v, want a timeout after %v, or %v less", what, took, err, after, rearm)
			}
		}
		ends("idle", idle)
		ends("half a request", slow)
		ends("idle again", idle)
		var ctx fasthttp.RequestCtx
		ctx.Init2(c, nil, false)
		_ = NetConn(&ctx).SetReadDeadline(time.Unix(1, 0))
		ends("idle after somebody else's deadline", idle)
	})
}
