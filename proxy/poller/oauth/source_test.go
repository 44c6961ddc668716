package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipes is a listener without sockets, so that a real server and its clients
// live in synctest's time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipes) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipes) Addr() net.Addr { return &net.TCPAddr{} }
func (l *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// bench is a source, and the token server that it asks.
type bench struct {
	*Source
	t *testing.T

	mu       sync.Mutex // guards what follows
	asked    int
	under    int // requests under way
	most     int // of them at a time
	outcomes []Outcome
}

const clientSecret = "s3cret canary/+?"

// newBench starts a source over a server that answers the n-th request with
// answer.
func newBench(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) *bench {
	b := &bench{t: t}
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.asked++
		n := b.asked
		b.under++
		b.most = max(b.most, b.under)
		b.mu.Unlock()
		defer func() { b.mu.Lock(); b.under--; b.mu.Unlock() }()
		answer(n, w, r)
	})}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	transport := &http.Transport{DialContext: l.dial, DisableKeepAlives: true}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		_ = server.Close()
		<-served
	})
	cfg := Config{TokenURL: "http://auth.test/token", ClientID: "client/1", ClientSecret: clientSecret, Scopes: []string{"a", "b"}, Audience: "jobs"}
	b.Source = New(ctx, cfg, transport, nil, func(o Outcome) { b.mu.Lock(); b.outcomes = append(b.outcomes, o); b.mu.Unlock() })
	return b
}

