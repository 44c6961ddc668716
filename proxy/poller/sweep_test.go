package poller

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidwall/gjson"

	"pollux/proxy/poller/upstream"
)

// sweptFile is an API with a listing of pages.
const sweptFile = `
name: own
base_url: http://upstream.test
identity: {headers: [Authorization]}
params: {id: {in: path}}
poll: {request: 'GET /jobs/{id}', min: 500ms}
status: {path: status, words: {WAIT: queued, BUSY: in_progress, HELD: requires_action, DONE: completed}}
fields: {id: id, output.text: text, metadata.note: note}
sweep: {request: GET /jobs?limit=100, items: jobs, id: id, next: {path: next, param: page}}
`

// farm is an upstream with jobs, which it counts the requests for.
type farm struct {
	mu       sync.Mutex // guards what follows
	words    map[string]string
	hidden   map[string]bool // from the listing
	short    bool            // items have nothing but id and status
	polls    map[string]int
	pages    int
	sweeps   int
	under    int
	most     int // listings at a time
	slow     time.Duration
	listings func(n int) (*http.Response, error) // instead of the listing; nil: none
}

func newFarm() *farm {
	return &farm{words: map[string]string{}, hidden: map[string]bool{}, polls: map[string]int{}}
}

func (f *farm) set(word string, ids ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		f.words[id] = word
	}
}

func (f *farm) job(id string, short bool) string {
	if short {
		return fmt.Sprintf(`{"id":%q,"status":%q}`, id, f.words[id])
	}
	return fmt.Sprintf(`{"id":%q,"status":%q,"note":"of %s","text":"said by %s"}`, id, f.words[id], id, id)
}

func (f *farm) answer(_ int64, req *http.Request) (*http.Response, error) {
	if req.URL.Path != "/jobs" {
		f.mu.Lock()
		defer f.mu.Unlock()
		id := path.Base(req.URL.Path)
		f.polls[id]++
		if f.words[id] == "" {
			return reply(404, `{"error":"no such job"}`)
		}
		return reply(200, f.job(id, false))
	}
	f.mu.Lock()
	f.pages++
	from, _ := strconv.Atoi(req.URL.Query().Get("page"))
	if from == 0 {
		f.sweeps++
	}
	f.under++
	f.most = max(f.most, f.under)
	slow, n, instead := f.slow, f.pages, f.listings
	f.mu.Unlock()
	time.Sleep(slow)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.under--
	if instead != nil {
		return instead(n)
	}
	var ids []string
	for id := range f.words {
		if !f.hidden[id] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var items []string
	for _, id := range ids[min(from, len(ids)):min(from+100, len(ids))] {
		items = append(items, f.job(id, f.short))
	}
	next := "null"
	if from+100 < len(ids) {
		next = `"` + strconv.Itoa(from+100) + `"`
	}
	return reply(200, `{"jobs":[`+strings.Join(items, ",")+`],"next":`+next+`}`)
}

// listing is how many listings are being read.
func (f *farm) listing() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.under
}

// asked is how often jobs were polled, all together.
func (f *farm) asked() (polls, pages, sweeps int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.polls {
		polls += n
	}
	return polls, f.pages, f.sweeps
}

func ids(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("job%03d", i))
	}
	return all
}

// sweepBench is a bench over a farm whose listing is read every second.
func sweepBench(t *testing.T, f *farm, tweak ...func(*upstream.Config)) *bench {
	return newBenchOf(t, sweptFile, f.answer, append([]func(*upstream.Config){func(c *upstream.Config) {
		c.Sweep = time.Second
		c.SweepAtLeast = 5
	}}, tweak...)...)
}

// Two hundred jobs cost a listing a tick, and each a poll when it is first asked
// for, whether clients poll them or follow them.
func TestSweepSparesPolls(t *testing.T) {
	for _, way := range []string{"polled", "watched"} {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm()
				all := ids(200)
				f.set("BUSY", all...)
				b := sweepBench(t, f)
				d := &diary{}
				b.Observe(d)
				for _, id := range all {
					if way == "watched" {
						release, why := b.Watch(b.request("a", id))
						if why != nil {
							t.Fatal(why)
						}
						defer release()
						continue
					}
					b.poll("a", id)
				}
				const seconds = 60
				for second := range seconds {
					if second%10 == 9 { // 20 of them end every ten seconds
						f.set("DONE", all[second/10*20:second/10*20+20]...)
					}
					time.Sleep(time.Second)
					if way == "polled" {
						for _, id := range all {
							if a := b.Poll(context.Background(), b.request("a", id)); a.Entry == nil {
								t.Fatalf("%s: %s", id, said(a))
							}
						}
					}
				}
				time.Sleep(3 * time.Second)
				polls, pages, sweeps := f.asked()
				if polls > len(all) || sweeps > seconds+4 || pages > 2*sweeps || f.most > 1 {
					t.Errorf("%d polls, %d listings of %d pages, %d at once; want a poll each and a listing a second", polls, sweeps, pages, f.most)
				}
				for i, id := range all {
					r := b.request("a", id)
					e, ok := b.memory.Get(&r.Key)
					if want := i < 120; !ok || e.Frozen != want {
						t.Errorf("%s has ended: %v, want %v", id, ok && e.Frozen, want)
						break
					}
					if text := gjson.GetBytes(e.Document, "output.text").String(); text != "said by "+id {
						t.Errorf("%s says %q", id, text)
					}
				}
			})
		})
	}
}

