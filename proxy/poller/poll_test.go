package poller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLifeOfAPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", inTurn(vesslPending, vesslRunning, vesslDone))
		b.want(b.poll("a", "job1"), "200 queued; pollux; fwd=uri-miss; stored")
		b.want(b.poll("a", "job1"), "200 queued; pollux; hit; ttl=2")
		time.Sleep(1100 * time.Millisecond)
		b.want(b.poll("a", "job1"), "200 queued; pollux; hit; ttl=1")
		time.Sleep(time.Second)
		b.want(b.poll("a", "job1"), "200 in_progress; pollux; fwd=stale; stored")
		time.Sleep(2 * time.Second)
		b.want(b.poll("a", "job1"), "200 completed; pollux; fwd=stale; stored")
		b.want(b.poll("a", "job1"), "200 completed; pollux; hit; detail=terminal")
		time.Sleep(10 * time.Minute)
		b.want(b.poll("a", "job1"), "200 completed; pollux; hit; detail=terminal")
		b.wantPolls(3)
		e := b.entry(b.poll("a", "job1"))
		if age := e.Age(time.Now()); age != 10*time.Minute {
			t.Errorf("age is %v, want 10m", age)
		}
		if n := len(e.History); n != 3 {
			t.Errorf("history has %d changes, want 3: %v", n, e.History)
		}
	})
}

func TestPollsMerge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		b := newBench(t, "vessl", func(int64, *http.Request) (*http.Response, error) { <-release; return reply(200, vesslRunning) })
		var wg sync.WaitGroup
		answers := make(chan string, 300)
		for range 300 {
			wg.Go(func() { answers <- said(b.poll("a", "job1")) })
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		close(answers)
		counts := map[string]int{}
		for a := range answers {
			counts[a]++
		}
		b.wantPolls(1)
		if counts["200 in_progress; pollux; fwd=uri-miss; stored"] != 1 || counts["200 in_progress; pollux; fwd=uri-miss; stored; collapsed"] != 299 {
			t.Errorf("want one caller that forwarded and 299 that joined, got %v", counts)
		}
	})
}

func TestCallerWhoLeavesHarmsNobody(t *testing.T) {
	release := make(chan struct{})
	b := newBench(t, "vessl", func(int64, *http.Request) (*http.Response, error) { <-release; return reply(200, vesslRunning) })
	ctx, leave := context.WithCancel(context.Background())
	left := make(chan Answer)
	go func() { left <- b.Poll(ctx, b.request("a", "job1")) }()
	for b.polls.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	stayed := make(chan Answer)
	go func() { stayed <- b.poll("a", "job1") }()
	leave()
	if a := <-left; a.Problem == nil {
		t.Error("the caller who left got a document")
	}
	close(release)
	if a := <-stayed; a.Entry == nil {
		t.Errorf("the caller who stayed got %s", said(a))
	}
	b.wantPolls(1)
}

func TestPanicHarmsNobodyElse(t *testing.T) {
	b := newBench(t, "vessl", always(200, vesslRunning))
	b.store.panicking.Store(true)
	b.want(b.poll("a", "job1"), "500 about:blank; pollux")
	b.store.panicking.Store(false)
	b.want(b.poll("a", "job1"), "200 in_progress; pollux; fwd=uri-miss; stored")
}

func TestFrozenSurvivesRestartWithoutUpstream(t *testing.T) {
	store := newMemStore()
	b := newBenchOver(t, store, "vessl", always(200, vesslDone))
	b.poll("a", "job1")
	dead := newBenchOver(t, store, "vessl", func(int64, *http.Request) (*http.Response, error) { return nil, errors.New("dead") })
	dead.want(dead.poll("a", "job1"), "200 completed; pollux; hit; detail=terminal")
	dead.wantPolls(0)
}

func TestTerminalNeverRegresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", inTurn(vesslDone, vesslRunning, vesslFailed))
		b.poll("a", "job1")
		for range 3 {
			time.Sleep(5 * time.Second)
			r := b.request("a", "job1")
			r.NoCache = true
			if a := b.Poll(context.Background(), r); a.Entry == nil || a.Entry.Status != "completed" {
				t.Errorf("after completed: %s", said(a))
			}
		}
		b.wantPolls(4)
	})
}

func TestNoCacheKeepsTheMinimumInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", always(200, vesslRunning))
		r := b.request("a", "job1")
		r.NoCache = true
		for range 40 { // 10 s in steps of 250 ms; vessl's minimum is 500 ms
			b.Poll(context.Background(), r)
			time.Sleep(250 * time.Millisecond)
		}
		b.wantPolls(20)
		b.want(b.Poll(context.Background(), r), "200 in_progress; pollux; fwd=request; stored")
	})
}

func TestOnlyIfCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", always(200, vesslRunning))
		r := b.request("a", "job1")
		r.OnlyIfCached = true
		b.want(b.Poll(context.Background(), r), "504 not-cached; pollux")
		b.poll("a", "job1")
		b.want(b.Poll(context.Background(), r), "200 in_progress; pollux; hit; ttl=2")
		time.Sleep(5 * time.Second)
		b.want(b.Poll(context.Background(), r), "200 in_progress; pollux; hit; ttl=-3")
		b.wantPolls(1)
	})
}

func TestSettling(t *testing.T) {
	enriched := `,"result":"Paris","model_used":"gpt","usage":{"total_tokens":3}`
	steps := []struct {
		name    string
		answers func() []string
		polls   int64
		after   time.Duration
		status  string
	}{
		{"enriched after two seconds", func() []string {
			return []string{shannonBody("COMPLETED", ""), shannonBody("COMPLETED", enriched)}
		}, 2, 3 * time.Second, "completed"},
		{"never enriched", func() []string { return []string{shannonBody("FAILED", "")} }, 3, 15 * time.Second, "failed"},
		{"enriched at once", func() []string { return []string{shannonBody("COMPLETED", enriched)} }, 1, 15 * time.Second, "completed"},
		{"turns out to have failed", func() []string {
			return []string{shannonBody("COMPLETED", ""), shannonBody("COMPLETED", enriched+`,"unified_response":{"status":"failed","error":"out of budget"}`)}
		}, 2, 15 * time.Second, "failed"},
		{"claims to run again", func() []string {
			return []string{shannonBody("COMPLETED", ""), shannonBody("RUNNING", "")}
		}, 3, 15 * time.Second, "completed"},
	}
	for _, tt := range steps {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bodies := tt.answers()
				b := newBench(t, "shannon", inTurn(bodies...))
				first := b.poll("a", "task_1")
				if tt.polls > 1 && (first.Entry.Frozen || !first.Entry.Settling || !first.Entry.Terminal) {
					t.Errorf("first answer: frozen %v, settling %v", first.Entry.Frozen, first.Entry.Settling)
				}
				time.Sleep(tt.after)
				synctest.Wait()
				a := b.poll("a", "task_1")
				b.want(a, "200 "+tt.status+"; pollux; hit; detail=terminal")
				b.wantPolls(tt.polls)
				time.Sleep(10 * time.Minute)
				b.want(b.poll("a", "task_1"), "200 "+tt.status+"; pollux; hit; detail=terminal")
				b.wantPolls(tt.polls)
			})
		})
	}
}

func TestSettlingWithADeadUpstreamFreezesTheLastAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "shannon", func(n int64, _ *http.Request) (*http.Response, error) {
			if n > 1 {
				return nil, errors.New("connection reset")
			}
			return reply(200, shannonBody("COMPLETED", ""))
		})
		b.poll("a", "task_1")
		time.Sleep(20 * time.Second)
		b.want(b.poll("a", "task_1"), "200 completed; pollux; hit; detail=terminal")
		b.wantPolls(3)
	})
}

// TestSettlingThatCannotAskFreezesTheLastAnswer: a pause, a breaker or a refusal
// must not leave a task settling for ever.
func TestSettlingThatCannotAskFreezesTheLastAnswer(t *testing.T) {
	for name, refusal := range map[string]func() (*http.Response, error){
		"paused": func() (*http.Response, error) {
			return reply(429, `{"error":"Rate limit exceeded"}`, "Retry-After", "600")
		},
		"rejected": func() (*http.Response, error) { return reply(400, `{"error":"Invalid task ID format"}`) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "shannon", func(n int64, _ *http.Request) (*http.Response, error) {
					if n == 1 {
						return reply(200, shannonBody("COMPLETED", ""))
					}
					return refusal()
				})
				b.poll("a", "task_1")
				time.Sleep(20 * time.Second)
				synctest.Wait()
				b.want(b.poll("a", "task_1"), "200 completed; pollux; hit; detail=terminal")
			})
		})
	}
}

func TestVolatileFieldsAreNoChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "shannon", func(int64, *http.Request) (*http.Response, error) {
			return reply(200, shannonBody("RUNNING", ""))
		})
		first := b.entry(b.poll("a", "task_1"))
		time.Sleep(5 * time.Second)
		second := b.entry(b.poll("a", "task_1"))
		b.wantPolls(2)
		if first.ETag != second.ETag || string(first.Document) != string(second.Document) {
			t.Errorf("a poll that told nothing new changed the document:\n%s\n%s", first.Document, second.Document)
		}
		if string(first.Native) == string(second.Native) {
			t.Error("the native body is not the latest one")
		}
	})
}

func TestReopenableTasksAreAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orq", inTurn(orqBody("completed"), orqBody("in_progress")))
		b.want(b.poll("a", "agent/t1"), "200 completed; pollux; fwd=uri-miss; stored")
		time.Sleep(30 * time.Second)
		b.want(b.poll("a", "agent/t1"), "200 completed; pollux; hit; ttl=30")
		time.Sleep(31 * time.Second)
		b.want(b.poll("a", "agent/t1"), "200 in_progress; pollux; fwd=stale; stored")
	})
}

func TestFreshenAfterContinue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orq", inTurn(orqBody("completed"), orqBody("in_progress")))
		b.poll("a", "agent/t1")
		b.Freshen(b.request("a", "agent/t1"), http.MethodPost)
		b.want(b.poll("a", "agent/t1"), "200 in_progress; pollux; fwd=stale; stored")
	})
}

// TestFreshenReachesWhatHasEnded: a vendor's DELETE wipes a transcript where it
// is, and deletes a response that has ended.
func TestFreshenReachesWhatHasEnded(t *testing.T) {
	body := func(text string) string { return `{"id":"t1","status":"completed","text":"` + text + `"}` }
	t.Run("wiped", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "assemblyai", inTurn(body("Smoke."), body("Deleted by user.")))
			b.want(b.poll("a", "t1"), "200 completed; pollux; fwd=uri-miss; stored")
			b.Freshen(b.request("a", "t1"), http.MethodDelete)
			a := b.poll("a", "t1")
			b.want(a, "200 completed; pollux; fwd=stale; stored")
			if !bytes.Contains(a.Entry.Document, []byte("Deleted by user.")) {
				t.Errorf("the document is still %s", a.Entry.Document)
			}
			b.want(b.poll("a", "t1"), "200 completed; pollux; hit; detail=terminal")
			b.wantPolls(2)
		})
	})
	t.Run("deleted", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "assemblyai", func(n int64, _ *http.Request) (*http.Response, error) {
				if n == 1 {
					return reply(200, body("Smoke."))
				}
				return reply(404, `{"error":"no such transcript"}`)
			})
			b.poll("a", "t1")
			b.Freshen(b.request("a", "t1"), http.MethodDelete)
			a := b.poll("a", "t1")
			b.want(a, "200 completed; pollux; fwd=stale; fwd-status=404; detail=gone-upstream")
			if a.Raw == nil || a.Raw.Code != 404 {
				t.Error("a native poll does not see what the upstream said")
			}
			time.Sleep(time.Minute)
			b.want(b.poll("a", "t1"), "200 completed; pollux; hit; detail=terminal") // until it is forgotten
		})
	})
	t.Run("not before it was asked", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "assemblyai", func(n int64, _ *http.Request) (*http.Response, error) {
				if n == 2 {
					return reply(503, `{}`)
				}
				return reply(200, body([]string{1: "Smoke.", 3: "Deleted by user."}[n]))
			})
			b.poll("a", "t1")
			b.Freshen(b.request("a", "t1"), http.MethodDelete)
			b.want(b.poll("a", "t1"), "200 completed; pollux; fwd=stale; fwd-status=503; detail=stale-if-error")
			time.Sleep(time.Minute)
			if a := b.poll("a", "t1"); !bytes.Contains(a.Entry.Document, []byte("Deleted by user.")) {
				t.Errorf("the document is still %s", a.Entry.Document)
			}
			b.wantPolls(3)
		})
	})
	t.Run("cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "assemblyai", inTurn(body("Smoke."), `{"id":"t1","status":"error","error":"x"}`))
			b.poll("a", "t1")
			b.Freshen(b.request("a", "t1"), http.MethodPost)
			b.want(b.poll("a", "t1"), "200 completed; pollux; hit; detail=terminal")
			b.wantPolls(1)
		})
	})
	t.Run("not asked again meanwhile", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "assemblyai", inTurn(body("Smoke."), `{"id":"t1","status":"processing"}`))
			b.poll("a", "t1")
			b.Freshen(b.request("a", "t1"), http.MethodDelete)
			time.Sleep(time.Hour)
			b.wantPolls(1)
			b.want(b.poll("a", "t1"), "200 completed; pollux; fwd=stale")
			b.want(b.poll("a", "t1"), "200 completed; pollux; hit; detail=terminal")
		})
	})
}

