package proxy

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"pollux/providers"
	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
)

const (
	messageSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	aMessage      = `{"type":"job.done","job":{"id":"j1"},"status":"failed"}`
)

// inboundFile is a provider whose upstream sends messages that are verified so.
func inboundFile(name, verify string) string {
	return `name: ` + name + `
docs: https://example.com
verified: 2026-11-28
params: {job: {in: path}}
identity: {headers: [Authorization]}
poll: {request: 'GET /jobs/{job}', first: 1s, min: 500ms, max: 10s}
status: {path: status, words: {running: in_progress, done: completed}}
fields: {id: id}
inbound: {id: job.id, types: {path: type, words: [job.done]}, verify: ` + verify + `}
`
}

// inboundFace is a face whose upstreams send messages, with the job j1 that runs.
type inboundFace struct {
	*face
	set *providers.Set
}

func newInboundFace(t *testing.T, verify map[string]string) *inboundFace {
	files := fstest.MapFS{}
	for name, v := range verify {
		files[name+".yaml"] = &fstest.MapFile{Data: []byte(inboundFile(name, v))}
	}
	set, err := providers.Load(files)
	must(t, err)
	f := &inboundFace{newFace(t, nil), set}
	all := map[string]upstream.Config{}
	for name := range verify {
		u := upstream.DefaultConfig()
		u.Provider, u.BaseURL = name, f.base
		u.Inbound = &upstream.InboundConfig{SlowPoll: 5 * time.Minute}
		if set.Get(name).Inbound.JWKS == "" {
			u.Inbound.Secret = messageSecret
		}
		all[name] = u
	}
	silent := upstream.DefaultConfig()
	for name := range verify {
		silent.Provider, silent.BaseURL = name, f.base
	}
	all["silent"] = silent
	built, useUpstreams, err := f.poller.Prepare(poller.Config{Upstreams: all}, set)
	must(t, err)
	useSettings, err := f.server.Prepare(DefaultConfig(), built)
	must(t, err)
	useUpstreams()
	useSettings()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = f.poller.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	f.says("running")
	return f
}

func (f *inboundFace) says(status string) {
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":%q,"status":%q}`, lastSegment(r), status)
	})
}

// message posts a body to the upstream, signed with secret at a time.
func (f *inboundFace) message(upstream, body, secret string, at time.Time) *answer {
	f.t.Helper()
	h := http.Header{}
	query, ok := f.set.Get(upstream).Inbound.Sign(h, []byte(body), secret, at)
	if !ok {
		f.t.Fatal("the provider signs with keys of its own")
	}
	return f.post(upstream, body, h, query.Encode())
}

func (f *inboundFace) post(upstream, body string, h http.Header, query string) *answer {
	f.t.Helper()
	var lines []string
	for name := range h {
		lines = append(lines, name+": "+h.Get(name))
	}
	return f.do("POST", "/inbound/"+upstream+"?"+query, body, lines...)
}

// settled is how many polls the upstream saw once nothing more comes.
func (f *inboundFace) settled() int64 {
	f.t.Helper()
	for last := f.polls.Load(); ; {
		time.Sleep(300 * time.Millisecond)
		if now := f.polls.Load(); now != last {
			last = now
			continue
		}
		return last
	}
}

var verifications = map[string]string{
	"standard":     `standard-webhooks`,
	"hmac":         `{hmac: sha256, header: X-Signature, prefix: 'sha256=', signed: ['{timestamp}', '.', '{body}'], timestamp: {header: X-Time, tolerance: 5m}}`,
	"token-header": `{token: {header: X-Token}}`,
	"token-query":  `{token: {query: token}}`,
}