// What the listing says of an end that it does not tell whole is confirmed by a
// poll, and nothing but the status of a short item is believed.
func TestPartialSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm()
		f.short, f.slow = true, 30*time.Millisecond // or a watch wakes in the instant in which a listing ends, and may have asked already
		all := ids(10)
		f.set("WAIT", all...)
		b := newBenchOf(t, strings.Replace(sweptFile, "sweep: {", "sweep: {partial: true, ", 1), f.answer, func(c *upstream.Config) { c.Sweep, c.SweepAtLeast = time.Second, 5 })
		for _, id := range all {
			release, _ := b.Watch(b.request("a", id))
			defer release()
		}
		see := func(id, status, text, note string) {
			t.Helper()
			e := b.entry(b.poll("a", id))
			doc := gjson.ParseBytes(e.Document)
			if e.Status != status || doc.Get("output.text").String() != text || doc.Get("metadata.note").String() != note || !json.Valid(e.Document) {
				t.Errorf("%s: %s", id, e.Document)
			}
		}
		time.Sleep(2500 * time.Millisecond)
		first, _, _ := f.asked()
		f.set("BUSY", all...)
		time.Sleep(1500 * time.Millisecond)
		see("job000", "in_progress", "said by job000", "of job000")
		etag := b.entry(b.poll("a", "job000")).ETag
		time.Sleep(5 * time.Second)
		if e := b.entry(b.poll("a", "job000")); e.ETag != etag || len(e.History) != 2 {
			t.Errorf("the same status again changes the document: %s, %v", e.Document, e.History)
		}
		if polls, _, _ := f.asked(); polls != first {
			t.Errorf("%d polls although nothing has ended, before %d", polls, first)
		}
		f.set("HELD", "job001")
		f.set("DONE", "job002", "job003")
		time.Sleep(3 * time.Second)
		see("job001", "requires_action", "said by job001", "of job001")
		see("job002", "completed", "said by job002", "of job002")
		if polls, _, _ := f.asked(); polls > first+3 {
			t.Errorf("%d polls to confirm three changes: %v", polls-first, f.polls)
		}
	})
}

// A live task that the listing does not name is polled alone, as often as
// without it, and is spared again once the listing names it.
func TestSweepMissesATask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm()
		all := ids(10)
		f.set("BUSY", all...)
		f.hidden["job003"] = true
		b := sweepBench(t, f)
		for _, id := range all {
			release, _ := b.Watch(b.request("a", id))
			defer release()
		}
		time.Sleep(30 * time.Second)
		f.mu.Lock()
		alone, named := f.polls["job003"], f.polls["job004"]
		f.hidden["job003"] = false
		f.mu.Unlock()
		if alone < 12 || alone > 17 || named > 1 {
			t.Errorf("in 30 s the one that is not named was polled %d times, another %d times", alone, named)
		}
		time.Sleep(30 * time.Second)
		if again := f.polls["job003"] - alone; again > 2 {
			t.Errorf("once it was named it was polled %d times", again)
		}
	})
}

// A listing is in force while enough live tasks are asked for.
func TestSweepInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm()
		all := ids(10)
		f.set("BUSY", all...)
		b := sweepBench(t, f)
		for _, id := range all[:4] {
			release, _ := b.Watch(b.request("a", id))
			defer release()
		}
		b.beside().poll("a", "job1") // another upstream
		time.Sleep(10 * time.Second)
		if _, _, sweeps := f.asked(); sweeps != 0 {
			t.Errorf("%d listings for four tasks", sweeps)
		}
		b.poll("a", all[4])
		b.poll("another", all[5])
		time.Sleep(10 * time.Second)
		if _, _, sweeps := f.asked(); sweeps < 8 || sweeps > 11 {
			t.Errorf("%d listings in ten seconds for five tasks", sweeps)
		}
		time.Sleep(51 * time.Second) // nobody has polled the fifth for a minute
		_, _, before := f.asked()
		time.Sleep(10 * time.Second)
		if _, _, sweeps := f.asked(); sweeps > before+1 {
			t.Errorf("%d listings for four tasks, once the fifth was left alone", sweeps-before)
		}
		polls, _, _ := f.asked()
		time.Sleep(10 * time.Second)
		if now, _, _ := f.asked(); now-polls < 4*4 {
			t.Errorf("%d polls in ten seconds of four watched tasks without listings", now-polls)
		}
	})
}

