package webhooks

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/access"
	"pollux/proxy/poller"
	"pollux/proxy/wire"
)

// Events that a webhook may be told of.
const (
	OnTerminal       = "terminal"
	OnRequiresAction = "requires_action"
)

// TaskState is how a webhook follows one of its tasks.
type TaskState string

const (
	TaskWatching  TaskState = "watching"
	TaskSuspended TaskState = "suspended" // the upstream refuses the credential, or cannot be asked with it
	TaskDone      TaskState = "done"      // nothing more will be told of it
)

// Task is one task of a webhook.
type Task struct {
	Ref       string // as in cache.Entry
	Upstream  string
	Values    []string // as providers.Reference has them
	Key       cache.ID
	Partition cache.ID
}

// Registration is what a caller asks for. The Requests belong to Tasks, by index.
type Registration struct {
	URL      string
	On       []string
	Owner    string                   // the client who registers; "" if that is nobody in particular
	Origins  map[string]access.Origin // by upstream
	Tasks    []Task
	Requests []poller.Request
}

// webhook is one registration. What may change is guarded by Service.mu.
type webhook struct {
	id      string
	url     string // with its query, which may be a secret of the receiver
	shown   string // url without its query
	on      []string
	owner   string
	origins map[string]access.Origin // by upstream; of webhooks stored by older versions there are none
	created time.Time

	secret      []byte
	former      []formerSecret // newest first
	tasks       []*followed
	credentials map[string]providers.Credential // by upstream; only of those whose tasks are not done
	deliveries  []*delivery                     // oldest first
	gone        bool                            // the receiver answered 410
	barredAt    time.Time                       // when a task was last barred
	deleted     bool
	mine        bool // this process looks after it
	row         row  // as far as is known, what the outbox has

	saving sync.Mutex // held while it is written or read, so that the newest is what stays
}

// row tells apart what the outbox has had of a webhook. The zero value is nothing.
type row struct {
	sum  [sha256.Size]byte // of the sealed value
	gone bool              // as it says
}

// formerSecret still signs, beside its successor, until a receiver has had
// time to learn that one.
type formerSecret struct {
	Secret []byte    `json:"secret"`
	Until  time.Time `json:"until"`
}

// followed is a task that a webhook follows.
type followed struct {
	Task
	hook *webhook

	status  string // last known, "" before the first answer
	done    bool
	barred  bool            // done because what it rested on was taken away
	problem string          // type of the problem that ended or suspends it, "" if none
	request *poller.Request // nil when done, or while the upstream is not configured
	release func()          // of the watch; nil while there is none
}

// wants reports whether the webhook is told of event.
func (w *webhook) wants(event string) bool { return slices.Contains(w.on, event) }

// finished reports whether all of its tasks are done and nothing waits to be
// sent.
func (w *webhook) finished() bool {
	return !slices.ContainsFunc(w.tasks, func(t *followed) bool { return !t.done }) &&
		!slices.ContainsFunc(w.deliveries, func(d *delivery) bool { return d.state == DeliveryPending })
}

// signers are the secrets that sign now.
func (w *webhook) signers(now time.Time) [][]byte {
	all := [][]byte{w.secret}
	for _, f := range w.former {
		if now.Before(f.Until) {
			all = append(all, f.Secret)
		}
	}
	return all
}

// forget drops the credentials of upstreams where no task is left to poll, and
// reports whether there were any.
func (w *webhook) forget() bool {
	before := len(w.credentials)
	maps.DeleteFunc(w.credentials, func(upstream string, _ providers.Credential) bool {
		return !slices.ContainsFunc(w.tasks, func(t *followed) bool { return t.Upstream == upstream && !t.done })
	})
	return len(w.credentials) < before
}

const (
	webhookPrefix  = "wh_"
	deliveryPrefix = "msg_"
	secretPrefix   = "whsec_"
	secretBytes    = 32 // Standard Webhooks wants 24 to 64
	// keepFormer is how long a secret that was replaced signs beside the new one.
	keepFormer = 24 * time.Hour
	// maxFormer bounds the secrets that sign at the same time.
	maxFormer = 4
)

func newWebhookID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return webhookPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}

func newSecret() []byte {
	b := make([]byte, secretBytes)
	rand.Read(b) // never fails
	return b
}