// TestFreshenReachesEveryScoping: a continue may name the task with other
// scoping parameters than the polls did.
func TestFreshenReachesEveryScoping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := func(state string) string {
			return `{"interaction_id":"abc","gummie_id":"g","state":"` + state + `","created_ts":"2026-03-05T10:30:00.000000+00:00"}`
		}
		b := newBench(t, "gumloop", inTurn(body("COMPLETED"), body("COMPLETED"), body("ASYNC_PROCESSING")))
		b.poll("a", "abc?user_id=u")
		b.poll("b", "abc?user_id=u")
		b.Freshen(b.request("a", "abc?user_id=u&project_id=p"), http.MethodPost)
		b.want(b.poll("a", "abc?user_id=u"), "200 in_progress; pollux; fwd=stale; stored")
		b.want(b.poll("b", "abc?user_id=u"), "200 completed; pollux; hit; ttl=60")
	})
}

func TestForgottenTaskIsNotRefilledByAPollUnderWay(t *testing.T) {
	for _, forget := range []string{"forget", "freshen"} {
		t.Run(forget, func(t *testing.T) {
			release := make(chan struct{})
			b := newBench(t, "vessl", func(n int64, _ *http.Request) (*http.Response, error) {
				if n == 1 {
					<-release
				}
				return reply(200, vesslRunning)
			})
			got := make(chan Answer)
			go func() { got <- b.poll("a", "job1") }()
			for b.polls.Load() == 0 {
				time.Sleep(time.Millisecond)
			}
			r := b.request("a", "job1")
			if forget == "forget" {
				if err := b.Forget(&r.Key); err != nil {
					t.Fatal(err)
				}
			} else {
				b.Freshen(r, http.MethodPost)
			}
			close(release)
			b.want(<-got, "200 in_progress; pollux; fwd=uri-miss")
			r.OnlyIfCached = true
			b.want(b.Poll(context.Background(), r), "504 not-cached; pollux")
			b.want(b.poll("a", "job1"), "200 in_progress; pollux; fwd=uri-miss; stored")
			b.wantPolls(2)
		})
	}
}

func TestMissingTasks(t *testing.T) {
	missing := `{"message":"request not found"}`
	t.Run("never known", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "vessl", always(404, missing))
			b.want(b.poll("a", "job1"), "404 task-not-found; pollux; fwd=uri-miss; fwd-status=404")
			b.want(b.poll("a", "job1"), "404 task-not-found; pollux; hit; ttl=1")
			time.Sleep(1100 * time.Millisecond)
			b.poll("a", "job1")
			b.wantPolls(2)
		})
	})
	t.Run("never known, and the upstream says gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "vessl", always(410, missing))
			for _, want := range []string{"404 task-not-found; pollux; fwd=uri-miss; fwd-status=410", "404 task-not-found; pollux; hit; ttl=1"} {
				a := b.poll("a", "job1")
				b.want(a, want)
				if a.Problem.UpstreamStatus != 410 {
					t.Errorf("%s: upstream status %d, want 410", want, a.Problem.UpstreamStatus)
				}
			}
		})
	})
	t.Run("known and running", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "vessl", func(n int64, _ *http.Request) (*http.Response, error) {
				if n == 1 {
					return reply(200, vesslRunning)
				}
				return reply(404, missing)
			})
			b.poll("a", "job1")
			time.Sleep(3 * time.Second)
			b.want(b.poll("a", "job1"), "410 task-gone; pollux; fwd=stale; fwd-status=404")
			time.Sleep(3 * time.Second)
			b.want(b.poll("a", "job1"), "410 task-gone; pollux; fwd=uri-miss; fwd-status=404")
			if len(b.store.entries) != 0 {
				t.Error("the store still has the task")
			}
		})
	})
	t.Run("known and ended", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "orq", func(n int64, _ *http.Request) (*http.Response, error) {
				if n == 1 {
					return reply(200, orqBody("completed"))
				}
				return reply(404, `{"code":"404","message":"Task not found"}`)
			})
			b.poll("a", "agent/t1")
			time.Sleep(2 * time.Minute)
			b.want(b.poll("a", "agent/t1"), "200 completed; pollux; fwd=stale; fwd-status=404; detail=gone-upstream")
		})
	})
	t.Run("known and frozen", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "vessl", func(n int64, _ *http.Request) (*http.Response, error) {
				if n == 1 {
					return reply(200, `{"status":"completed","status_code":200,"raw_output":"x","output":{"ok":true}}`)
				}
				return reply(404, `{"message":"Not Found"}`)
			})
			b.poll("a", "job1")
			b.later()
			r := b.request("a", "job1")
			r.NoCache = true
			b.want(b.Poll(t.Context(), r), "200 completed; pollux; fwd=request; fwd-status=404; detail=gone-upstream")
		})
	})
}

