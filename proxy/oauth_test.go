package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"pollux/proxy/poller/oauth"
	"pollux/proxy/poller/upstream"
)

// tokenServer gives the tokens token-1, token-2 and so on to one client. Of them
// the upstream takes those that are good.
type tokenServer struct {
	*httptest.Server
	asked, under, most atomic.Int64
	answer             atomic.Pointer[http.HandlerFunc] // instead of a token; nil: none

	mu   sync.Mutex // guards what follows
	life int        // seconds
	good map[string]bool
}

const clientSecret = "client-secret-canary"

func newTokenServer(t *testing.T) *tokenServer {
	s := &tokenServer{life: 3600, good: map[string]bool{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := s.asked.Add(1)
		s.most.Store(max(s.most.Load(), s.under.Add(1)))
		defer s.under.Add(-1)
		if instead := s.answer.Load(); instead != nil {
			(*instead)(w, r)
			return
		}
		if id, secret, _ := r.BasicAuth(); id != "pollux" || secret != clientSecret || r.FormValue("scope") != "jobs" || r.FormValue("audience") != "api" {
			w.WriteHeader(401)
			return
		}
		time.Sleep(20 * time.Millisecond)
		s.mu.Lock()
		defer s.mu.Unlock()
		token := fmt.Sprintf("token-%d", n)
		s.good["Bearer "+token] = true
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, token, s.life)
	}))
	t.Cleanup(s.Close)
	return s
}

// revoke makes every token bad that was given.
func (s *tokenServer) revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.good)
}

// fails makes the server answer otherwise; nil: no more.
func (s *tokenServer) fails(h http.HandlerFunc) {
	if h == nil {
		s.answer.Store(nil)
		return
	}
	s.answer.Store(&h)
}

// guarded lets only good tokens through to h.
func (s *tokenServer) guarded(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		ok := s.good[r.Header.Get("Authorization")]
		s.mu.Unlock()
		if !ok {
			w.WriteHeader(401)
			_, _ = io.WriteString(w, `{"error":"no token"}`)
			return
		}
		h(w, r)
	}
}

// withClient has the upstream vessl of f ask with tokens of s.
func (f *face) withClient(s *tokenServer) {
	f.t.Helper()
	all := upstreams(f.base)
	u := all["vessl"]
	u.Credential = upstream.CredentialConfig{OAuth2: &oauth.Config{TokenURL: s.URL + "/token", ClientID: "pollux", ClientSecret: clientSecret, Scopes: []string{"jobs"}, Audience: "api"}}
	u.Timeout = 2 * time.Second
	all["vessl"] = u
	f.replace(all, f.server.settings.Load().Config)
}

func jobs(status string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == "POST" {
			_, _ = io.WriteString(w, `{"job_id":"made"}`)
			return
		}
		fmt.Fprintf(w, `{"status":%q}`, status)
	}
}

// TestAccessTokens: whatever Pollux asks an upstream for, it asks with a token,
// and everybody waits for the same one.
func TestAccessTokens(t *testing.T) {
	t.Parallel()
	h := newHooked(t, nil)
	s := newTokenServer(t)
	h.answer(s.guarded(jobs("in_progress")))
	h.withClient(s)
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			if a := h.do("GET", fmt.Sprintf("/v1/tasks/vessl/job%d", i), ""); a.StatusCode != 200 {
				t.Errorf("poll %d: %d %s", i, a.StatusCode, a.body)
			}
		})
	}
	all.Wait()
	if a := h.do("POST", "/v1/tasks/batch", `{"tasks":["vessl/b1","vessl/b2"]}`); strings.Count(a.body, `"status_code":200`) != 2 {
		t.Errorf("batch: %s", a.body)
	}
	if a := h.do("GET", "/native/vessl/anything", ""); a.StatusCode != 200 {
		t.Errorf("forwarded: %d %s", a.StatusCode, a.body)
	}
	if a := h.do("POST", "/v1/webhooks", fmt.Sprintf(`{"tasks":["vessl/w1"],"url":%q}`, h.url)); a.StatusCode != 201 {
		t.Errorf("webhook: %d %s", a.StatusCode, a.body)
	}
	time.Sleep(300 * time.Millisecond)
	h.answer(s.guarded(jobs("completed")))
	if a := h.do("GET", "/v1/tasks/vessl/job1?wait=20", ""); gjson.Get(a.body, "status").String() != "completed" {
		t.Errorf("wait: %d %s", a.StatusCode, a.body)
	}
	h.wait(t)
	if s.asked.Load() != 1 {
		t.Errorf("%d tokens were asked for, want 1", s.asked.Load())
	}
	h.withClient(s)
	if a := h.do("GET", "/v1/tasks/vessl/reloaded", ""); a.StatusCode != 200 || s.asked.Load() != 1 {
		t.Errorf("after a reload: %d, %d tokens", a.StatusCode, s.asked.Load())
	}

	s.revoke()
	if a := h.do("GET", "/v1/tasks/vessl/revoked", ""); a.StatusCode != 200 {
		t.Errorf("the poll after the token was revoked: %d %s", a.StatusCode, a.body)
	}
	s.revoke()
	if a := h.do("POST", "/native/vessl/jobs", `{}`); a.StatusCode != 401 {
		t.Errorf("a create is not repeated: %d", a.StatusCode)
	}
	if a := h.do("GET", "/v1/tasks/vessl/job1", ""); a.StatusCode != 200 || !strings.HasPrefix(a.Header.Get("Cache-Status"), "pollux; hit") {
		t.Errorf("a refused token hides what is stored: %d %s", a.StatusCode, a.body)
	}
	if a := h.do("POST", "/native/vessl/jobs", `{}`); a.StatusCode != 200 {
		t.Errorf("the next create: %d", a.StatusCode)
	}
	if asked := s.asked.Load(); asked != 3 || s.most.Load() != 1 {
		t.Errorf("%d tokens, %d at once; want one more for each that was revoked", asked, s.most.Load())
	}
	h.noSecrets(t)
}

