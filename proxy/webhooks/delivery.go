package webhooks

import (
	"cmp"
	"encoding/json"
	"math/rand/v2"
	"time"

	"pollux/cache"
	"pollux/proxy/poller/schedule"
	"pollux/proxy/wire"
)

// DeliveryState is what became of a message.
type DeliveryState string

const (
	DeliveryPending   DeliveryState = "pending"
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryGaveUp    DeliveryState = "gave_up"
)

// pauses are what lies between attempts, the last one again and again.
var pauses = [...]time.Duration{5 * time.Second, 30 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour}

const (
	// longestRetryAfter bounds what a receiver can ask for.
	longestRetryAfter = 5 * time.Hour
	// maxAttempts bounds the attempts remembered of one delivery; the oldest go.
	maxAttempts = 50
)

// Attempt is one request to a receiver. StatusCode is nil if there was no
// answer, Error if the answer alone says what went wrong.
type Attempt struct {
	At         time.Time `json:"at"`
	StatusCode *int      `json:"status_code"`
	Error      *string   `json:"error"`
	DurationMS int64     `json:"duration_ms"`
}

// delivery is one message to one receiver. What may change is guarded by
// Service.mu.
type delivery struct {
	id        string
	hook      *webhook
	kind      string // the message's type
	event     string // see event.id; "" in what was stored before events had payloads
	partition cache.ID
	created   time.Time

	state    DeliveryState
	since    time.Time // when this round of attempts began; giving up counts from here
	failures int       // of this round
	next     time.Time
	attempts []Attempt
	tries    int // attempts made, also those that are not remembered

	payload []byte                    // sealed; nil once the outbox has it
	place   *schedule.Node[*delivery] // in the queue of its receiver
	crowd   crowd                     // while it is being sent
}

// pause is how long to wait after so many failures.
func pause(failures int) time.Duration {
	d := pauses[min(failures, len(pauses))-1]
	return d + time.Duration((rand.Float64()*0.2-0.1)*float64(d)) // up to a tenth more or less, so that they do not come together
}

// note adds an attempt to what is remembered.
func (d *delivery) note(a Attempt) {
	if len(d.attempts) == maxAttempts {
		d.attempts = append(d.attempts[:0:0], d.attempts[1:]...)
	}
	d.attempts = append(d.attempts, a)
	d.tries++
}

// failed plans the next attempt, or gives up when that would be later than
// giveUpAfter. asked is what the receiver said in Retry-After, 0 if nothing.
func (d *delivery) failed(now time.Time, asked, giveUpAfter time.Duration) {
	d.failures++
	d.postpone(now.Add(max(pause(d.failures), min(asked, longestRetryAfter))), giveUpAfter)
}

// postpone plans the next attempt for at, or gives up.
func (d *delivery) postpone(at time.Time, giveUpAfter time.Duration) {
	if d.next = at; at.Sub(d.since) > giveUpAfter {
		d.state = DeliveryGaveUp
	}
}

// restart begins a new round of attempts.
func (d *delivery) restart(now time.Time) {
	d.state, d.since, d.next, d.failures = DeliveryPending, now, now, 0
}

// storedState is what is sealed of a delivery, beside its payload.
type storedState struct {
	Type      string        `json:"type"`
	Event     string        `json:"event,omitempty"`
	Partition []byte        `json:"partition"`
	Created   time.Time     `json:"created"`
	State     DeliveryState `json:"state"`
	Since     time.Time     `json:"since"`
	Failures  int           `json:"failures,omitempty"`
	Next      time.Time     `json:"next"`
	Attempts  []Attempt     `json:"attempts,omitempty"`
	Tries     int           `json:"tries,omitempty"`
}

func (d *delivery) encode() []byte {
	return wire.Marshal(&storedState{Type: d.kind, Event: d.event, Partition: d.partition[:], Created: d.created, State: d.state,
		Since: d.since, Failures: d.failures, Next: d.next, Attempts: d.attempts, Tries: d.tries})
}

// openDelivery is the delivery to hook that was stored as row.
func (w *Service) openDelivery(hook *webhook, row cache.Delivery) (*delivery, error) {
	text, err := w.vault.open(sealedState, row.ID, row.State)
	if err != nil {
		return nil, err
	}
	var s storedState
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	d := &delivery{id: row.ID, hook: hook, kind: s.Type, event: s.Event, created: s.Created, state: s.State,
		since: s.Since, failures: s.Failures, next: s.Next, attempts: s.Attempts, tries: max(s.Tries, len(s.Attempts))}
	copy(d.partition[:], s.Partition)
	return d, nil
}

// newDelivery is the message about ev to hook.
func newDelivery(id string, hook *webhook, ev *event, now time.Time) *delivery {
	return &delivery{id: id, hook: hook, kind: eventType(ev.entry.Status), event: ev.id, partition: ev.entry.Partition, created: now,
		state: DeliveryPending, since: now, next: now}
}

// sealedUnder is what its payload is bound to.
func (d *delivery) sealedUnder() string {
	return cmp.Or(d.event, d.id)
}
