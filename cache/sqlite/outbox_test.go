package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"pollux/cache"
	"pollux/cache/internal/storetest"
)

func outboxes(t *testing.T) map[string]cache.Outbox {
	s, _ := open(t, filepath.Join(t.TempDir(), "pollux.db"))
	t.Cleanup(func() { mustClose(t, s) })
	return map[string]cache.Outbox{"sqlite": s, "memory": &cache.MemoryOutbox{}}
}

// contents is what an outbox holds, as text.
func contents(t *testing.T, o cache.Outbox) string {
	t.Helper()
	webhooks, deliveries, err := o.Webhooks(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, w := range webhooks {
		text += fmt.Sprintf("%s=%s ", w.ID, w.Value)
	}
	for _, d := range deliveries {
		if d.Payload != nil {
			t.Errorf("delivery %s is listed with its payload", d.ID)
		}
		payload, err := o.DeliveryPayload(context.Background(), d.ID)
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("%s/%s:%s=%s ", d.Webhook, d.ID, payload, d.State)
	}
	return text
}

func TestOutbox(t *testing.T) {
	ctx := context.Background()
	for name, o := range outboxes(t) {
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		want := func(text string) {
			t.Helper()
			if got := contents(t, o); got != text {
				t.Errorf("%s: holds %q, want %q", name, got, text)
			}
		}
		want("")
		must(o.AddDelivery(ctx, cache.Delivery{ID: "d", Webhook: "w", Payload: []byte("p"), State: []byte("s")}))
		want("") // without its webhook it would never be delivered, nor go
		must(o.PutWebhook(ctx, cache.Webhook{ID: "w", Value: []byte("1")}))
		must(o.PutWebhook(ctx, cache.Webhook{ID: "w", Value: []byte("2")}))
		must(o.AddDelivery(ctx, cache.Delivery{ID: "d", Webhook: "w", Payload: []byte("p"), State: []byte("s")}))
		must(o.AddDelivery(ctx, cache.Delivery{ID: "d", Webhook: "w", Payload: []byte("other"), State: []byte("other")}))
		want("w=2 w/d:p=s ")
		must(o.SetDeliveryState(ctx, "d", []byte("t")))
		must(o.SetDeliveryState(ctx, "unknown", []byte("t")))
		want("w=2 w/d:p=t ")
		must(o.DeleteWebhook(ctx, "unknown"))
		must(o.DeleteWebhook(ctx, "w"))
		want("")
		if _, err := o.DeliveryPayload(ctx, "d"); !errors.Is(err, cache.ErrNotFound) {
			t.Errorf("%s: payload of a deleted delivery: %v, want ErrNotFound", name, err)
		}
	}
}

// TestDeliveriesComeWithTheirEntry: what a write triggers is there if the entry
// is, and only then, also after the file was closed and opened again.
func TestDeliveriesComeWithTheirEntry(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "pollux.db")
	s, _ := open(t, path)
	s.OnPut(func(e *cache.Entry) []cache.Delivery {
		return []cache.Delivery{{ID: e.TaskID + e.ETag, Webhook: "w", Payload: e.Document, State: []byte{}}}
	})
	if err := s.PutWebhook(ctx, cache.Webhook{ID: "w", Value: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(ctx, storetest.Frozen(1, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(ctx, storetest.Running(1, 2)); err != nil { // the frozen one stands
		t.Fatal(err)
	}
	s.PutLater(storetest.Running(2, 3))
	mustClose(t, s)
	s, _ = open(t, path)
	defer mustClose(t, s)
	_, deliveries, err := s.Webhooks(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, d := range deliveries {
		ids = append(ids, d.ID)
	}
	if got, want := fmt.Sprint(ids), fmt.Sprint([]string{`task-1W/"1"`, `task-2W/"3"`}); got != want {
		t.Errorf("deliveries %s, want %s", got, want)
	}
}
