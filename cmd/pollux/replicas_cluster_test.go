package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pollux/cache/postgres/pgtest"
)

// asProgram has the test binary be pollux itself, so that tests can run, and
// kill, real processes of what they test.
const asProgram = "POLLUX_TEST_AS_PROGRAM"

// counting is the provider of the upstream below.
const counting = `name: counting
identity: {headers: [Authorization], need: none}
params: {id: {in: path}}
poll: {request: "GET /jobs/{id}", min: 1s}
status: {path: state, words: {running: in_progress, done: completed}}
fields: {id: id, output.text: text}
`

// counted is an upstream that remembers when it was asked for which task, and
// says what the test wants.
type counted struct {
	*httptest.Server
	mu      sync.Mutex // guards what follows
	asked   map[string][]time.Time
	states  map[string]string
	texts   map[string]string
	refused map[string]int // code by credential

	takes atomic.Int64 // how long an answer takes
	news  atomic.Bool  // every answer about a running task says something new: n-1, n-2 and so on
}

func newCounted(t testing.TB) *counted {
	u := &counted{asked: map[string][]time.Time{}, states: map[string]string{}, texts: map[string]string{}, refused: map[string]int{}}
	u.Server = httptest.NewServer(u)
	t.Cleanup(u.Close)
	return u
}

func (u *counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimPrefix(r.URL.Path, "/jobs/")
	u.mu.Lock()
	u.asked[id] = append(u.asked[id], time.Now())
	state, text, code := cmp.Or(u.states[id], "running"), u.texts[id], u.refused[r.Header.Get("Authorization")]
	if state == "running" && u.news.Load() {
		text = fmt.Sprintf("n-%d", len(u.asked[id]))
	}
	u.mu.Unlock()
	time.Sleep(time.Duration(u.takes.Load()))
	w.Header().Set("Content-Type", "application/json")
	if code != 0 {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(code)
		fmt.Fprint(w, `{"error":"no"}`)
		return
	}
	fmt.Fprintf(w, `{"id":%q,"state":%q,"text":%q}`, id, state, text)
}

// says changes what is answered about a task.
func (u *counted) says(id, state, text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.states[id], u.texts[id] = state, text
}

// refuses answers a credential with code from now on, 0 lets it in.
func (u *counted) refuses(credential string, code int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.refused["Bearer "+credential] = code
}

// polls is how often a task was asked for.
func (u *counted) polls(id string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.asked[id])
}

// early is how many polls of all came sooner after the one before than freshFor.
func (u *counted) early(freshFor time.Duration) (early, all int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, asked := range u.asked {
		all += len(asked)
		for i := 1; i < len(asked); i++ {
			if asked[i].Sub(asked[i-1]) < freshFor {
				early++
			}
		}
	}
	return early, all
}

// replicaSet is several processes of Pollux on one database, before one
// upstream.
type replicaSet struct {
	t        testing.TB
	database *pgtest.Server
	upstream *counted
	file     string
	env      []string
	all      []*replica
	direct   bool // without a Link to the database
}

// replica is a process of its own.
type replica struct {
	base    string
	link    *pgtest.Link // to the database
	log     *transcript
	process *exec.Cmd
	ended   chan struct{}
}

// newReplicas starts n processes. more is added to the
// config of the upstream.
func newReplicas(t testing.TB, n int, more string) *replicaSet {
	t.Helper()
	database, err := pgtest.Start("fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(database.Close)
	return newReplicasOn(t, database, n, more)
}

// newReplicasOn starts n processes on a database; nil: one on the embedded store.
func newReplicasOn(t testing.TB, database *pgtest.Server, n int, more string) *replicaSet {
	t.Helper()
	s := &replicaSet{t: t, database: database, upstream: newCounted(t)}
	_, s.direct = t.(*testing.B)
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/providers", 0o700); err != nil {
		t.Fatal(err)
	}
	writeIn(t, dir, "providers/counting.yaml", counting)
	store := `{driver: postgres, address: "${DATABASE_URL}"}`
	if database == nil {
		store = "{path: " + dir + "/p.db}"
	}
	s.file = writeIn(t, dir, "config.yaml", fmt.Sprintf(`listen: 127.0.0.1:0
provider_dir: %s/providers
store: %s
upstreams: {up: {provider: counting, base_url: %s%s}}
webhooks: {allow_networks: [127.0.0.0/8]}
`, dir, store, s.upstream.URL, more))
	s.env = []string{asProgram + "=1", "POLLUX_STORE_KEY=" + storeKey}
	for range n {
		s.start()
	}
	for _, r := range s.all {
		if database != nil {
			r.log.await(t, fmt.Sprintf("msg=replicas living=%d", n))
		}
	}
	return s
}

