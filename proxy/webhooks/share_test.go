package webhooks

import (
	"context"
	"crypto/sha256"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pollux/cache"
)

// replica is an outbox that two processes share, as one of them sees it. Nobody
// hears of the other.
type replica struct {
	*cache.MemoryOutbox
	self string
}

func (r replica) Members() *cache.Members {
	return cache.NewMembers(r.self, []cache.Member{{ID: "a"}, {ID: "b"}})
}

func (r replica) Claim(context.Context, string, int, time.Duration) (bool, error) { return true, nil }

func (r replica) Webhook(ctx context.Context, id string) (w cache.Webhook, own []cache.Delivery, err error) {
	webhooks, deliveries, err := r.Webhooks(ctx)
	for _, d := range deliveries {
		if d.Webhook == id {
			own = append(own, d)
		}
	}
	for _, w := range webhooks {
		if w.ID == id {
			return w, own, err
		}
	}
	return w, nil, cache.ErrNotFound
}

func (r replica) SwapWebhook(ctx context.Context, before [sha256.Size]byte, w cache.Webhook) (bool, error) {
	stands, _, err := r.Webhook(ctx, w.ID)
	if err != nil || sha256.Sum256(stands.Value) != before {
		return false, nil
	}
	return true, r.PutWebhook(ctx, w)
}

// TestTwoChanges: what one replica does to a webhook, and what another one does
// that has not heard of it yet, both stand.
func TestTwoChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outbox, r := &cache.MemoryOutbox{}, &receivers{answer: always(200)}
		owner, other := newRig(t, replica{outbox, "a"}, r), newRig(t, replica{outbox, "b"}, r)
		defer owner.stop()
		defer other.stop()
		id, _ := owner.register(receiverURL, terminal(), 1)
		for !owner.looksAfter(id) { // its slot is drawn by lot
			owner.Delete(t.Context(), id)
			id, _ = owner.register(receiverURL, terminal(), 1)
		}
		if err := other.Refresh(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		rotate := func() (secret string) {
			t.Helper()
			secret, problem := other.Rotate(t.Context(), id)
			if problem != nil || !strings.HasPrefix(secret, secretPrefix) {
				t.Fatalf("Rotate at the other replica: %q, %+v", secret, problem)
			}
			return secret
		}
		signed := func(when, secret string) {
			t.Helper()
			owner.Redeliver(id)
			synctest.Wait()
			all := r.messages()
			if m := all[len(all)-1]; !strings.HasPrefix(m.signature, signature(t, secret, m)) {
				t.Errorf("%s: signed %q, want the secret first that the other replica gave", when, m.signature)
			}
		}
		secret := rotate()
		owner.Published(ended(1, "completed")) // which is stored
		synctest.Wait()
		signed("the owner stored what it knew", secret)
		secret = rotate()
		if view := other.view(id); view.Tasks[0].State != TaskDone {
			t.Errorf("the other replica stored what it knew: the task is %s", view.Tasks[0].State)
		}
		if err := owner.Refresh(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		signed("the owner was told", secret)
	})
}
