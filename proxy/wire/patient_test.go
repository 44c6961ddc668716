package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// TestSlowReaderGetsAll: what is limited is how long nothing is read, and not
// the time for all.
func TestSlowReaderGetsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		defer server.Close()
		go func() {
			defer client.Close()
			for range 40 {
				time.Sleep(stall / 3)
				if _, err := io.ReadFull(client, make([]byte, 10)); err != nil {
					return
				}
			}
		}()
		begin := time.Now()
		if n, err := (&patient{Conn: server}).Write(make([]byte, 400)); n != 400 || err != nil {
			t.Errorf("after %v: wrote %d of 400 bytes, %v", time.Since(begin), n, err)
		}
	})
}

func TestStalledReaderIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		defer server.Close()
		defer client.Close()
		go func() { _, _ = io.ReadFull(client, make([]byte, 10)) }()
		begin := time.Now()
		n, err := (&patient{Conn: server}).Write(make([]byte, 400))
		if took := time.Since(begin); n != 10 || !errors.Is(err, os.ErrDeadlineExceeded) || took < stall || took > 2*(stall+rearm) {
			t.Errorf("after %v: wrote %d bytes, %v; want 10 and a timeout after one stall, or two", took, n, err)
		}
	})
}