// TestMessageIsVerified: what is not signed as the provider file says changes
// nothing, and gets the code that says what is wrong.
func TestMessageIsVerified(t *testing.T) {
	f := newInboundFace(t, verifications)
	for name := range verifications {
		signed := f.set.Get(name).Inbound
		timed := !strings.HasPrefix(name, "token")
		tests := map[string]struct {
			do   func() *answer
			want int
		}{
			"genuine": {func() *answer { return f.message(name, aMessage, messageSecret, time.Now()) }, 204},
			"other type": {func() *answer {
				return f.message(name, `{"type":"job.log","job":{"id":"j1"}}`, messageSecret, time.Now())
			}, 204},
			"no task":  {func() *answer { return f.message(name, `{"type":"job.done"}`, messageSecret, time.Now()) }, 204},
			"unsigned": {func() *answer { return f.post(name, aMessage, nil, "") }, 401},
			"another key": {func() *answer {
				return f.message(name, aMessage, "whsec_b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcg==", time.Now())
			}, 401},
			"not JSON": {func() *answer { return f.message(name, `{"type":`, messageSecret, time.Now()) }, 400},
			"a list":   {func() *answer { return f.message(name, `[1]`, messageSecret, time.Now()) }, 400},
			"too large": {func() *answer {
				return f.message(name, `{"a":"`+strings.Repeat("x", providers.MaxMessage)+`"}`, messageSecret, time.Now())
			}, 413},
			"nobody's":   {func() *answer { return f.post("silent", aMessage, nil, "") }, 404},
			"no such":    {func() *answer { return f.post("nobody", aMessage, nil, "") }, 404},
			"not a POST": {func() *answer { return f.do("GET", "/inbound/"+name, "") }, 405},
		}
		if timed {
			tests["too old"] = struct {
				do   func() *answer
				want int
			}{func() *answer { return f.message(name, aMessage, messageSecret, time.Now().Add(-time.Hour)) }, 401}
			tests["changed"] = struct {
				do   func() *answer
				want int
			}{func() *answer {
				h := http.Header{}
				signed.Sign(h, []byte(aMessage), messageSecret, time.Now())
				return f.post(name, strings.Replace(aMessage, "j1", "j2", 1), h, "")
			}, 401}
		}
		for what, test := range tests {
			t.Run(name+"/"+what, func(t *testing.T) {
				a := test.do()
				if a.StatusCode != test.want {
					t.Errorf("code %d, want %d: %s", a.StatusCode, test.want, a.body)
				}
				if a.StatusCode == 401 && a.Header.Get("WWW-Authenticate") == "" {
					t.Error("a 401 without a challenge")
				}
			})
		}
	}
	if n := f.settled(); n != 0 {
		t.Errorf("messages about tasks that nobody asks for caused %d polls", n)
	}
	if log := f.log.String(); strings.Contains(log, messageSecret) {
		t.Error("the secret is in the log")
	}
}

// TestHintPollsWhatIsWatched: a message makes what is known stale for everybody
// and polls a watched task once; until one comes, it is left alone.
func TestHintPollsWhatIsWatched(t *testing.T) {
	for name := range verifications {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newInboundFace(t, map[string]string{name: verifications[name]})
			f.message(name, `{"type":"hello"}`, messageSecret, time.Now()) // the upstream sends messages
			ended := make(chan *answer, 1)
			go func() {
				ended <- f.do("GET", "/v1/tasks/"+name+"/j1?wait=60", "", "Authorization: Bearer a")
			}()
			time.Sleep(6 * time.Second) // three lifetimes
			before := f.settled()
			if before < 1 || before > 2 {
				t.Errorf("%d polls before the message, want at most the first look and one more", before)
			}
			forged := strings.Replace(aMessage, "done", "done ", 1)
			if a := f.message(name, forged, "whsec_b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcg==", time.Now()); a.StatusCode != 401 {
				t.Errorf("forged: code %d", a.StatusCode)
			}
			if n := f.settled(); n != before {
				t.Errorf("a forged message caused %d polls", n-before)
			}
			f.says("done")
			h := http.Header{}
			query, _ := f.set.Get(name).Inbound.Sign(h, []byte(aMessage), messageSecret, time.Now())
			if a := f.post(name, aMessage, h, query.Encode()); a.StatusCode != 204 {
				t.Fatalf("code %d: %s", a.StatusCode, a.body)
			}
			select {
			case a := <-ended:
				if !strings.Contains(a.body, `"status":"completed"`) {
					t.Errorf("the answer is %s", a.body)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("nobody looked")
			}
			if n := f.settled(); n != before+1 || n > 3 {
				t.Errorf("%d polls in all, %d before the message", n, before)
			}
			f.post(name, aMessage, h, query.Encode())
			if n := f.settled(); n != before+1 {
				t.Error("a message that came again caused a poll")
			}
		})
	}
}

