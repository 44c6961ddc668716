package providers

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/tidwall/gjson"

	"pollux/normalize"
	"pollux/providers/format"
	"pollux/providers/signatures"
)

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
// is of its URL. The provider must send messages. The errors are ErrUnverified and ErrUnreadable; neither holds
// anything of the message.
func (p *Provider) Receive(h http.Header, query url.Values, body []byte, from signatures.Sender, now time.Time) (Message, error) {
	i := p.Inbound
	if !i.Verify(h, query, body, from, now) {
		return Message{}, ErrUnverified
	}
	if normalize.CheckBody(body) != nil {
		return Message{}, ErrUnreadable
	}
	m := Message{ID: i.MessageID(h, body)}
	if i.Types != "" {
		if word := gjson.GetBytes(body, i.Types); word.IsArray() || word.IsObject() || !slices.Contains(i.Words, word.String()) {
			return m, nil
		}
	}
	m.TaskID = firstID([]format.IDSource{i.ID}, h, body)
	return m, nil
}