// wait waits for a webhook.
func (h *hooked) wait(t *testing.T) {
	t.Helper()
	select {
	case <-h.in:
	case <-time.After(20 * time.Second):
		t.Fatal("no webhook came")
	}
}

func (f *face) noSecrets(t *testing.T) {
	t.Helper()
	said := f.log.String() + f.do("GET", "/metrics", "").body + f.do("GET", "/v1/upstreams", "").body + f.do("GET", "/v1/tasks", "").body
	for _, secret := range []string{clientSecret, "token-1", "token-2"} {
		if strings.Contains(said, secret) {
			t.Errorf("%s is in a log, metric or list", secret)
		}
	}
}

// TestTokenServerTrouble: a token server that fails, is slow or talks nonsense is
// no failure of the upstream, and nobody's trouble while there is a token.
func TestTokenServerTrouble(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		code   int
		kind   string
	}{
		{"fails", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, clientSecret, http.StatusServiceUnavailable)
		}, 502, "upstream-error"},
		{"knows no such client", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
		}, 502, "upstream-error"},
		{"answers a page", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<html>"+clientSecret)
		}, 502, "upstream-error"},
		{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 502, "upstream-error"},
		{"is slow", func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(6 * time.Second):
			}
			w.WriteHeader(503)
		}, 504, "upstream-timeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFace(t, nil)
			s := newTokenServer(t)
			f.answer(s.guarded(jobs("in_progress")))
			f.withClient(s)
			s.fails(tt.answer)
			for i := range 8 { // more than would open a breaker
				a := f.do("GET", fmt.Sprintf("/v1/tasks/vessl/first%d", i), "")
				if a.StatusCode != tt.code || !strings.HasSuffix(gjson.Get(a.body, "type").String(), tt.kind) || strings.Contains(a.body, "canary") {
					t.Errorf("without a token: %d %s", a.StatusCode, a.body)
				}
				if tt.code == 504 {
					break // it takes its time
				}
			}
			if a := f.do("POST", "/native/vessl/jobs", `{}`); a.StatusCode != tt.code || strings.Contains(a.body, "canary") {
				t.Errorf("a create without a token: %d %s", a.StatusCode, a.body)
			}
			if n := f.polls.Load(); n != 0 {
				t.Errorf("the upstream was asked %d times without a token", n)
			}
			s.fails(nil)
			until := time.Now().Add(30 * time.Second)
			for f.do("GET", "/v1/tasks/vessl/recovered", "").StatusCode != 200 {
				if time.Now().After(until) {
					t.Fatal("it does not recover with the token server")
				}
				time.Sleep(100 * time.Millisecond)
			}
			s.fails(tt.answer)
			if a := f.do("GET", "/v1/tasks/vessl/held", ""); a.StatusCode != 200 {
				t.Errorf("with a good token: %d %s", a.StatusCode, a.body)
			}
			if state := gjson.Get(f.do("GET", "/v1/upstreams", "").body, `data.#(name=="vessl").breaker`); state.Exists() && state.String() != "closed" {
				t.Errorf("the breaker is %s", state)
			}
			f.noSecrets(t)
		})
	}
}

// TestTokensRotate: tokens of a second's life are replaced in time for a thousand
// polls, none of which fails although the token server fails every other time.
func TestTokensRotate(t *testing.T) {
	t.Parallel()
	f := newFace(t, nil)
	s := newTokenServer(t)
	s.life = 4
	f.answer(s.guarded(jobs("in_progress")))
	f.withClient(s)
	var n atomic.Int64
	failing := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }
	end := time.Now().Add(9 * time.Second)
	for i := 0; time.Now().Before(end); i++ {
		if s.fails(nil); i%40 < 8 && i > 40 {
			s.fails(failing)
		}
		if a := f.do("GET", fmt.Sprintf("/v1/tasks/vessl/job%d", n.Add(1)), ""); a.StatusCode != 200 {
			t.Fatalf("poll %d: %d %s", n.Load(), a.StatusCode, a.body)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if s.most.Load() > 1 {
		t.Errorf("%d requests for tokens at once", s.most.Load())
	}
	if s.asked.Load() < 3 {
		t.Errorf("%d tokens in nine seconds, of four seconds each", s.asked.Load())
	}
}