// A listing that fails is asked for less and less, and the tasks are polled.
func TestSweepFails(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(int) (*http.Response, error)
		polled bool // the tasks, meanwhile
	}{
		"no such route":    {func(int) (*http.Response, error) { return reply(404, "404 page not found") }, true},
		"not allowed":      {func(int) (*http.Response, error) { return reply(403, `{"error":"no"}`) }, true},
		"another key":      {func(int) (*http.Response, error) { return reply(401, `{"error":"no"}`) }, true},
		"no list":          {func(int) (*http.Response, error) { return reply(200, `{"jobs":{}}`) }, true},
		"a page":           {func(int) (*http.Response, error) { return reply(200, `<html>`, "Content-Type", "text/html") }, true},
		"none of ours":     {func(int) (*http.Response, error) { return reply(200, `{"jobs":[{"id":"x","status":"DONE"}]}`) }, true},
		"twice otherwise":  {func(int) (*http.Response, error) { return reply(200, twice) }, true},
		"a rate limit":     {func(int) (*http.Response, error) { return reply(429, `{}`, "Retry-After", "600") }, false},
		"for ever another": {func(n int) (*http.Response, error) { return reply(200, fmt.Sprintf(`{"jobs":[],"next":"p%d"}`, n)) }, true},
		"the same again":   {func(int) (*http.Response, error) { return reply(200, `{"jobs":[],"next":"p"}`) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm()
				f.listings = c.answer
				all := ids(10)
				f.set("BUSY", all...)
				b := sweepBench(t, f, func(c *upstream.Config) { c.Breaker.Failures, c.Breaker.Ratio = 1000, 1 })
				for _, id := range all {
					release, _ := b.Watch(b.request("a", id))
					defer release()
				}
				time.Sleep(5 * time.Second)
				before, _, _ := f.asked()
				time.Sleep(20 * time.Second)
				polls, pages, sweeps := f.asked()
				if got := polls - before; c.polled && got < 80 || !c.polled && got > 10 {
					t.Errorf("%d polls in 20 s of ten tasks", got)
				}
				if failed := name != "none of ours" && name != "twice otherwise" && !strings.Contains(name, "again") && !strings.Contains(name, "another"); failed && sweeps > 6 || pages > 10*26 {
					t.Errorf("%d listings of %d pages in 25 s", sweeps, pages)
				}
				if part := b.request("a", all[0]).Partition; part.Suspended() {
					t.Error("the partition is suspended, though its polls are answered")
				}
			})
		})
	}
}

var twice = func() string {
	var items []string
	for _, id := range ids(10) {
		items = append(items, fmt.Sprintf(`{"id":%q,"status":"BUSY"},{"id":%q,"status":"DONE"}`, id, id))
	}
	return `{"jobs":[` + strings.Join(items, ",") + `]}`
}()

// A listing of ten thousand strangers is read to its last page that may be read.
func TestSweepOfALongListing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm()
		for i := range 10_000 {
			f.words[fmt.Sprintf("a%05d", i)] = "BUSY" // before ours
		}
		all := ids(5)
		f.set("BUSY", all...)
		b := sweepBench(t, f)
		for _, id := range all {
			b.poll("a", id)
		}
		time.Sleep(900 * time.Millisecond)
		if polls, pages, sweeps := f.asked(); polls != 5 || sweeps != 1 || pages != 10 {
			t.Errorf("%d polls, %d listings of %d pages, want five, and one of ten", polls, sweeps, pages)
		}
	})
}

// A task that is forgotten while its listing is read stays forgotten; one that
// was polled meanwhile keeps what that poll brought.
func TestSweepMeetsOtherFacts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm()
		all := ids(6)
		f.set("BUSY", all...)
		b := sweepBench(t, f)
		for _, id := range all {
			b.poll("a", id)
		}
		time.Sleep(2 * time.Second)
		f.mu.Lock()
		f.slow = 800 * time.Millisecond
		f.mu.Unlock()
		for f.listing() == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		gone, newer := b.request("a", "job000"), b.request("a", "job001")
		if err := b.Forget(&gone.Key); err != nil {
			t.Fatal(err)
		}
		f.set("HELD", "job001")
		newer.NoCache = true
		if e := b.entry(b.Poll(context.Background(), newer)); e.Status != "requires_action" {
			t.Errorf("the later poll brought %s", e.Status)
		}
		f.set("BUSY", "job001")
		time.Sleep(900 * time.Millisecond)
		if _, ok := b.memory.Get(&gone.Key); ok {
			t.Error("a task that was forgotten while the listing was read is known again")
		}
		if e, _ := b.memory.Get(&newer.Key); e.Status != "requires_action" {
			t.Errorf("what a later poll brought was replaced by %s", e.Status)
		}
	})
}

// Budget, and messages of the upstream: a listing is one poll of the budget, and
// a task that is only watched is not asked for while messages come.
func TestSweepWithinBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm()
		all := ids(50)
		f.set("BUSY", all...)
		b := sweepBench(t, f, func(c *upstream.Config) { c.Rate = &upstream.RateConfig{Requests: 30, Per: time.Minute, Burst: 60} })
		for _, id := range all {
			b.poll("a", id)
		}
		time.Sleep(10 * time.Second)
		if polls, pages, _ := f.asked(); polls+pages > 60+5+1 {
			t.Errorf("%d requests within a budget of 60 and one every two seconds", polls+pages)
		}
	})
}
