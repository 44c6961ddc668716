package providers

import (
	"io"
	"testing"

	"pollux/providers/format"
)

const posted = `
name: posted
identity: {headers: [X-Key]}
params:
  id: {in: body, task: true}
  shard: {in: body}
  note: {in: body, optional: true}
poll:
  request: POST /v1/video/status
  safe: true
  body: {requestId: '{id}', shard: {number: shard}, kind: video, note: '{note}'}
cancel: {request: POST /v1/video/cancel, body: {run: {number: shard}, requestId: '{id}'}}
status: {path: status, words: {x: completed}}
fields: {id: requestId}
`

func TestPostedPoll(t *testing.T) {
	p := parse(t, "posted", posted)
	parser, err := NewParser(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := parser.ParseString(`a%22b?shard=7`)
	if err != nil {
		t.Fatal(err)
	}
	if got := parser.Format(r); got != "a%22b?shard=7" {
		t.Errorf("Format = %s", got)
	}
	if _, err := parser.ParseString("a?shard=seven"); err == nil || err.Error() != "shard is no number" {
		t.Errorf("a shard that is no number: %v", err)
	}
	base, _ := format.ParseBaseURL("https://h")
	req, err := p.PollRequest(t.Context(), base, r, Credential{})
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(req.Body)
	const want = `{"requestId":"a\"b","shard":7,"kind":"video"}`
	if string(body) != want || req.Method != "POST" || req.URL.RequestURI() != "/v1/video/status" || req.Header.Get("Content-Type") != "application/json" || req.ContentLength != int64(len(want)) || req.GetBody != nil {
		t.Errorf("poll %s %s %s of %d bytes, %v; want %s", req.Method, req.URL.RequestURI(), body, req.ContentLength, req.Header, want)
	}
	cancel, err := p.CancelRequest(t.Context(), base, r, Credential{})
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(cancel.Body); string(body) != `{"run":7,"requestId":"a\"b"}` {
		t.Errorf("cancel with %s", body)
	}

	path := []byte("/v1/video/status")
	if !parser.MayPoll([]byte("POST"), path) || parser.MayPoll([]byte("GET"), path) || parser.MayPoll([]byte("POST"), []byte("/v1/video")) {
		t.Error("MayPoll takes other requests for this one")
	}
	for sent, want := range map[string]bool{
		want: true,
		` {"kind": "video", "shard": 7, "requestId": "a\u0022b"} `:         true,
		`{"requestId":"a\"b","shard":7,"kind":"video","note":"n"}`:         true,
		`{"requestId":"a\"b","shard":7,"kind":"audio"}`:                    false,
		`{"requestId":"a\"b","shard":7}`:                                   false,
		`{"requestId":"a\"b","shard":"7","kind":"video"}`:                  false,
		`{"requestId":1,"shard":7,"kind":"video"}`:                         false,
		`{"requestId":"a\"b","shard":7,"kind":"video","x":1}`:              false,
		`{"requestId":"a\"b","requestId":"a\"b","shard":7,"kind":"video"}`: false,
		`{"requestId":"","shard":7,"kind":"video"}`:                        false,
		`{"requestId":"a\ud800b","shard":7,"kind":"video"}`:                false,
		`[{"requestId":"a\"b","shard":7,"kind":"video"}]`:                  false,
		`requestId=a`: false,
		``:            false,
	} {
		var v View
		got := parser.MatchPollBody(&v, []byte("POST"), path, nil, []byte(sent))
		if got != want {
			t.Errorf("MatchPollBody(%s) = %v, want %v", sent, got, want)
		}
		if ref := v.Reference(); got && (ref.Values[0] != `a"b` || ref.Values[1] != "7") {
			t.Errorf("MatchPollBody(%s) is about %q", sent, ref.Values)
		}
	}
	var v View
	if parser.MatchPoll(&v, []byte("POST"), path, nil) || parser.MatchPollBody(&v, []byte("POST"), path, []byte("x=1"), []byte(want)) {
		t.Error("a poll without its body, or with a query that nobody knows, is taken for one")
	}
	if ref, ok := parser.Affected([]byte("POST"), []byte("/v1/video/cancel"), nil, []byte(`{"run":7,"requestId":"a"}`)); !ok || ref.Values[0] != "a" {
		t.Errorf("Affected by a cancel = %q, %v", ref.Values, ok)
	}
}
