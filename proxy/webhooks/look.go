package webhooks

import (
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"time"

	"pollux/cache"
	"pollux/proxy/poller/schedule"
	"pollux/proxy/problem"
	"pollux/proxy/roots"
)

const (
	// lookEvery is how often the tasks that are not done are gone through.
	lookEvery = time.Minute
	// unseenFor is how long a task that its upstream denies is asked for.
	unseenFor = time.Hour
	// followFor is how long a task is followed at most.
	followFor = 30 * 24 * time.Hour
	// keepFinished is how long a webhook can be looked at after its last
	// delivery.
	keepFinished = 7 * 24 * time.Hour
)

// lookersPerUpstream bounds the first polls under way at one upstream, so that a
// slow one delays nobody else's.
const lookersPerUpstream = 16

func newLooks() *schedule.Queue[*followed] {
	return schedule.New(schedule.Rules[*followed]{Slots: func(string) int { return lookersPerUpstream }})
}

// lookLater has the tasks polled once: what is known already is not published
// again. The lock is held.
func (w *Service) lookLater(tasks ...*followed) {
	for _, t := range tasks {
		owner := t.Partition
		if t.request != nil { // whatever is selected with the credential
			owner = t.request.Partition.Credential().ID
		}
		key := w.vault.secret.Sum("webhooks", "look", t.hook.id, string(t.Key[:]))
		w.looks.Add(schedule.Call[*followed]{Key: key, Lane: t.Upstream, Owner: owner, Due: time.Now(), Value: t}) // what there is no room for, sweep finds
	}
}

// look polls the tasks of new webhooks once.
func (w *Service) look(ctx context.Context) {
	w.looks.Run(ctx, func(f func()) { go w.roots.Run("first look", f) }, w.lookAt)
}

// lookAt polls t and takes the answer for news.
func (w *Service) lookAt(ctx context.Context, t *followed, _ time.Duration) {
	w.follow(t)
	w.mu.RLock()
	credential, done := t.hook.credentials[t.Upstream], t.done
	w.mu.RUnlock()
	r, ok := w.resume(&t.Task, credential) // a reload may have come between
	if done || !ok {
		return
	}
	a := w.engine.Poll(ctx, *r)
	switch {
	case ctx.Err() != nil:
	case a.Entry != nil:
		w.Published(a.Entry)
	case a.Problem.Type == problem.Unauthorized:
		if !r.Partition.Authorized(r.Upstream, time.Now()) {
			w.Suspended(&t.Partition, a.Problem)
		}
	case a.Problem.Type == problem.TaskGone: // Lost is told once that is sure
	default:
		w.Lost(&t.Key, a.Problem)
	}
}

// sweeps goes through the tasks that are not done, now and then.
func (w *Service) sweeps(ctx context.Context) {
	roots.Every(ctx, lookEvery, func() { w.sweep(ctx) })
}

// sweep finds what no news told of: tasks whose watch could not begin, answers
// that were known before, tasks and webhooks that are past their time.
func (w *Service) sweep(ctx context.Context) {
	defer w.roots.Recover("sweep of webhooks")
	var open []*followed
	var old []*webhook
	now := time.Now()
	w.mu.Lock()
	for _, hook := range w.byID {
		for _, t := range hook.tasks {
			age := now.Sub(hook.created)
			switch {
			case t.done, !hook.mine:
			case age > followFor, age > unseenFor && t.status == "" && t.problem == string(problem.TaskNotFound):
				w.finish(t, t.problem)
			default:
				open = append(open, t)
			}
		}
		if hook.mine && hook.finished() && now.Sub(hook.lastMoved()) > keepFinished {
			old = append(old, hook)
		}
	}
	w.poke()
	w.mu.Unlock()
	for _, t := range open {
		w.follow(t)
		w.mu.RLock()
		r := t.request
		w.mu.RUnlock()
		if r == nil || !r.Partition.Authorized(r.Upstream, now) {
			continue
		}
		if e := w.engine.Known(&r.Key); e != nil {
			w.Published(e)
		}
	}
	for _, hook := range old {
		if p := w.Delete(ctx, hook.id); p != nil {
			w.log.Warn("a finished webhook could not be deleted", "webhook", hook.id)
		}
	}
}

