package poller

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"pollux/providers"
)

func TestRegister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "shannon", always(404, `{"error":"Task not found"}`))
		r := b.request("one", "task_1")
		b.Register(r, time.Time{})
		e, ok := b.memory.Get(&r.Key)
		if !ok || e.Status != "queued" || e.Ref != "shannon/task_1" || !e.Submitted || e.Fresh(time.Now()) {
			t.Fatalf("the placeholder is %+v", e)
		}
		if stored, err := b.store.Get(t.Context(), &r.Key); err != nil || stored.Status != "queued" {
			t.Errorf("the store has %v, %v", stored, err)
		}
		b.want(b.poll("one", "task_1"), "404 task-not-found; pollux; fwd=stale; fwd-status=404")
		if e, ok := b.memory.Get(&r.Key); !ok || e.Missing {
			t.Error("a denial right after the create made the task forgotten")
		}
		time.Sleep(confirmWithin)
		b.want(b.poll("one", "task_1"), "410 task-gone; pollux; fwd=stale; fwd-status=404")
	})
}

func TestRegisterKeepsWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", always(200, vesslDone))
		before := b.entry(b.poll("one", "v1"))
		b.Register(b.request("one", "v1"), time.Time{})
		if after := b.entry(b.poll("one", "v1")); after.Status != before.Status || after.ETag != before.ETag {
			t.Errorf("a known task became %s", after.Document)
		}
		b.wantPolls(1)
	})
}

func TestOverheard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", always(200, vesslDone))
		b.poll("one", "v1")
		part := b.request("one", "v1").Partition
		for code, suspended := range map[int]bool{200: false, 404: false, 403: false, 500: false} {
			b.Overheard(b.up(), part, providers.Credential{}, code, http.Header{}, []byte(`{}`))
			if part.Suspended() != suspended {
				t.Errorf("code %d: suspended %v", code, !suspended)
			}
		}
		b.Overheard(b.up(), part, providers.Credential{}, 401, http.Header{}, nil)
		if !part.Suspended() {
			t.Error("a refused credential goes on seeing what is stored")
		}
	})
}