// secretText is a secret as receivers take it.
func secretText(secret []byte) string {
	return secretPrefix + base64.StdEncoding.EncodeToString(secret)
}

// storedWebhook is a webhook as it is sealed. Credentials cannot be marshalled
// by themselves, on purpose.
type storedWebhook struct {
	URL         string                      `json:"url"`
	On          []string                    `json:"on"`
	Owner       string                      `json:"owner,omitempty"`
	Origins     map[string]access.Origin    `json:"origins,omitempty"`
	Created     time.Time                   `json:"created"`
	Secret      []byte                      `json:"secret"`
	Former      []formerSecret              `json:"former,omitempty"`
	Gone        bool                        `json:"gone,omitempty"`
	BarredAt    time.Time                   `json:"barred_at,omitzero"`
	Tasks       []storedTask                `json:"tasks"`
	Credentials map[string]storedCredential `json:"credentials,omitempty"`
}

type storedTask struct {
	Ref       string   `json:"ref"`
	Upstream  string   `json:"upstream"`
	Values    []string `json:"values"`
	Key       []byte   `json:"key"`
	Partition []byte   `json:"partition"`
	Status    string   `json:"status,omitempty"`
	Done      bool     `json:"done,omitempty"`
	Barred    bool     `json:"barred,omitempty"`
	Problem   string   `json:"problem,omitempty"`
}

type storedCredential struct {
	Headers [][2]string `json:"headers,omitempty"`
	Query   [][2]string `json:"query,omitempty"`
	Select  [][2]string `json:"select,omitempty"`
}

// encode renders w to be sealed.
func (w *webhook) encode() []byte {
	s := storedWebhook{URL: w.url, On: w.on, Owner: w.owner, Origins: w.origins, Created: w.created, Secret: w.secret,
		Former: w.former, Gone: w.gone, BarredAt: w.barredAt}
	for _, t := range w.tasks {
		s.Tasks = append(s.Tasks, storedTask{Ref: t.Ref, Upstream: t.Upstream, Values: t.Values,
			Key: t.Key[:], Partition: t.Partition[:], Status: t.status, Done: t.done, Barred: t.barred, Problem: t.problem})
	}
	for upstream, c := range w.credentials {
		if s.Credentials == nil {
			s.Credentials = map[string]storedCredential{}
		}
		s.Credentials[upstream] = storedCredential{Headers: pairs(c.Headers), Query: pairs(c.Query), Select: pairs(c.Select)}
	}
	return wire.Marshal(&s)
}

// decodeWebhook is the reverse of encode.
func decodeWebhook(id string, text []byte) (*webhook, error) {
	var s storedWebhook
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	w := &webhook{id: id, on: s.On, owner: s.Owner, origins: s.Origins, created: s.Created, secret: s.Secret,
		former: s.Former, gone: s.Gone, barredAt: s.BarredAt,
		credentials: map[string]providers.Credential{}}
	if err := w.setURL(s.URL); err != nil {
		return nil, err
	}
	for _, t := range s.Tasks {
		f := &followed{hook: w, Task: Task{Ref: t.Ref, Upstream: t.Upstream, Values: t.Values}, status: t.Status, done: t.Done, barred: t.Barred, problem: t.Problem}
		copy(f.Key[:], t.Key)
		copy(f.Partition[:], t.Partition)
		w.tasks = append(w.tasks, f)
	}
	for upstream, c := range s.Credentials {
		w.credentials[upstream] = providers.Credential{Headers: fields(c.Headers), Query: fields(c.Query), Select: fields(c.Select)}
	}
	return w, nil
}

func (w *webhook) setURL(raw string) error {
	u, err := parseURL(raw)
	if err != nil {
		return err
	}
	w.url = u.String()
	u.RawQuery, u.ForceQuery = "", false
	w.shown = u.String()
	return nil
}

func pairs(list []providers.Field) (out [][2]string) {
	for _, f := range list {
		out = append(out, [2]string{f.Name, f.Value})
	}
	return out
}

func fields(list [][2]string) (out []providers.Field) {
	for _, p := range list {
		out = append(out, providers.Field{Name: p[0], Value: p[1]})
	}
	return out
}
