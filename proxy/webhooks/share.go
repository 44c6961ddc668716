package webhooks

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/zeebo/xxh3"

	"pollux/cache"
)

const (
	// membersEvery is how often it is looked at who shares the outbox.
	membersEvery = 200 * time.Millisecond
	// claimSlack is how much longer than its timeout an attempt is claimed for.
	claimSlack = 5 * time.Second
	// unclaimedFor is how long a message waits to be claimed again that another
	// process has claimed.
	unclaimedFor = time.Second
)

// shared is an outbox that several processes share. Each of them knows all
// webhooks, so that whichever learns of a task writes the messages that this
// causes; what follows their tasks, sends, and notes what became of it is the
// one in whose slot the webhook is.
type shared interface {
	cache.Claims
	Members() *cache.Members
}

// looksAfter reports whether the webhook is in a slot of this process.
func (w *Service) looksAfter(id string) bool {
	if w.shared == nil {
		return true
	}
	hash := xxh3.HashString128(id).Bytes()
	var slot cache.ID
	copy(slot[:], hash[:])
	return w.shared.Members().Owns(&slot)
}

// changes are the webhooks that another process has registered, changed or ended.
type changes struct {
	mu   sync.Mutex // guards what follows
	ids  map[string]struct{}
	all  bool          // or any
	wake chan struct{} // of capacity 1
}

// Heard takes in notices of other processes, as cache.Cluster has them. It
// returns at once.
func (w *Service) Heard(news []cache.Notice, lost bool) {
	c := &w.changes
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = c.all || lost
	for i := range news {
		if id := news[i].Webhook; id != "" {
			c.ids[id] = struct{}{}
		}
	}
	if c.all || len(c.ids) > 0 {
		wake(c.wake)
	}
}

func (c *changes) take() (ids map[string]struct{}, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids, all = c.ids, c.all
	c.ids, c.all = map[string]struct{}{}, false
	return ids, all
}

// keepUp takes in what other processes did, and takes over what they looked
// after, until ctx ends.
func (w *Service) keepUp(ctx context.Context) {
	if w.shared == nil {
		return
	}
	tick := time.NewTicker(membersEvery)
	defer tick.Stop()
	var members *cache.Members
	for {
		ids, all := w.changes.take()
		if now := w.shared.Members(); now != members || all {
			if w.share(ctx, all) {
				members = now
			}
		}
		for id := range ids {
			if w.Refresh(ctx, id) != nil {
				w.Heard([]cache.Notice{{Webhook: id}}, false)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-w.changes.wake:
		}
	}
}

// share begins to look after the webhooks that are in a slot of this process
// now, and leaves the others. all has it look for those it does not know. It
// reports whether the outbox answered.
func (w *Service) share(ctx context.Context, all bool) (ok bool) {
	ids := map[string]bool{}
	w.mu.Lock()
	for id, hook := range w.byID {
		switch mine := w.looksAfter(id); {
		case mine != hook.mine && mine, all:
			ids[id] = true
		case mine != hook.mine:
			w.leave(hook)
		}
	}
	w.mu.Unlock()
	if all {
		bounded, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		rows, _, err := w.outbox.Webhooks(bounded)
		if err != nil {
			return false
		}
		for _, row := range rows {
			ids[row.ID] = true
		}
	}
	ok = true
	for id := range ids {
		ok = w.Refresh(ctx, id) == nil && ok
	}
	return ok
}

// leave hands a webhook over. What is under way for it comes to its end. The
// lock is held.
func (w *Service) leave(hook *webhook) {
	hook.mine = false
	for _, t := range hook.tasks {
		w.unwatch(t)
	}
	for _, d := range hook.deliveries {
		w.queue.remove(d)
	}
	w.poke()
}

// Refresh takes in what the outbox has of a webhook that another process may
// have changed.
func (w *Service) Refresh(ctx context.Context, id string) error {
	if w.shared == nil {
		return nil
	}
	w.mu.RLock()
	known := w.byID[id]
	w.mu.RUnlock()
	if known != nil { // what is read is older than what a save under way writes
		known.saving.Lock()
		defer known.saving.Unlock()
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	row, rows, err := w.shared.Webhook(ctx, id)
	if errors.Is(err, cache.ErrNotFound) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if hook := w.byID[id]; hook != nil {
			w.remove(hook)
			w.poke()
		}
		return nil
	}
	if err != nil {
		return err
	}
	hook, err := w.openWebhook(row)
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.byID[id]
	if err != nil { // nobody can open it: what is known here takes its place
		if old != nil {
			old.row.sum = sha256.Sum256(row.Value)
		}
		return nil
	}
	switch {
	case old == nil:
	case old.mine && w.looksAfter(id):
		w.merge(old, hook, rows)
		return nil
	default:
		w.remove(old)
	}
	w.loadDeliveries(map[string]*webhook{id: hook}, rows)
	w.admit(hook, 0)
	w.poke()
	return nil
}

// CatchUp is Refresh for a webhook that another process looks after, or that is
// not known. It reports whether there may be news.
func (w *Service) CatchUp(ctx context.Context, id string) bool {
	w.mu.RLock()
	hook := w.byID[id]
	mine := hook != nil && hook.mine
	w.mu.RUnlock()
	if w.shared == nil || mine {
		return false
	}
	if err := w.Refresh(ctx, id); err != nil {
		w.log.Warn("a webhook that another replica looks after cannot be read", "webhook", id, "err", err)
	}
	return true
}

// merge takes into a webhook of this process what others may do to it: a new
// secret, another round of attempts, messages. The lock is held.
func (w *Service) merge(hook, stored *webhook, rows []cache.Delivery) {
	hook.gone = hook.gone && (stored.gone || !hook.row.gone) // a 410 that is not stored yet stands
	hook.secret, hook.former, hook.row = stored.secret, stored.former, stored.row
	for _, row := range rows {
		next, err := w.openDelivery(hook, row)
		if err != nil {
			continue
		}
		d := w.sent[row.ID]
		switch {
		case d == nil:
			w.sent[row.ID] = next
			hook.deliveries = append(hook.deliveries, next)
			if next.state == DeliveryPending {
				w.enqueue(next)
			}
		case (next.since.After(d.since) || next.tries > d.tries) && (d.place.In() || d.state != DeliveryPending):
			w.queue.remove(d)
			d.state, d.since, d.next, d.failures, d.tries, d.attempts = next.state, next.since, next.next, next.failures, next.tries, next.attempts
			if d.state == DeliveryPending {
				w.enqueue(d)
			}
		}
	}
	w.poke()
}

// claim reports whether this process may make the next attempt of d. Without the
// store it may: better twice than never.
func (w *Service) claim(ctx context.Context, d *delivery, timeout time.Duration) bool {
	if w.shared == nil {
		return true
	}
	w.mu.RLock()
	attempt := d.tries + 1
	w.mu.RUnlock()
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	mine, err := w.shared.Claim(ctx, d.id, attempt, timeout+claimSlack)
	if err == nil && !mine { // what is known of it here may be old
		w.Heard([]cache.Notice{{Webhook: d.hook.id}}, false)
	}
	return err != nil || mine
}
