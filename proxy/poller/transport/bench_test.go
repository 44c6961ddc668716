//go:build unix

package transport

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pollux/cache"
)

func kilobyte(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", 1<<10)) }

// BenchmarkRoundTrip is one request with an answer of 1 KiB, by one credential
// and by a thousand in turn: more than there are connections kept for.
func BenchmarkRoundTrip(b *testing.B) {
	for _, protocol := range []string{"plain", "TLS", "HTTP/2"} {
		for _, credentials := range []uint64{1, 1000} {
			b.Run(fmt.Sprintf("%s/%d", protocol, credentials), func(b *testing.B) {
				bn := serve(b, protocol, 256, kilobyte)
				var n atomic.Uint64
				measure(b, func() error {
					i := n.Add(1) % credentials
					_, err := bn.ask(&cache.ID{byte(i), byte(i >> 8), 1}, "GET", "/", "")
					return err
				})
				b.ReportMetric(float64(bn.accepts.Load())/float64(b.N), "connections/op")
			})
		}
	}
}

// BenchmarkSharedTransport is the same over one pool for everybody, as
// net/http has it.
func BenchmarkSharedTransport(b *testing.B) {
	for _, protocol := range []string{"plain", "TLS", "HTTP/2"} {
		b.Run(protocol, func(b *testing.B) {
			bn := serve(b, protocol, 256, kilobyte)
			t := &http.Transport{MaxIdleConnsPerHost: 64, TLSClientConfig: &tls.Config{RootCAs: bn.cfg.Roots}, ForceAttemptHTTP2: protocols[protocol].http2}
			defer t.CloseIdleConnections()
			measure(b, func() error {
				res, err := t.RoundTrip(bn.request("GET", "/", ""))
				if err != nil {
					return err
				}
				defer res.Body.Close()
				_, err = io.Copy(io.Discard, res.Body)
				return err
			})
		})
	}
}

// measure reports, beside what it takes by the clock, what it costs in time of
// the processor, the upstream's share included: that does not depend on who
// else is busy.
func measure(b *testing.B, f func() error) {
	b.SetParallelism(8)
	before := processorTime()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := f(); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64((processorTime()-before).Microseconds())/float64(b.N), "cpu-us/op")
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
