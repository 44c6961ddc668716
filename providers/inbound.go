package providers

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/tidwall/gjson"

	"pollux/normalize"
	"pollux/providers/signatures"
)

// Inbound is how an upstream's own messages (its webhooks) are verified and
// which task they are about. Nothing else in them is believed.
type Inbound struct {
	signatures.Scheme
	id    idSource
	types string   // GJSON path of the message's type, "" if every message is about a task
	words []string // types that are hints
}

// Message is what a verified message says: that there may be news of a task.
type Message struct {
	// ID tells a message from another: one that comes again has the same.
	ID string
	// TaskID is the task's own id, the last value of its reference; "" if the
	// message is about no task, or of a type that is no hint.
	TaskID string
}

// MaxMessage is the largest body of a message, in bytes.
const MaxMessage = 1 << 20

// Errors of Receive. The first is the sender's: its message is refused.
var (
	ErrUnverified = errors.New("the message is not signed as the upstream signs")
	ErrUnreadable = errors.New("the message is no JSON object")
)

// Receive verifies a message that arrived now and says what it is about. query
// is of its URL. The errors are ErrUnverified and ErrUnreadable; neither holds
// anything of the message.
func (i *Inbound) Receive(h http.Header, query url.Values, body []byte, from signatures.Sender, now time.Time) (Message, error) {
	if !i.Verify(h, query, body, from, now) {
		return Message{}, ErrUnverified
	}
	if normalize.CheckBody(body) != nil {
		return Message{}, ErrUnreadable
	}
	m := Message{ID: i.MessageID(h, body)}
	if i.types != "" {
		if word := gjson.GetBytes(body, i.types); word.IsArray() || word.IsObject() || !slices.Contains(i.words, word.String()) {
			return m, nil
		}
	}
	m.TaskID = firstID([]idSource{i.id}, h, body)
	return m, nil
}

func (l *loader) inbound() {
	f := l.file.Inbound
	if f == nil {
		return
	}
	i := &Inbound{Scheme: f.Verify.Scheme(l.fault)}
	if f.ID.Node == nil {
		l.fault(nil, "inbound.id", "is missing: the GJSON path of the task's id in a message")
	} else {
		i.id = l.idSource(&f.ID, true)
	}
	if t := f.Types; t != nil {
		l.path(t.Path)
		if i.types = t.Path.Value; t.Path.Node == nil {
			l.fault(nil, "inbound.types.path", "is missing: the GJSON path of the message's type")
		}
		if len(t.Words) == 0 {
			l.fault(nil, "inbound.types.words", "is missing: the types of messages that tell about a task")
		}
		for _, word := range t.Words {
			i.words = append(i.words, word.Value)
		}
	}
	l.p.Inbound = i
}
