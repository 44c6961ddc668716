package webhooks

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"time"

	"pollux/cache"
	"pollux/proxy/problem"
	"pollux/proxy/roots"
)

const (
	// atOnce bounds the messages being stored, and the tasks being looked at.
	atOnce = 64
	// storeAgain is when a store that refused is asked again.
	storeAgain = time.Second
)

// caused are the deliveries that are written together with e. It runs before
// the write, so it changes nothing: Published comes afterwards.
func (w *Service) caused(e *cache.Entry) []cache.Delivery {
	w.mu.RLock()
	followers := w.byKey[e.Key]
	w.mu.RUnlock()
	if len(followers) == 0 {
		return nil
	}
	ev := w.eventOf(e)
	var out []cache.Delivery
	now := time.Now()
	for _, t := range followers {
		if !t.hook.wants(ev.name) {
			continue
		}
		id := w.vault.deliveryID(t.hook.id, &e.Key, ev.name, ev.occasion)
		w.mu.RLock()
		known := w.sent[id] != nil
		w.mu.RUnlock()
		if !known {
			out = append(out, w.stored(newDelivery(id, t.hook, ev, now), ev))
		}
	}
	return out
}

// stored is a delivery as the outbox takes it. One that the outbox has refused may
// be under way meanwhile.
func (w *Service) stored(d *delivery, ev *event) cache.Delivery {
	w.mu.RLock()
	state := d.encode()
	w.mu.RUnlock()
	return cache.Delivery{
		ID: d.id, Webhook: d.hook.id, Event: ev.shared,
		Payload: ev.payload(w),
		State:   w.vault.seal(sealedState, d.id, state),
	}
}

// Published implements [poller.Observer].
func (w *Service) Published(e *cache.Entry) {
	w.mu.RLock()
	concerned := len(w.byKey[e.Key]) > 0
	w.mu.RUnlock()
	if !concerned {
		return
	}
	ev := w.eventOf(e)
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range slices.Clone(w.byKey[e.Key]) {
		t.status, t.problem = e.Status, ""
		if t.hook.wants(ev.name) {
			id := w.vault.deliveryID(t.hook.id, &e.Key, ev.name, ev.occasion)
			if w.sent[id] == nil && t.hook.mine {
				d := newDelivery(id, t.hook, ev, now)
				w.sent[id] = d
				t.hook.deliveries = append(t.hook.deliveries, d)
				w.fresh = append(w.fresh, freshDelivery{d, ev})
			}
		}
		if e.Settled() {
			w.finish(t, "")
		}
	}
	w.poke()
}

// Lost implements [poller.Observer]. A task that nobody has seen yet may still
// come: some upstreams write it down a little after they have said its id.
func (w *Service) Lost(key *cache.ID, why *problem.Problem) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range slices.Clone(w.byKey[*key]) {
		t.problem = string(why.Type)
		if why.Type == problem.TaskGone || why.Type == problem.TaskNotFound && t.status != "" {
			w.finish(t, t.problem)
		}
	}
	w.poke()
}

// Suspended implements [poller.Observer]: what waits for the partition's
// receivers is held back.
func (w *Service) Suspended(partition *cache.ID, _ *problem.Problem) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.rooms[*partition]; r != nil {
		r.suspended = true
	}
}

// Resumed implements [poller.Observer].
func (w *Service) Resumed(partition *cache.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.rooms[*partition]; r != nil {
		r.suspended = false
	}
}

// work does what followed from news: stores messages and then queues them,
// releases watches, stores webhooks that changed.
func (w *Service) work(ctx context.Context) {
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.news:
		case <-again.C:
		}
		w.mu.Lock()
		fresh, releases, ended := w.fresh, w.releases, w.ended
		w.fresh, w.releases, w.ended = nil, nil, nil
		w.mu.Unlock()
		for _, release := range releases {
			release()
		}
		each(w.roots, ended, w.keep)
		refused := w.storeFresh(ctx, fresh)
		w.mu.Lock()
		w.fresh = append(w.fresh, refused...)
		w.mu.Unlock()
		if !w.saveDirty(ctx, refused) || len(refused) > 0 {
			again.Reset(storeAgain)
		}
	}
}