// TestAfterAWait: what is too old to be served is not, nor is anything said to be
// served in its place, while the next poll is due.
func TestAfterAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", func(n int64, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return reply(200, `{"status":"in_progress"}`)
			}
			return reply(500, `{}`)
		})
		told := b.poll("a", "job1").Entry
		after := func() Answer {
			r := b.request("a", "job1")
			r.Told = told
			return b.Poll(t.Context(), r)
		}
		b.want(after(), "200 in_progress; pollux; hit; ttl=2")
		time.Sleep(time.Minute)
		b.poll("a", "job1")
		b.want(after(), "200 in_progress; pollux; hit; ttl=-58; detail=held")
		b.later()
		b.want(after(), "200 in_progress; pollux; hit; ttl=-58; detail=stale-if-error")
		b.up().Config.StaleIfError = 0
		b.want(after(), "502 upstream-error; pollux")
	})
}

func TestStoreThatRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", always(200, vesslDone))
		b.store.failing.Store(true)
		b.want(b.poll("a", "job1"), "200 completed; pollux; fwd=uri-miss; detail=not-stored")
		b.want(b.poll("a", "job1"), "200 completed; pollux; hit; detail=not-stored")
		time.Sleep(5 * time.Second)
		b.store.failing.Store(false)
		time.Sleep(3 * time.Second)
		b.want(b.poll("a", "job1"), "200 completed; pollux; hit; detail=terminal")
		b.wantPolls(1)
		if len(b.store.entries) != 1 {
			t.Error("the store never got the document")
		}
	})
}

func TestUnusableBodies(t *testing.T) {
	bodies := map[string]string{
		"empty": "", "null": "null", "a list": "[]", "a string": `"completed"`, "cut": `{"status":"comple`, "HTML": "<html>",
		"no status": `{}`, "status no scalar": `{"status":["pending"]}`, "two statuses": `{"status":"pending","status":"completed"}`,
		"not UTF-8": "{\"status\":\"in_progress\",\"x\":\"\xff\"}", "16 MiB of brackets": strings.Repeat("[", 16<<20-1),
		"deep":     `{"status":"in_progress","x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`,
		"too long": `{"status":"in_progress","x":"` + strings.Repeat("x", 16<<20) + `"}`,
	}
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "vessl", always(200, body))
			a := b.poll("a", "job1")
			if a.Problem == nil || a.Problem.Status != 502 || a.Problem.Type != problem.UpstreamError {
				t.Errorf("answer is %s, want a 502 upstream-error", said(a))
			}
			b.wantPolls(1)
		})
	}
}

func TestAnswerAboutAnotherTask(t *testing.T) {
	b := newBench(t, "shannon", always(200, shannonBody("COMPLETED", "")))
	b.want(b.poll("a", "task_2"), "502 upstream-error; pollux; fwd=uri-miss; fwd-status=200")
	if len(b.store.entries) != 0 {
		t.Error("a foreign answer was stored")
	}
}

