package webhooks

import (
	"slices"
	"time"

	"pollux/proxy/access"
	"pollux/proxy/problem"
)

// Rules say of one configuration what webhooks may still rest on: an
// *access.Rules. They are asked under a lock, and must not call back.
type Rules interface {
	// Owner returns how an owner is called now, false if there is no such client
	// any more.
	Owner(owner string) (now string, ok bool)
	// Reaches reports whether an upstream is still what it was at registration.
	Reaches(upstream string, o access.Origin) bool
}

// enforce ends what hook may not do any more under r. The caller holds the lock.
func (w *Service) enforce(r Rules, hook *webhook) {
	if hook.owner != "" {
		owner, ok := r.Owner(hook.owner)
		if !ok {
			w.bar(hook, func(*followed) bool { return true })
			return
		}
		if owner != hook.owner {
			hook.owner = owner
			w.dirty[hook] = struct{}{}
		}
	}
	for upstream, o := range hook.origins {
		if !r.Reaches(upstream, o) {
			w.bar(hook, func(t *followed) bool { return t.Upstream == upstream })
		}
	}
}

// bar ends the tasks of hook that are meant, for good, whether or not the client
// or the upstream comes back: what is not sent yet never is. All of a webhook's
// tasks at one upstream share its partition.
func (w *Service) bar(hook *webhook, meant func(*followed) bool) {
	for _, t := range hook.tasks {
		if t.barred || !meant(t) {
			continue
		}
		t.barred, hook.barredAt = true, time.Now().UTC()
		w.dirty[hook] = struct{}{}
		w.finish(t, string(problem.Unauthorized))
		for _, d := range hook.deliveries {
			if d.partition == t.Partition && d.state == DeliveryPending {
				w.queue.remove(d)
				d.state = DeliveryGaveUp
				t.problem = string(problem.Unauthorized)
				w.metrics.gaveUp.Inc()
				w.ended = append(w.ended, d)
			}
		}
	}
	w.poke()
}

// barred reports whether a delivery may not be sent any more.
func (w *webhook) barred(d *delivery) bool {
	return slices.ContainsFunc(w.tasks, func(t *followed) bool { return t.barred && t.Partition == d.partition })
}

// over reports whether nothing is ever sent for w again.
func (w *webhook) over() bool {
	return !slices.ContainsFunc(w.tasks, func(t *followed) bool { return !t.barred })
}
