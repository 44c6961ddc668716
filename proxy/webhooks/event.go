package webhooks

import (
	"context"
	"sync"

	"pollux/cache"
)

// event is what happened to a task, told to every webhook that wants it. What is
// told is rendered and sealed once.
type event struct {
	name string // OnTerminal or OnRequiresAction, "" if there is nothing to tell
	// occasion tells it from others of the same task: a task ends once, and may
	// want something again.
	occasion string
	id       string // names it among all events; the payload is sealed under it
	shared   string // as cache.Delivery.Event
	entry    *cache.Entry

	once   sync.Once
	sealed []byte
}

// eventOf is what e is for the followers of its task.
func (w *Service) eventOf(e *cache.Entry) *event {
	ev := &event{entry: e}
	if ev.name, ev.occasion = eventOn(e); ev.name == "" {
		return ev
	}
	ev.id = w.vault.eventID(&e.Key, ev.name, ev.occasion)
	ev.shared = ev.id + "." + e.ETag // a document that changed is another payload
	return ev
}

// payload is what receivers get, sealed.
func (ev *event) payload(w *Service) []byte {
	ev.once.Do(func() {
		ev.sealed = w.vault.seal(sealedPayload, ev.id, payload(ev.entry, w.settings.Load().publicURL))
	})
	return ev.sealed
}

// openPayloads are the messages that are being sent, so that those of one event
// share the memory of one.
type openPayloads struct {
	mu   sync.Mutex // guards what follows
	open map[string]*openPayload
}

type openPayload struct {
	users int // guarded by openPayloads.mu
	once  sync.Once
	body  []byte
	err   error
}

// use returns what read returns, read once for all who use it under the same name
// at the same time. Call done when body is not needed any more.
func (o *openPayloads) use(name string, read func() ([]byte, error)) (body []byte, done func(), err error) {
	o.mu.Lock()
	p := o.open[name]
	if p == nil {
		if o.open == nil {
			o.open = map[string]*openPayload{}
		}
		p = &openPayload{}
		o.open[name] = p
	}
	p.users++
	o.mu.Unlock()
	p.once.Do(func() { p.body, p.err = read() })
	return p.body, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if p.users--; p.users == 0 || p.err != nil {
			delete(o.open, name)
		}
	}, p.err
}

// message is the body of d, as it was when the event happened.
func (w *Service) message(ctx context.Context, d *delivery) (body []byte, done func(), err error) {
	w.mu.RLock()
	sealed := d.payload
	w.mu.RUnlock()
	return w.bodies.use(d.sealedUnder(), func() ([]byte, error) {
		if sealed == nil {
			var err error
			if sealed, err = w.outbox.DeliveryPayload(ctx, d.id); err != nil {
				return nil, err
			}
		}
		return w.vault.open(sealedPayload, d.sealedUnder(), sealed)
	})
}
