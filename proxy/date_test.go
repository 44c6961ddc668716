package proxy

import (
	"net/http"
	"testing"
	"time"
)

// TestDate: every answer says once when it was made; TestNativeHeaders has one
// that its upstream dated.
func TestDate(t *testing.T) {
	f, w := overWire(t, "", nil)
	const host = " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer one\r\n"
	for name, c := range map[string]struct {
		request string
		answer  string
		code    int
	}{
		"own page":             {"GET /healthz" + host + "\r\n", "", 200},
		"own page, no body":    {"HEAD /healthz" + host + "\r\n", "", 200},
		"problem":              {"GET /none" + host + "\r\n", "", 404},
		"refused request":      {"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "", 400},
		"no request":           {"nonsense\r\n\r\n", "", 400},
		"forwarded without":    {"POST /native/vessl/v1/x" + host + "Content-Length: 0\r\n\r\n", emptyAnswer, 200},
		"poll of the upstream": {"GET /native/vessl/v1/x" + host + "\r\n", emptyAnswer, 200},
	} {
		t.Run(name, func(t *testing.T) {
			if c.answer != "" {
				w.answers <- c.answer
			}
			began := time.Now().Add(-10 * time.Second) // the server renders it once a second
			res, _ := f.send(c.request)
			if c.answer != "" {
				<-w.requests
			}
			dates := res.Header.Values("Date")
			if res.StatusCode != c.code || len(dates) != 1 {
				t.Fatalf("code %d, want %d; Date %q, want one", res.StatusCode, c.code, dates)
			}
			if at, err := http.ParseTime(dates[0]); err != nil || at.Before(began) || at.After(time.Now()) {
				t.Errorf("Date %q (%v), asked after %v", dates[0], err, began)
			}
		})
	}
}