// TestMessageMakesStale: every partition that knows the task asks anew.
func TestMessageMakesStale(t *testing.T) {
	f := newInboundFace(t, map[string]string{"standard": verifications["standard"]})
	f.do("GET", "/v1/tasks/standard/j1", "", "Authorization: Bearer a")
	f.do("GET", "/v1/tasks/standard/j1", "", "Authorization: Bearer b")
	f.do("GET", "/v1/tasks/standard/j12", "", "Authorization: Bearer b") // begins like it
	time.Sleep(600 * time.Millisecond)                                   // the provider's least interval
	f.message("standard", aMessage, messageSecret, time.Now())
	before := f.settled()
	for _, key := range []string{"a", "b"} {
		if a := f.do("GET", "/v1/tasks/standard/j1", "", "Authorization: Bearer "+key); !strings.Contains(a.Header.Get("Cache-Status"), "fwd=stale") {
			t.Errorf("%s: %s", key, a.Header.Get("Cache-Status"))
		}
	}
	if n := f.polls.Load(); n != before+2 || before != 3 {
		t.Errorf("%d polls, %d before", n, before)
	}
}

// TestMessageSignedWithPublishedKeys: the keys are looked up, again when one is
// not known but no more than once a minute, and nobody waits for them long.
func TestMessageSignedWithPublishedKeys(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	must(t, err)
	var asked atomic.Int64
	var hang atomic.Bool
	release := make(chan struct{})
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if hang.Load() {
			<-release
		}
		fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","x":%q}]}`, base64.RawURLEncoding.EncodeToString(public))
	}))
	defer keys.Close()
	verify := `{ed25519: {jwks: '` + keys.URL + `/jwks.json', header: X-Signature, encoding: hex, signed: ['{timestamp}', '.', '{body}'], timestamp: {header: X-Time, tolerance: 5m}}}`
	sign := func(key ed25519.PrivateKey, body string) http.Header {
		at := fmt.Sprint(time.Now().Unix())
		return http.Header{"X-Time": {at}, "X-Signature": {hex.EncodeToString(ed25519.Sign(key, []byte(at+"."+body)))}}
	}
	_, forger, err := ed25519.GenerateKey(nil)
	must(t, err)
	t.Run("verified", func(t *testing.T) {
		f := newInboundFace(t, map[string]string{"signed": verify})
		if a := f.post("signed", aMessage, sign(private, aMessage), ""); a.StatusCode != 204 {
			t.Errorf("genuine: code %d: %s", a.StatusCode, a.body)
		}
		for range 5 {
			if a := f.post("signed", aMessage, sign(forger, aMessage), ""); a.StatusCode != 401 {
				t.Errorf("forged: code %d", a.StatusCode)
			}
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("the keys were asked for %d times", n)
		}
	})
	t.Run("keys that do not come", func(t *testing.T) {
		hang.Store(true)
		defer close(release)
		f := newInboundFace(t, map[string]string{"signed": verify})
		begun := time.Now()
		if a := f.post("signed", aMessage, sign(private, aMessage), ""); a.StatusCode != 401 {
			t.Errorf("code %d", a.StatusCode)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("the sender waited for %v", took)
		}
	})
}