// want asks for a token as somebody who has ten seconds.
func (b *bench) want(what, want string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	got, err := b.Token(ctx)
	if err != nil {
		got = err.Error()
		if _, ok := errors.AsType[*Error](err); !ok || strings.Contains(got, "s3cret") || strings.Contains(got, "auth.test") {
			b.t.Errorf("%s: %T %v", what, err, err)
		}
	}
	if got != want {
		b.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func (b *bench) wantAsked(what string, want int) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.asked != want || b.most > 1 {
		b.t.Errorf("%s: the token server was asked %d times, %d at once, want %d", what, b.asked, b.most, want)
	}
}

func give(w http.ResponseWriter, n, seconds int) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"access_token":"T%d","token_type":"Bearer","expires_in":%d}`, n, seconds)
}

// One request serves everybody who waits, and says who asks as the RFC has it.
func TestOneRequestAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(n int, w http.ResponseWriter, r *http.Request) {
			id, secret, ok := r.BasicAuth()
			if r.ParseForm() != nil || !ok || id != "client%2F1" || secret != "s3cret+canary%2F%2B%3F" || r.Method != "POST" ||
				r.PostForm.Encode() != "audience=jobs&grant_type=client_credentials&scope=a+b" {
				t.Errorf("asked by %s with %q as %s", r.Method, r.PostForm.Encode(), id)
			}
			time.Sleep(3 * time.Second)
			give(w, n, 3600)
		})
		var all sync.WaitGroup
		for range 200 {
			all.Go(func() { b.want("together", "T1") })
		}
		all.Wait()
		b.want("afterwards", "T1")
		b.wantAsked("200 at once", 1)
		if b.Current() != "T1" {
			t.Errorf("at hand is %q", b.Current())
		}
	})
}

// A token is replaced before it ends, and nobody waits for that, however slow
// the server is.
func TestRenewedBeforeItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(n int, w http.ResponseWriter, _ *http.Request) {
			if n > 1 {
				time.Sleep(20 * time.Second)
			}
			give(w, n, 3600)
		})
		b.want("first", "T1")
		time.Sleep(time.Hour - maxLead - time.Second)
		b.want("long before its end", "T1")
		b.wantAsked("long before its end", 1)
		time.Sleep(time.Second)
		start := time.Now()
		for range 5 {
			b.want("soon before its end", "T1")
		}
		if waited := time.Since(start); waited > 0 {
			t.Errorf("who had a good token waited %v for the next one", waited)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		b.want("renewed", "T2")
		b.wantAsked("renewed", 2)
		time.Sleep(2 * time.Hour)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if value, err := b.Token(ctx); err == nil || err.(*Error).Outcome != Slow {
			t.Errorf("long after its end: %q, %v", value, err)
		}
		time.Sleep(19 * time.Second)
		synctest.Wait()
		b.want("the request went on without who gave up", "T3")
		b.wantAsked("after its end", 3)
	})
}

// While there is a good token, a server that fails is nobody's trouble; it is
// asked again in growing pauses.
func TestServerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := false
		b := newBench(t, func(n int, w http.ResponseWriter, _ *http.Request) {
			if down {
				http.Error(w, "secret is "+clientSecret, http.StatusServiceUnavailable)
				return
			}
			give(w, n, 100)
		})
		b.want("first", "T1")
		down = true
		for range 19 { // due after 80 s
			time.Sleep(5 * time.Second)
			b.want("while the old one is good", "T1")
		}
		time.Sleep(5 * time.Second)
		const failing = "the token server answered 503"
		b.want("ended", failing)
		b.want("ended", failing)
		b.mu.Lock()
		asked := b.asked
		b.mu.Unlock()
		if asked < 3 || asked > 6 {
			t.Errorf("in 20 s of failures the server was asked %d times", asked-1)
		}
		_, err := b.Token(t.Context())
		wait := err.(*Error).RetryAfter
		if wait <= 0 || wait > longestPause {
			t.Errorf("to be asked again in %v", wait)
		}
		down = false
		time.Sleep(wait)
		b.want("recovered", fmt.Sprintf("T%d", asked+1))
		if first, last := b.outcomes[0], b.outcomes[len(b.outcomes)-1]; first != Given || last != Given || b.outcomes[1] != Failed {
			t.Errorf("outcomes %v", b.outcomes)
		}
	})
}

// A token that the upstream refuses is given up once, whoever says so, and a
// server that hands out refused ones is not asked for each poll.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(n int, w http.ResponseWriter, _ *http.Request) { give(w, n, 3600) })
		b.want("first", "T1")
		b.Refused("T1")
		b.want("given up", "T2")
		b.Refused("T1")
		b.Refused("")
		b.want("said late", "T2")
		b.wantAsked("given up", 2)
		for range 1000 {
			b.Refused(b.Current())
			if _, err := b.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		b.mu.Lock()
		if b.asked > 12 {
			t.Errorf("1,000 refused polls asked for %d tokens", b.asked)
		}
		b.mu.Unlock()
		time.Sleep(time.Minute)
		before := b.Current()
		b.Refused(before)
		if after, err := b.Token(t.Context()); err != nil || after == before {
			t.Errorf("a minute later: %q, %v", after, err)
		}
	})
}

// TestAnswers: what a server may say, and what is made of it.
func TestAnswers(t *testing.T) {
	body := func(code int, kind, text string) func(int, http.ResponseWriter, *http.Request) {
		return func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(code)
			_, _ = io.WriteString(w, text)
		}
	}
	const (
		json    = "application/json"
		noToken = "the token server's answer is no token"
		unfit   = "the token server's answer holds no token that can be sent"
	)
	tests := []struct {
		name    string
		answer  func(int, http.ResponseWriter, *http.Request)
		want    string
		outcome Outcome
		asked   int
	}{
		{"a page", body(200, "text/html", "<html>log in</html>"), noToken, Failed, 1},
		{"a page with an error", body(502, "text/html", "<html>"+clientSecret+"</html>"), "the token server answered 502", Failed, 1},
		{"plain text", body(200, "text/plain", "hello"), noToken, Failed, 1},
		{"nothing", body(200, json, ""), noToken, Failed, 1},
		{"no token", body(200, json, `{"token":"T"}`), noToken, Failed, 1},
		{"cut off", body(200, json, `{"access_token":"T`), noToken, Failed, 1},
		{"an unknown client", body(401, json, `{"error":"invalid_client","error_description":"`+clientSecret+`"}`), "the token server answered 401 (invalid_client)", Refused, 2},
		{"an unknown scope", body(400, json, `{"error":"invalid_scope"}`), "the token server answered 400 (invalid_scope)", Refused, 2},
		{"a code of its own", body(400, json, `{"error":"s3cret canary"}`), "the token server answered 400", Refused, 2},
		{"an error with 200", body(200, json, `{"error":"invalid_client"}`), "the token server answered 200 (invalid_client)", Refused, 2},
		{"elsewhere", func(_ int, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://other.test/", http.StatusTemporaryRedirect)
		}, "the token server answered 307", Failed, 1},
		{"no answer", func(int, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "the token server cannot be reached", Failed, 1},
		{"an answer too late", func(int, http.ResponseWriter, *http.Request) { time.Sleep(time.Minute) }, "the token server has not answered in time", Slow, 1},
		{"two lines", body(200, json, `{"access_token":"a\r\nX: b"}`), unfit, Failed, 1},
		{"a long one", body(200, json, `{"access_token":"`+strings.Repeat("x", maxToken+1)+`"}`), unfit, Failed, 1},
		{"a proof of possession", body(200, json, `{"access_token":"T","token_type":"DPoP"}`), unfit, Failed, 1},
		{"one that has ended", body(200, json, `{"access_token":"T","expires_in":-5}`), unfit, Failed, 1},
		{"one without an end", body(200, json, `{"access_token":"T"}`), "T", Given, 1},
		{"seconds as text", body(200, json, `{"access_token":"T","token_type":"bearer","expires_in":"3600"}`), "T", Given, 1},
		{"a form", body(200, "application/x-www-form-urlencoded", "access_token=T&token_type=BearerToken&expires_in=60"), "T", Given, 1},
		{"who reads the body only", func(n int, w http.ResponseWriter, r *http.Request) {
			if r.FormValue("client_secret") != clientSecret || r.FormValue("client_id") != "client/1" {
				body(401, json, `{"error":"invalid_client"}`)(n, w, r)
				return
			}
			body(200, json, `{"access_token":"T"}`)(n, w, r)
		}, "T", Given, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tt.answer)
				got, err := b.Token(t.Context())
				if err != nil {
					got = err.Error()
				}
				if got != tt.want || len(b.outcomes) != 1 || b.outcomes[0] != tt.outcome {
					t.Errorf("%q, %v, want %q, %s", got, b.outcomes, tt.want, tt.outcome)
				}
				b.wantAsked("once", tt.asked)
				if tt.name == "an answer too late" {
					time.Sleep(time.Minute) // until the server has noticed
				}
			})
		})
	}
}

