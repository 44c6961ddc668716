package tasks

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pollux/cache"
)

func TestHistoryIsRenderedExactly(t *testing.T) {
	e := &cache.Entry{Document: []byte(`{"a":1}`), ETag: `W/"x"`, History: []cache.Change{
		{Status: "queued", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		{Status: "failed", NativeStatus: "B\"AD", At: time.Date(2026, 1, 2, 3, 4, 5, 120e6+313, time.FixedZone("", 3600))},
	}}
	body, etag := extend(e, options{history: true})
	want := `{"a":1,"history":[{"status":"queued","native_status":null,"at":"2026-01-02T03:04:05Z"},{"status":"failed","native_status":"B\"AD","at":"2026-01-02T02:04:05.12Z"}]}`
	if string(body) != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	if etag == e.ETag || !strings.HasPrefix(etag, `W/"`) {
		t.Errorf("ETag %s", etag)
	}
}

func FuzzBatch(f *testing.F) {
	for _, s := range []string{`{"tasks":["a/b"]}`, `{"tasks":[{"upstream":"a","id":["b"],"params":{"c":"d"}}],"wait":1,"until":"all"}`, `{"tasks":[],"credentials":{"a":{"b":"c"}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := parseBatch(body, 5)
		if err != nil {
			return
		}
		if len(b.tasks) > 5 || !json.Valid(body) {
			t.Errorf("%q passed", body)
		}
		for _, raw := range b.tasks {
			if !json.Valid(raw) {
				t.Errorf("%q: the reference %q is not JSON", body, raw)
			}
		}
	})
}