// start starts one process more.
func (s *replicaSet) start() *replica {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	r := &replica{log: newTranscript(), ended: make(chan struct{})}
	r.process = exec.Command(self, "serve", "--config", s.file)
	r.process.Env = append(os.Environ(), s.env...)
	switch {
	case s.database == nil:
	case s.direct:
		r.process.Env = append(r.process.Env, "DATABASE_URL="+s.database.Address("postgres"))
	default:
		r.link = s.database.Link(s.t)
		r.process.Env = append(r.process.Env, "DATABASE_URL="+r.link.Address("postgres"))
	}
	r.process.Stdout, r.process.Stderr = r.log, r.log
	if err := r.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { _ = r.process.Wait(); close(r.ended) }()
	s.t.Cleanup(func() {
		_ = r.process.Process.Kill()
		<-r.ended
		if s.t.Failed() {
			s.t.Logf("replica at %s:\n%s", r.base, r.log)
		}
	})
	r.base = "http://" + r.log.await(s.t, `msg=listening address=(\S+)`)[1]
	s.all = append(s.all, r)
	return r
}

// end stops a process as a supervisor does, and waits.
func (r *replica) end(t testing.TB) {
	t.Helper()
	_ = r.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.ended:
	case <-time.After(30 * time.Second):
		t.Fatalf("still running half a minute after SIGTERM:\n%s", r.log)
	}
}

var replicaClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}, Timeout: time.Minute}

// ask is one request to a replica with a credential.
func (r *replica) ask(ctx context.Context, method, path, credential string, header ...string) (code int, body string, h http.Header, err error) {
	request, err := http.NewRequestWithContext(ctx, method, r.base+path, nil)
	if err != nil {
		return 0, "", nil, err
	}
	request.Header.Set("Authorization", "Bearer "+credential)
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	answer, err := replicaClient.Do(request)
	if err != nil {
		return 0, "", nil, err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(data), answer.Header, err
}

// poll is a poll that must be answered.
func (r *replica) poll(t testing.TB, id, credential string, header ...string) (code int, body string, h http.Header) {
	t.Helper()
	code, body, h, err := r.ask(context.Background(), http.MethodGet, "/v1/tasks/up/"+id, credential, header...)
	if err != nil {
		t.Fatalf("poll of %s: %v", id, err)
	}
	return code, body, h
}

// eventually waits until done says "", and fails with what it said last.
func eventually(t testing.TB, done func() string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		why := done()
		if why == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(why)
		}
	}
}

// timesAlone is how often replicas have gone on alone, as on a machine so busy that
// the database takes half a second.
func (s *replicaSet) timesAlone() (n int) {
	for _, r := range s.all {
		n += strings.Count(r.log.String(), "going on alone")
	}
	return n
}

// freshFor is how long an answer about a running task is fresh by default.
const freshFor = 2 * time.Second

// TestReplicasShareOnePoll: whoever asks whichever of three replicas, the
// upstream is asked as seldom as by one.
func TestReplicasShareOnePoll(t *testing.T) {
	s := newReplicas(t, 3, "")
	t.Run("at the same time", func(t *testing.T) {
		s.upstream.takes.Store(int64(400 * time.Millisecond))
		defer s.upstream.takes.Store(0)
		for try := range 5 {
			id, alone := fmt.Sprintf("once-%d", try), s.timesAlone()
			var polls sync.WaitGroup
			for i := range 300 {
				polls.Go(func() {
					if code, body, _, err := s.all[i%3].ask(t.Context(), http.MethodGet, "/v1/tasks/up/"+id, "a"); err != nil || code != http.StatusOK {
						t.Errorf("poll: %d %s %v", code, body, err)
					}
				})
			}
			polls.Wait()
			n := s.upstream.polls(id)
			if n == 1 {
				return
			}
			t.Logf("300 polls at once of three replicas came to %d upstream polls", n)
			if s.timesAlone() == alone {
				break // and so each could have asked the others
			}
		}
		t.Error("the replicas did not share a poll")
	})
	t.Run("over time", func(t *testing.T) {
		const tasks, pollers = 50, 20
		ctx, stop := context.WithTimeout(t.Context(), 5*freshFor)
		defer stop()
		var load sync.WaitGroup
		for n, r := range s.all {
			for p := range pollers {
				load.Go(func() {
					for i := n + p; ctx.Err() == nil; i++ {
						if code, body, _, err := r.ask(ctx, http.MethodGet, fmt.Sprintf("/v1/tasks/up/task-%d", i%tasks), "a"); ctx.Err() == nil && (err != nil || code != http.StatusOK) {
							t.Errorf("poll: %d %s %v", code, body, err)
						}
						time.Sleep(100 * time.Millisecond) // of 60 who ask, more than ten times a second for each task
					}
				})
			}
		}
		load.Wait()
		early, all := s.upstream.early(freshFor - 100*time.Millisecond)
		if t.Logf("%d upstream polls, %d of them early", all, early); all < 2*tasks || early*50 > all {
			t.Errorf("%d of %d upstream polls came before the answer was %v old, want at most 2 %%", early, all, freshFor)
		}
	})
}