// storeFresh makes messages durable, then queues them. What the store refuses
// is sent all the same, from memory, and returned.
func (w *Service) storeFresh(ctx context.Context, fresh []freshDelivery) (refused []freshDelivery) {
	var mu sync.Mutex // guards refused
	each(w.roots, fresh, func(f freshDelivery) {
		row := w.stored(f.delivery, f.event)
		ctx, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		err := w.outbox.AddDelivery(ctx, row)
		if err != nil {
			mu.Lock()
			refused = append(refused, f)
			mu.Unlock()
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		d := f.delivery
		first := d.payload == nil && len(d.attempts) == 0
		if err == nil {
			d.payload = nil
		} else {
			d.payload = row.Payload
		}
		switch {
		case !first || d.hook.deleted || d.state != DeliveryPending:
		case d.hook.gone || d.hook.barred(d):
			d.state = DeliveryGaveUp
		default:
			w.enqueue(d)
		}
	})
	return refused
}

// saveDirty stores the webhooks that changed, except those of messages that
// are not stored yet: a task may only be done once its message is safe. It
// reports whether the store took them.
func (w *Service) saveDirty(ctx context.Context, refused []freshDelivery) bool {
	w.mu.Lock()
	var hooks []*webhook
	for hook := range w.dirty {
		if !hook.mine {
			delete(w.dirty, hook)
			continue
		}
		if !slices.ContainsFunc(refused, func(f freshDelivery) bool { return f.delivery.hook == hook }) &&
			!slices.ContainsFunc(w.fresh, func(f freshDelivery) bool { return f.delivery.hook == hook }) {
			hooks = append(hooks, hook)
			delete(w.dirty, hook)
		}
	}
	left := len(w.dirty)
	w.mu.Unlock()
	ok := left == 0
	var mu sync.Mutex // guards ok
	each(w.roots, hooks, func(hook *webhook) {
		if err := w.change(ctx, hook.id, func(hook *webhook) error { return w.save(ctx, hook) }); err != nil {
			w.log.Warn("a webhook could not be stored", "webhook", hook.id, "err", err)
			w.mu.Lock()
			w.dirty[hook] = struct{}{}
			w.mu.Unlock()
			mu.Lock()
			ok = false
			mu.Unlock()
		}
	})
	return ok
}

// maxSaves bounds how often what others stored meanwhile is taken in.
const maxSaves = 10

// errChanged is why a webhook was not stored: another process has stored it since
// it was read here.
var errChanged = errors.New("another process changed it meanwhile")

// change has f store what it makes of a webhook, and again on what stands then if
// another process has stored it meanwhile: errChanged. It does nothing about a
// webhook that is not there.
func (w *Service) change(ctx context.Context, id string, f func(*webhook) error) (err error) {
	for range maxSaves {
		w.mu.RLock()
		hook := w.byID[id]
		w.mu.RUnlock()
		if hook == nil {
			return nil
		}
		if err = f(hook); !errors.Is(err, errChanged) {
			return err
		}
		if err := w.Refresh(ctx, id); err != nil {
			return err
		}
	}
	return err
}

// save stores hook as it is now, unless it was deleted.
func (w *Service) save(ctx context.Context, hook *webhook) error {
	hook.saving.Lock()
	defer hook.saving.Unlock()
	return w.store(ctx, hook)
}

// store stores hook as it is now, unless it was deleted. The error is errChanged
// if that is not what would be replaced. Saving is locked.
func (w *Service) store(ctx context.Context, hook *webhook) error {
	w.mu.RLock()
	deleted, text, before, next := hook.deleted, hook.encode(), hook.row, row{gone: hook.gone}
	w.mu.RUnlock()
	if deleted {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	value := cache.Webhook{ID: hook.id, Value: w.vault.seal(sealedWebhook, hook.id, text)}
	next.sum = sha256.Sum256(value.Value)
	var err error
	swapped := true
	if w.shared == nil || before == (row{}) {
		err = w.outbox.PutWebhook(ctx, value)
	} else {
		swapped, err = w.shared.SwapWebhook(ctx, before.sum, value)
	}
	switch {
	case err != nil:
		return err
	case !swapped:
		return errChanged
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	hook.row = next
	return nil
}

// each calls f for every item, atOnce at a time, and waits.
func each[T any](r *roots.Roots, items []T, f func(T)) {
	var children sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, item := range items {
		slots <- struct{}{}
		children.Go(func() {
			defer func() { <-slots }()
			r.Run("store of webhooks", func() { f(item) })
		})
	}
	children.Wait()
}