func TestEntryOfAnOlderProviderFileIsMappedAgain(t *testing.T) {
	store := newMemStore()
	b := newBenchOver(t, store, "vessl", always(200, vesslDone))
	b.poll("a", "job1")
	for key, e := range store.entries {
		e.Revision, e.Document = "older", []byte(`{"old":true}`)
		store.entries[key] = e
	}
	b = newBenchOver(t, store, "vessl", always(500, "{}"))
	a := b.poll("a", "job1")
	b.want(a, "200 completed; pollux; hit; detail=terminal")
	if strings.Contains(string(a.Entry.Document), "old") {
		t.Errorf("document is %s, want it mapped again", a.Entry.Document)
	}
	b.wantPolls(0)
}

func TestCredentialsShareNothing(t *testing.T) {
	b := newBench(t, "vessl", func(_ int64, req *http.Request) (*http.Response, error) {
		return reply(200, fmt.Sprintf(`{"status":"completed","status_code":200,"output":%q}`, req.Header.Get("Authorization")+req.URL.Path))
	})
	var wg sync.WaitGroup
	for c := range 20 {
		wg.Go(func() {
			credential := fmt.Sprintf("key%d", c)
			for i := range 200 {
				id := fmt.Sprintf("job%d", i%10)
				a := b.poll(credential, id)
				if want := "Bearer " + credential + "/async/" + id + "/output"; a.Entry == nil || !strings.Contains(string(a.Entry.Document), `"`+want+`"`) {
					t.Errorf("%s asked for %s and got %s", credential, id, said(a))
					return
				}
			}
		})
	}
	wg.Wait()
	b.wantPolls(200)
}

func TestSettlingSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemStore()
		b := newBenchOver(t, store, "shannon", always(200, shannonBody("COMPLETED", "")))
		b.poll("a", "task_1")
		after := newBenchOver(t, store, "shannon", always(200, shannonBody("COMPLETED", "")))
		time.Sleep(time.Minute)
		if a := after.poll("a", "task_1"); !a.Entry.Terminal {
			t.Errorf("after a restart: %s", said(a))
		}
		time.Sleep(time.Minute)
		after.want(after.poll("a", "task_1"), "200 completed; pollux; hit; detail=terminal")
	})
}

// cutBody ends with an error after some bytes.
type cutBody struct{ r io.Reader }

func (c cutBody) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
func (cutBody) Close() error { return nil }

func BenchmarkCached(b *testing.B) {
	bn := newBench(b, "vessl", always(200, vesslDone))
	r := bn.request("a", "job1")
	bn.Poll(context.Background(), r)
	key := new(cache.ID)
	*key = r.Key
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := bn.Cached(r.Upstream, r.Partition, key, time.Now()); !ok {
			b.Fatal("not cached")
		}
	}
}

func BenchmarkFlightJoin(b *testing.B) {
	bn := newBench(b, "vessl", always(200, vesslRunning))
	r := bn.request("a", "job1")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			bn.join(context.Background(), r)
		}
	})
}

// TestOlderReference: an entry from before its provider file had another
// parameter is none that today's file can read, though nobody asked for it.
func TestOlderReference(t *testing.T) {
	b := newBench(t, "openai-batches", always(200, `{}`))
	e := &cache.Entry{Upstream: b.up().Name, Revision: "older", Values: []string{"batch_1"}, NativeCode: 200, NativeType: "application/json",
		Native: []byte(`{"id":"batch_1","status":"in_progress"}`), Document: []byte(`{}`)}
	r := Request{Upstream: b.up(), Reference: providers.Reference{Values: e.Values}}
	if got := b.current(r, e); got != nil {
		t.Errorf("current = %+v, want nil", got)
	}
}

// TestOlderFailure: a poll that failed here says nothing of what another replica
// found since.
func TestOlderFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", inTurn(vesslRunning))
		r := b.request("a", "t1")
		now := time.Now()
		rec := &record{}
		rec.hold(r.Upstream, failure{problem: r.Upstream.NotFound, detail: problem.DetailStaleIfError, asked: true}, now)
		now = now.Add(time.Hour)
		if why := obstacle(rec, r, &cache.Entry{ObservedAt: now.Add(-2 * time.Hour)}, now); why == nil {
			t.Error("the last poll failed, which is not told")
		}
		if why := obstacle(rec, r, &cache.Entry{ObservedAt: now.Add(-time.Minute)}, now); why != nil {
			t.Errorf("an answer came since, and %q is told", why.problem.Detail)
		}
	})
}