// TestReplicasTellEachOther: what one of two replicas learns the other one knows.
func TestReplicasTellEachOther(t *testing.T) {
	s := newReplicas(t, 2, "")
	a, b := s.all[0], s.all[1]
	t.Run("followers", func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		events := streamOf(t, ctx, a, "followed", "a")
		if first := <-events; !strings.Contains(first.data, `"in_progress"`) {
			t.Fatalf("first event: %s", first.data)
		}
		var took []time.Duration
		for i := range 10 {
			time.Sleep(1100 * time.Millisecond) // the provider's least interval
			text := fmt.Sprintf("news-%d-", i)
			s.upstream.says("followed", "running", text)
			var found time.Time
			eventually(t, func() string {
				if _, body, _ := b.poll(t, "followed", "a", "Cache-Control", "no-cache"); !strings.Contains(body, text) {
					return "the other replica does not find " + text
				}
				found = time.Now()
				return ""
			})
			for e := range events {
				if strings.Contains(e.data, text) {
					took = append(took, max(0, e.at.Sub(found)))
					break
				}
			}
		}
		slices.Sort(took)
		if t.Logf("followers were told after %v", took); took[len(took)-1] > time.Second {
			t.Errorf("a follower was told %v after another replica knew", took[len(took)-1])
		}
	})
	t.Run("pause", func(t *testing.T) {
		a.poll(t, "paused", "p")
		b.poll(t, "paused", "p")
		s.upstream.refuses("p", http.StatusTooManyRequests)
		time.Sleep(freshFor)
		a.poll(t, "paused", "p")
		polls := s.upstream.polls("paused")
		if _, _, h := b.poll(t, "paused", "p"); !strings.Contains(h.Get("Cache-Status"), "rate-limited") {
			t.Errorf("poll of the other replica in a pause: %v", h)
		}
		if code, body, _ := b.poll(t, "another", "p"); code != http.StatusTooManyRequests {
			t.Errorf("poll of another task in a pause: %d %s", code, body)
		}
		if n := s.upstream.polls("paused") - polls + s.upstream.polls("another"); n != 0 {
			t.Errorf("%d upstream polls in a pause that another replica was told to make", n)
		}
	})
	t.Run("a refused key", func(t *testing.T) {
		s.upstream.says("secret", "done", "for one only")
		a.poll(t, "secret", "k")
		if code, body, _ := b.poll(t, "secret", "k"); code != http.StatusOK || s.upstream.polls("secret") != 1 {
			t.Fatalf("what the other replica has: %d %s", code, body)
		}
		s.upstream.refuses("k", http.StatusUnauthorized)
		if code, _, _ := a.poll(t, "other", "k"); code != http.StatusUnauthorized {
			t.Fatalf("poll with a refused key: %d", code)
		}
		eventually(t, func() string {
			if code, body, _ := b.poll(t, "secret", "k"); code != http.StatusUnauthorized {
				return fmt.Sprintf("the other replica answers a refused key with %d %s", code, body)
			}
			return ""
		})
	})
	t.Run("a forgotten task", func(t *testing.T) {
		for name, cut := range map[string]bool{"notices flow": false, "notices are lost": true} {
			t.Run(name, func(t *testing.T) {
				id := fmt.Sprint("forgotten-", cut)
				s.upstream.says(id, "done", "what was")
				a.poll(t, id, "a")
				if _, body, _ := b.poll(t, id, "a"); !strings.Contains(body, "what was") {
					t.Fatalf("the other replica has %s", body)
				}
				s.upstream.says(id, "running", "")
				if cut {
					s.database.Exec(t, "postgres", `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'`)
				}
				if code, body, _, err := a.ask(t.Context(), http.MethodDelete, "/v1/tasks/up/"+id, "a"); code != http.StatusNoContent {
					t.Fatalf("DELETE: %d %s %v", code, body, err)
				}
				eventually(t, func() string {
					if _, body, _ := b.poll(t, id, "a"); strings.Contains(body, "what was") {
						return "the other replica shows a forgotten task: " + body
					}
					return ""
				})
			})
		}
	})
}

// event is one event of a stream, and when it came.
type event struct {
	at   time.Time
	name string
	data string
}

// streamOf streams a task until ctx ends.
func streamOf(t testing.TB, ctx context.Context, r *replica, id, credential string) <-chan event {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+"/v1/tasks/up/"+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+credential)
	request.Header.Set("Accept", "text/event-stream")
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan event, 100)
	go func() {
		defer close(events)
		defer answer.Body.Close()
		lines := bufio.NewScanner(answer.Body)
		lines.Buffer(nil, 1<<20)
		var e event
		for lines.Scan() {
			line := lines.Bytes()
			switch name, value, _ := bytes.Cut(line, []byte(":")); {
			case len(line) == 0 && e.data != "":
				e.at = time.Now()
				events <- e
				e = event{}
			case string(name) == "data":
				e.data += string(value)
			case string(name) == "event", string(name) == "retry":
				if e.name = string(bytes.TrimSpace(value)); string(name) == "retry" {
					events <- event{at: time.Now(), name: "retry", data: e.name}
				}
			}
		}
	}()
	return events
}