// The form in which a server took the credentials is the one it is asked in
// from then on.
func TestFormIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(n int, w http.ResponseWriter, r *http.Request) {
			if _, _, basic := r.BasicAuth(); basic {
				w.WriteHeader(401)
				return
			}
			give(w, n, 3600)
		})
		b.want("first", "T2")
		b.Refused("T2")
		b.want("second", "T3")
		b.wantAsked("two tokens", 3)
	})
}

func TestServerAsksForAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(n int, w http.ResponseWriter, _ *http.Request) {
			if n == 1 {
				w.Header().Set("Retry-After", "90")
				w.WriteHeader(429)
				return
			}
			give(w, n, 3600)
		})
		b.want("limited", "the token server answered 429")
		time.Sleep(89 * time.Second)
		b.want("too early", "the token server answered 429")
		b.wantAsked("too early", 1)
		time.Sleep(time.Second)
		b.want("in time", "T2")
	})
}

func TestConfig(t *testing.T) {
	good := Config{TokenURL: "https://auth.example.com/token", ClientID: "id", ClientSecret: "canary-secret", Scopes: []string{"a"}}
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"good", func(*Config) {}, ""},
		{"nothing", func(c *Config) { *c = Config{} }, "token_url: is missing: where the token server is; client_id: is missing; client_secret: is missing"},
		{"a path", func(c *Config) { c.TokenURL = "/token" }, "token_url: want an absolute http or https URL"},
		{"a host", func(c *Config) { c.TokenURL = "auth.example.com/token" }, "token_url: want an absolute http or https URL"},
		{"user-info", func(c *Config) { c.TokenURL = "https://id:pw@auth.example.com/" }, "token_url: must hold no user-info and no fragment: client_id and client_secret say who asks"},
		{"blanks", func(c *Config) { c.ClientSecret = "x\n" }, "client_secret: has blanks around it"},
		{"scopes in one", func(c *Config) { c.Scopes = []string{"a b"} }, "scopes: want a list of one scope each, such as [jobs.read, jobs.write]"},
	} {
		c := good
		tt.change(&c)
		var got []string
		for _, f := range c.Validate() {
			got = append(got, f.Key+": "+f.Message)
		}
		if said := strings.Join(got, "; "); said != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, said, tt.want)
		}
	}
	for _, said := range []string{fmt.Sprint(good), fmt.Sprintf("%+v", &good), fmt.Sprintf("%#v", good)} {
		if strings.Contains(said, "canary") {
			t.Errorf("prints as %s", said)
		}
	}
	other := good
	if other.Scopes = []string{"b"}; good.Equal(&other) || !good.Equal(&good) {
		t.Error("clients with other scopes get other tokens")
	}
}
