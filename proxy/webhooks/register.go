package webhooks

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/access"
	"pollux/proxy/problem"
)

// partitionShare is which part of limits.watched_tasks one partition may have.
const partitionShare = 4

// Register makes a webhook durable, within st, and starts to follow its tasks.
// The secret is told here and never again. Nothing is left behind if it returns
// a problem.
func (w *Service) Register(ctx context.Context, st *Settings, r Registration) (id, secret string, why *problem.Problem) {
	u, err := st.addresses.register(ctx, r.URL)
	if err != nil {
		return "", "", &problem.Problem{Type: problem.InvalidRequest, Status: http.StatusBadRequest, Detail: err.Error()}
	}
	hook := &webhook{id: newWebhookID(), on: r.On, owner: r.Owner, origins: r.Origins, created: time.Now().UTC(), secret: newSecret(),
		credentials: map[string]providers.Credential{}}
	if err := hook.setURL(u.String()); err != nil {
		return "", "", &problem.Problem{Type: problem.InvalidRequest, Status: http.StatusBadRequest, Detail: err.Error()}
	}
	for i, task := range r.Tasks {
		request := r.Requests[i]
		hook.tasks = append(hook.tasks, &followed{Task: task, hook: hook, request: &request})
		if !request.Upstream.Held {
			hook.credentials[task.Upstream] = request.Credential
		}
	}
	if why := w.roomFor(hook, st.maxTasks); why != nil {
		return "", "", why
	}
	if hook.mine = w.looksAfter(hook.id); hook.mine {
		if why := w.watchAll(hook); why != nil {
			return "", "", why
		}
	}
	if err := w.save(ctx, hook); err != nil {
		w.log.Warn("a webhook could not be stored", "err", err)
		hook.releaseAll()
		return "", "", unstoredProblem
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.index(hook)
	w.enforce(w.settings.Load().rules, hook) // a reload may have come between
	if hook.mine {
		w.lookLater(hook.tasks...)
	}
	return hook.id, secretText(hook.secret), nil
}

// unstoredProblem is the answer while the store is sick: what was accepted must
// survive, so nothing is.
var unstoredProblem = &problem.Problem{Type: problem.Overloaded, Status: http.StatusServiceUnavailable, RetryAfter: 5 * time.Second,
	Detail: "the store did not confirm the change"}

// roomFor checks the limits for a new webhook.
func (w *Service) roomFor(hook *webhook, limit int) *problem.Problem {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.open+len(hook.tasks) > limit || len(w.byID) >= limit {
		return &problem.Problem{Type: problem.Overloaded, Status: http.StatusServiceUnavailable, RetryAfter: 10 * time.Second,
			Detail: fmt.Sprintf("limits.watched_tasks (%d) is reached", limit)}
	}
	share := max(1, limit/partitionShare)
	wanted := map[cache.ID]int{}
	for _, t := range hook.tasks {
		wanted[t.Partition]++
	}
	for id, n := range wanted {
		if r := w.rooms[id]; r != nil {
			n += r.open
		}
		if n > share {
			return &problem.Problem{Type: problem.RateLimited, Status: http.StatusTooManyRequests, RetryAfter: 10 * time.Second,
				Detail: fmt.Sprintf("the webhooks of one credential may follow %d tasks, a quarter of limits.watched_tasks", share)}
		}
	}
	return nil
}

func (w *Service) watchAll(hook *webhook) *problem.Problem {
	for _, t := range hook.tasks {
		release, why := w.engine.Watch(*t.request)
		if why != nil {
			hook.releaseAll()
			return why
		}
		t.release = release
	}
	return nil
}

func (w *webhook) releaseAll() {
	for _, t := range w.tasks {
		if t.release != nil {
			t.release()
			t.release = nil
		}
	}
}

// Owners returns who registered a webhook, how it reached its upstreams and what
// it follows, for the decision who may see it; false if there is none.
func (w *Service) Owners(id string) (owner string, origins map[string]access.Origin, tasks []Task, ok bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	hook := w.byID[id]
	if hook == nil {
		return "", nil, nil, false
	}
	return hook.owner, hook.origins, hook.followedTasks(), true
}

func (w *webhook) followedTasks() (tasks []Task) {
	for _, t := range w.tasks {
		tasks = append(tasks, t.Task)
	}
	return tasks
}

// Delete ends a webhook; one that is not there has ended.
func (w *Service) Delete(ctx context.Context, id string) *problem.Problem {
	w.mu.RLock()
	hook := w.byID[id]
	w.mu.RUnlock()
	if hook == nil {
		return nil
	}
	hook.saving.Lock() // a save under way would bring it back
	defer hook.saving.Unlock()
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := w.outbox.DeleteWebhook(ctx, id); err != nil {
		w.log.Warn("a webhook could not be deleted", "webhook", id, "err", err)
		return unstoredProblem
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !hook.deleted {
		w.remove(hook)
	}
	w.poke()
	return nil
}

// Redeliver sends again, under the same ids, what a webhook's receiver has not
// confirmed; if it has confirmed everything, all of it. It reports false if
// nothing may be sent any more.
func (w *Service) Redeliver(id string) bool {
	var over bool
	err := w.change(context.Background(), id, func(hook *webhook) error {
		w.mu.RLock()
		over = hook.over()
		elsewhere := !hook.mine
		w.mu.RUnlock()
		if over {
			return nil
		}
		each(w.roots, w.restart(id), w.keep) // so that a crash now does not lose it
		if !elsewhere {
			return nil
		}
		return w.save(context.Background(), hook) // which tells whoever sends it
	})
	if err != nil {
		w.log.Warn("a webhook could not be stored", "webhook", id, "err", err)
	}
	return !over
}

// restart begins a new round for every delivery of a webhook, and returns them.
func (w *Service) restart(id string) (again []*delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	hook := w.byID[id]
	if hook == nil {
		return nil
	}
	if hook.gone { // somebody says that the receiver is back
		hook.gone = false
		w.dirty[hook] = struct{}{}
	}
	now := time.Now()
	all := !slices.ContainsFunc(hook.deliveries, func(d *delivery) bool { return d.state != DeliveryDelivered })
	for _, d := range hook.deliveries {
		waiting := d.place.In()
		if hook.barred(d) || d.state == DeliveryPending && !waiting || d.state == DeliveryDelivered && !all {
			continue // being stored or sent right now, or not what is missing
		}
		w.queue.remove(d)
		d.restart(now)
		w.enqueue(d)
		again = append(again, d)
	}
	w.poke()
	return again
}

// Rotate gives a webhook a new secret. The old one signs beside it for a day.
func (w *Service) Rotate(ctx context.Context, id string) (secret string, why *problem.Problem) {
	err := w.change(ctx, id, func(hook *webhook) (err error) {
		secret, err = w.rotate(ctx, hook)
		return err
	})
	if err != nil {
		w.log.Warn("a webhook could not be stored", "webhook", id, "err", err)
		return "", unstoredProblem
	}
	return secret, nil
}

// rotate is Rotate of what is known of hook here. The error is errChanged if that
// is not what stands.
func (w *Service) rotate(ctx context.Context, hook *webhook) (secret string, err error) {
	hook.saving.Lock()
	defer hook.saving.Unlock()
	w.mu.Lock()
	if hook.deleted { // another one is known in its place
		w.mu.Unlock()
		return "", errChanged
	}
	now := time.Now()
	old, former := hook.secret, hook.former
	hook.former = append([]formerSecret{{Secret: old, Until: now.Add(keepFormer)}},
		slices.DeleteFunc(slices.Clone(former), func(f formerSecret) bool { return !now.Before(f.Until) })...)
	hook.former = hook.former[:min(len(hook.former), maxFormer)]
	hook.secret = newSecret()
	secret = secretText(hook.secret)
	w.mu.Unlock()
	if err := w.store(ctx, hook); err != nil {
		w.mu.Lock()
		hook.secret, hook.former = old, former
		w.mu.Unlock()
		return "", err
	}
	return secret, nil
}