// lastMoved is when something last happened for w.
func (w *webhook) lastMoved() time.Time {
	at := later(w.created, w.barredAt)
	for _, d := range w.deliveries {
		at = later(at, d.created)
		if n := len(d.attempts); n > 0 {
			at = later(at, d.attempts[n-1].At)
		}
	}
	return at
}

// follow watches t unless that is so already.
func (w *Service) follow(t *followed) {
	w.mu.RLock()
	r, watched, done := t.request, t.release != nil, t.done || !t.hook.mine
	credential := t.hook.credentials[t.Upstream]
	w.mu.RUnlock()
	if done || watched {
		return
	}
	if r == nil {
		var ok bool
		if r, ok = w.resume(&t.Task, credential); !ok {
			return
		}
	}
	release, why := w.engine.Watch(*r)
	if why != nil {
		return
	}
	w.mu.Lock()
	if t.done || t.release != nil || !t.hook.mine {
		w.mu.Unlock()
		release()
		return
	}
	t.request, t.release = r, release
	w.mu.Unlock()
}

// Load takes in what the outbox holds: tasks that are not done are followed
// again, messages that were not sent are sent. Call it once, before Run.
func (w *Service) Load(ctx context.Context) error {
	hooks, deliveries, err := w.outbox.Webhooks(ctx)
	if err != nil {
		return err
	}
	lost := 0
	w.mu.Lock()
	defer w.mu.Unlock()
	byID := map[string]*webhook{}
	for _, row := range hooks {
		hook, err := w.openWebhook(row)
		if err != nil {
			lost++
			continue
		}
		byID[row.ID] = hook
	}
	pending := w.loadDeliveries(byID, deliveries)
	window := min(30*time.Second, time.Duration(pending)*10*time.Millisecond) // spread, so that a restart is no flood
	for _, hook := range byID {
		w.admit(hook, window)
	}
	if lost > 0 {
		w.log.Warn("stored webhooks could not be opened", "count", lost)
	}
	w.poke()
	return nil
}

// admit takes in a webhook as it was stored: its tasks are followed again, its
// pending messages sent within window. The lock is held.
func (w *Service) admit(hook *webhook, window time.Duration) {
	hook.mine = w.looksAfter(hook.id)
	for _, t := range hook.tasks { // the message is written before the task is marked
		t.done = t.done || hook.gone || w.sent[w.vault.deliveryID(hook.id, &t.Key, OnTerminal, "")] != nil
	}
	w.index(hook)
	w.enforce(w.settings.Load().rules, hook)
	if hook.forget() {
		w.dirty[hook] = struct{}{}
	}
	for _, t := range hook.tasks {
		if !t.done && hook.mine {
			w.lookLater(t)
		}
	}
	now := time.Now()
	for _, d := range hook.deliveries {
		if d.state != DeliveryPending {
			continue
		}
		if d.next = later(d.next, now.Add(time.Duration(rand.Float64()*float64(window)))); hook.gone || hook.barred(d) {
			d.state = DeliveryGaveUp
			continue
		}
		w.enqueue(d)
	}
}

func (w *Service) openWebhook(row cache.Webhook) (*webhook, error) {
	text, err := w.vault.open(sealedWebhook, row.ID, row.Value)
	if err != nil {
		return nil, err
	}
	hook, err := decodeWebhook(row.ID, text)
	if err != nil {
		return nil, err
	}
	hook.row.sum, hook.row.gone = sha256.Sum256(row.Value), hook.gone
	return hook, nil
}

// loadDeliveries gives webhooks their deliveries, and returns how many are pending.
func (w *Service) loadDeliveries(byID map[string]*webhook, rows []cache.Delivery) (pending int) {
	for _, row := range rows {
		hook := byID[row.Webhook]
		if hook == nil {
			continue
		}
		d, err := w.openDelivery(hook, row)
		if err != nil {
			continue
		}
		w.sent[d.id] = d
		hook.deliveries = append(hook.deliveries, d)
		if d.state == DeliveryPending {
			pending++
		}
	}
	return pending
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
