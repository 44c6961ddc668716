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
	self    string
	between func() // what happens before the next swap, if anything
}

func (r *replica) Members() *cache.Members {
	return cache.NewMembers(r.self, []cache.Member{{ID: "a"}, {ID: "b"}})
}

func (r *replica) Claim(context.Context, string, int, time.Duration) (bool, error) { return true, nil }

func (r *replica) Webhook(ctx context.Context, id string) (w cache.Webhook, own []cache.Delivery, err error) {
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

func (r *replica) SwapWebhook(ctx context.Context, before [sha256.Size]byte, w cache.Webhook) (bool, error) {
	if between := r.between; between != nil {
		r.between = nil
		between()
	}
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
		owner, other := newRig(t, &replica{MemoryOutbox: outbox, self: "a"}, r), newRig(t, &replica{MemoryOutbox: outbox, self: "b"}, r)
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

// TestRedeliverBesideRotate: a receiver that is back stays back when the secret is
// given anew at another replica at the same time, and so does a webhook whose stored
// form nobody can open.
func TestRedeliverBesideRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outbox, r := &cache.MemoryOutbox{}, &receivers{answer: always(410)}
		b := &replica{MemoryOutbox: outbox, self: "b"}
		owner, other := newRig(t, &replica{MemoryOutbox: outbox, self: "a"}, r), newRig(t, b, r)
		defer owner.stop()
		defer other.stop()
		id, _ := owner.register(receiverURL, terminal(), 1)
		for !owner.looksAfter(id) { // its slot is drawn by lot
			owner.Delete(t.Context(), id)
			id, _ = owner.register(receiverURL, terminal(), 1)
		}
		owner.Published(ended(1, "completed"))
		time.Sleep(2 * time.Second) // until it is stored that the receiver is gone
		if err := other.Refresh(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		gone := func(rig *rig) bool {
			rig.mu.RLock()
			defer rig.mu.RUnlock()
			return rig.byID[id].gone
		}
		if !gone(owner) || !gone(other) {
			t.Fatalf("a 410 is known to the owner: %t, to the other replica: %t", gone(owner), gone(other))
		}
		b.between = func() {
			if _, problem := owner.Rotate(t.Context(), id); problem != nil {
				t.Errorf("Rotate: %+v", problem)
			}
		}
		if !other.Redeliver(id) {
			t.Error("Redeliver: nothing to send")
		}
		if err := owner.Refresh(t.Context(), id); err != nil || gone(owner) {
			t.Errorf("the owner still takes the receiver for gone: %t, %v", gone(owner), err)
		}

		damaged := cache.Webhook{ID: id, Value: []byte("damaged")}
		if err := outbox.PutWebhook(t.Context(), damaged); err != nil {
			t.Fatal(err)
		}
		if _, problem := owner.Rotate(t.Context(), id); problem != nil {
			t.Errorf("Rotate of what cannot be opened: %+v", problem)
		}
	})
}
