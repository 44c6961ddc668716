package upstream

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

func members(bodies ...string) string {
	var b bytes.Buffer
	for _, body := range bodies {
		w := gzip.NewWriter(&b)
		_, _ = io.WriteString(w, body) // into memory
		_ = w.Close()
	}
	return b.String()
}

func TestReadBody(t *testing.T) {
	const limit = 1 << 20
	for _, c := range []struct {
		name, coding, wire, body string
		unusable                 bool
	}{
		{"plain", "", "hello", "hello", false},
		{"empty", "", "", "", false},
		{"at the limit", "", strings.Repeat("x", limit), strings.Repeat("x", limit), false},
		{"beyond the limit", "", strings.Repeat("x", limit+1), "", true},
		{"gzip", "gzip", members("hello"), "hello", false},
		{"gzip of several members", "x-gzip", members(`{"a":`, ``, `1}`), `{"a":1}`, false},
		{"members beyond the limit together", "gzip", members(strings.Repeat("xy", limit/4), strings.Repeat("xy", limit/4+1)), "", true},
		{"second member is none", "gzip", members("hello") + "rubbish...", "", true},
		{"second member is damaged", "gzip", members("hello") + strings.ReplaceAll(members("there"), "\x00\x00\x00", "\x00\x00\x01"), "", true},
		{"bomb", "gzip", members(strings.Repeat("x", 1<<24)), "", true},
		{"another coding", "br", "hello", "", true},
		{"a list of one coding", "identity, GZIP", members("hello"), "hello", false},
		{"a list of two", "gzip, gzip", members(members("hello")), "", true},
		{"two lines", "gzip\ngzip", members(members("hello")), "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := &http.Response{Header: http.Header{"Content-Encoding": strings.Split(c.coding, "\n")}, Body: io.NopCloser(strings.NewReader(c.wire))}
			body, err := readBody(res, limit)
			_, unusable := errors.AsType[*unusableBody](err)
			if string(body) != c.body || unusable != c.unusable || err != nil && !unusable {
				t.Errorf("%d bytes, %v, want %d, unusable %v", len(body), err, len(c.body), c.unusable)
			}
		})
	}
}

// TestMemoryOfABody: a body at the limit costs twice its size at most.
func TestMemoryOfABody(t *testing.T) {
	const size = 16 << 20
	wire := strings.NewReader(strings.Repeat("x", size))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	body, err := readBody(&http.Response{Body: io.NopCloser(wire)}, size)
	runtime.ReadMemStats(&after)
	if err != nil || len(body) != size || cap(body) != size {
		t.Fatalf("%d bytes, %v", len(body), err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 2*size+size/16 {
		t.Errorf("it took %d bytes for %d", took, size)
	}
}
