package cache

import (
	"cmp"
	"context"
	"crypto/sha256"
	"maps"
	"slices"
	"sync"
	"time"
)

// Webhook is a registration as a store keeps it.
type Webhook struct {
	ID    string
	Value []byte // sealed
}

// Delivery is one message for a webhook as a store keeps it. Its ID is the
// same however often it is made from the same event.
type Delivery struct {
	ID      string
	Webhook string
	// Event is what happened: the deliveries of one event share a Payload,
	// which is kept once and goes with the last of them. "" shares it with none.
	Event   string
	Payload []byte // what to send, sealed; never changes
	State   []byte // what became of it so far, sealed
}

// Outbox keeps webhooks and their deliveries. A store that implements it makes
// a delivery durable together with the entry that caused it, so that neither is
// ever there without the other. Implementations are safe for concurrent use.
type Outbox interface {
	// OnPut has trigger called with every entry that is about to be written.
	// The deliveries that it returns are added in the same transaction, as
	// AddDelivery would; they are dropped if the entry does not replace what
	// stands. Call it before the first write. trigger must return at once.
	OnPut(trigger func(e *Entry) []Delivery)
	// PutWebhook makes w durable, in place of what had its ID.
	PutWebhook(ctx context.Context, w Webhook) error
	// DeleteWebhook removes a webhook and its deliveries.
	DeleteWebhook(ctx context.Context, id string) error
	// AddDelivery makes d durable, unless its ID is there already or its
	// webhook is not.
	AddDelivery(ctx context.Context, d Delivery) error
	// SetDeliveryState replaces the State of a delivery that is there.
	SetDeliveryState(ctx context.Context, id string, state []byte) error
	// DeliveryPayload returns the Payload of a delivery, or ErrNotFound.
	DeliveryPayload(ctx context.Context, id string) ([]byte, error)
	// Webhooks returns everything; the deliveries come without Payload.
	Webhooks(ctx context.Context) ([]Webhook, []Delivery, error)
}

// Claims are what replicas that share an Outbox agree on before they send. An
// Outbox of one process needs none.
type Claims interface {
	// Claim reports whether this process may make an attempt of a delivery.
	// Nobody else may for as long as hold, unless this process dies, nor ever
	// once a later attempt was claimed. Attempts count from 1.
	Claim(ctx context.Context, delivery string, attempt int, hold time.Duration) (bool, error)
	// SwapWebhook is PutWebhook if what stands is the value that has the SHA-256
	// before, and reports whether it is: several processes change one webhook.
	SwapWebhook(ctx context.Context, before [sha256.Size]byte, w Webhook) (bool, error)
	// Webhook returns a webhook and its deliveries, without Payload, or
	// ErrNotFound.
	Webhook(ctx context.Context, id string) (Webhook, []Delivery, error)
}

// MemoryOutbox is the Outbox of a store that keeps nothing, or none: it is gone
// with the process. The zero value is empty. Nothing is written through it, so
// it never triggers.
type MemoryOutbox struct {
	mu         sync.Mutex           // guards what follows
	webhooks   map[string]Webhook   // by ID
	deliveries map[string]*Delivery // by ID, without Payload
	events     map[string]*event    // by Event
}

var _ Outbox = (*MemoryOutbox)(nil)

// OnPut does nothing.
func (*MemoryOutbox) OnPut(func(*Entry) []Delivery) {}

// PutWebhook keeps w.
func (o *MemoryOutbox) PutWebhook(_ context.Context, w Webhook) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.webhooks == nil {
		o.webhooks = map[string]Webhook{}
	}
	o.webhooks[w.ID] = w
	return nil
}

// DeleteWebhook forgets a webhook and its deliveries.
func (o *MemoryOutbox) DeleteWebhook(_ context.Context, id string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.webhooks, id)
	for key, d := range o.deliveries {
		if d.Webhook != id {
			continue
		}
		delete(o.deliveries, key)
		if e := o.events[d.Event]; e.deliveries > 1 {
			e.deliveries--
		} else {
			delete(o.events, d.Event)
		}
	}
	return nil
}

// AddDelivery keeps d.
func (o *MemoryOutbox) AddDelivery(_ context.Context, d Delivery) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.webhooks[d.Webhook]; !ok || o.deliveries[d.ID] != nil {
		return nil
	}
	if o.deliveries == nil {
		o.deliveries, o.events = map[string]*Delivery{}, map[string]*event{}
	}
	if d.Event = cmp.Or(d.Event, d.ID); o.events[d.Event] == nil {
		o.events[d.Event] = &event{payload: d.Payload}
	}
	o.events[d.Event].deliveries++
	d.Payload = nil
	o.deliveries[d.ID] = &d
	return nil
}

// event is a payload, and how many deliveries have it.
type event struct {
	payload    []byte
	deliveries int
}

// SetDeliveryState replaces the state of a delivery.
func (o *MemoryOutbox) SetDeliveryState(_ context.Context, id string, state []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d := o.deliveries[id]; d != nil {
		d.State = slices.Clone(state)
	}
	return nil
}

// DeliveryPayload returns the payload of a delivery.
func (o *MemoryOutbox) DeliveryPayload(_ context.Context, id string) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d := o.deliveries[id]; d != nil {
		return o.events[d.Event].payload, nil
	}
	return nil, ErrNotFound
}

// Webhooks returns everything.
func (o *MemoryOutbox) Webhooks(context.Context) ([]Webhook, []Delivery, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var deliveries []Delivery
	for _, d := range o.deliveries {
		deliveries = append(deliveries, *d)
	}
	return slices.Collect(maps.Values(o.webhooks)), deliveries, nil
}
