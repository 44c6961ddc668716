package poller

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
)

// selecting is a poll of the task by the holder of a credential who selects a
// version of the API with it.
func (b *bench) selecting(credential, version, ref string) Request {
	r := b.request(credential+" "+version, ref)
	r.Partition.Under(b.request(credential, ref).Partition)
	r.Credential = providers.Credential{Headers: []providers.Field{{Name: "Authorization", Value: "Bearer " + credential}},
		Select: []providers.Field{{Name: "X-Version", Value: version}}}
	return r
}

func (b *bench) as(credential, version, ref string) string {
	return said(b.Poll(context.Background(), b.selecting(credential, version, ref)))
}

// refusals are the partitions that an engine suspends and resumes.
type refusals struct {
	diary
	suspended, resumed []cache.ID
}

func (r *refusals) Suspended(id *cache.ID, _ *problem.Problem) {
	r.suspended = append(r.suspended, *id)
}
func (r *refusals) Resumed(id *cache.ID) { r.resumed = append(r.resumed, *id) }

// TestPauseOfACredential: what the upstream asks of a credential holds whatever
// is selected with it.
func TestPauseOfACredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", func(n int64, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return reply(429, "{}", "Retry-After", "20")
			}
			return reply(200, vesslRunning)
		})
		b.as("me", "v1", "job1")
		if got := b.as("me", "v2", "job2"); !strings.HasPrefix(got, "429") || b.script.polls.Load() != 1 {
			t.Errorf("with another version, in the pause: %s after %d polls", got, b.script.polls.Load())
		}
		if got := b.as("you", "v2", "job3"); !strings.HasPrefix(got, "200") {
			t.Errorf("another credential: %s", got)
		}
		time.Sleep(21 * time.Second)
		if got := b.as("me", "v2", "job2"); !strings.HasPrefix(got, "200") {
			t.Errorf("after the pause: %s", got)
		}
	})
}

// TestBudgetOfACredential: there is one, however many versions are asked for.
func TestBudgetOfACredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", always(200, vesslRunning), func(c *upstream.Config) {
			c.Rate = &upstream.RateConfig{Requests: 2, Per: time.Minute}
		})
		for i, version := range []string{"v1", "v2", "v3"} {
			got := b.as("me", version, "job1")
			if spent := strings.HasPrefix(got, "429"); spent != (i == 2) {
				t.Errorf("poll %d, of version %s: %s", i+1, version, got)
			}
		}
		b.wantPolls(2)
	})
}

// TestRefusalOfACredential: a credential that is refused is refused for whatever
// is selected with it, here, in the store and for observers, until it is let in.
// What others select takes a credential that Pollux holds from nobody.
func TestRefusalOfACredential(t *testing.T) {
	for _, held := range []bool{false, true} {
		t.Run(map[bool]string{false: "of callers", true: "held"}[held], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var refused atomic.Bool
				store := newMemStore()
				answer := func(_ int64, req *http.Request) (*http.Response, error) {
					if refused.Load() {
						return reply(401, "{}")
					}
					return reply(200, vesslDone)
				}
				tweak := func(c *upstream.Config) {
					if held {
						c.Credential = upstream.CredentialConfig{Value: "ours"}
					}
				}
				b := newBenchOver(t, store, "vessl", answer, tweak)
				seen := new(refusals)
				b.Observe(seen)
				b.as("me", "v1", "job1")
				b.as("me", "v2", "job2")
				other := b.selecting("me", "v2", "job2").Partition
				refused.Store(true)
				b.as("me", "v1", "job3")
				shown := other.Authorized(b.up(), time.Now())
				if shown != held || slices.Contains(seen.suspended, other.ID) == held {
					t.Errorf("v1 was refused: v2 is shown %v, of %d that were told of", shown, len(seen.suspended))
				}
				again := newBenchOver(t, store, "vessl", answer, tweak)
				if withheld := again.Withholds(&other.ID); withheld == held {
					t.Errorf("after a restart nothing of v2 goes out: %v", withheld)
				}
				if credential := again.Partition(again.up(), &other.ID).Credential(); credential.ID != other.Credential().ID {
					t.Error("after a restart it is not known whose credential v2 has")
				}
				refused.Store(false)
				b.later()
				b.as("me", "v1", "job3")
				if !other.Authorized(b.up(), time.Now()) || !held && !slices.Contains(seen.resumed, other.ID) {
					t.Errorf("v1 was let in, v2 is not; %d were told of", len(seen.resumed))
				}
				// Let in again elsewhere, as the store tells.
				b.later()
				elsewhere := b.request("me", "job1").Partition
				b.reread(elsewhere.ID)
				if elsewhere.Suspended() {
					t.Error("the store says that the credential is refused still")
				}
			})
		})
	}
}

// TestPartitionIsLoadedOnce: the clients of a credential that come at the same time
// after a start read the store once.
func TestPartitionIsLoadedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemStore()
		var loads atomic.Int64
		store.onLoad = func() {
			loads.Add(1)
			time.Sleep(time.Second)
		}
		b := newBenchOver(t, store, "shannon", nil)
		var clients sync.WaitGroup
		for range 100 {
			clients.Go(func() { b.Partition(b.up(), &cache.ID{7}) })
		}
		clients.Wait()
		if n := loads.Load(); n != 1 {
			t.Errorf("the partition was read %d times", n)
		}
	})
}
