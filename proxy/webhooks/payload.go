package webhooks

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/tidwall/gjson"

	"pollux/cache"
)

// maxDocument is the largest document that is sent whole, in bytes. The
// specification advises to stay below 20 kB; receivers' own limits often start
// at a megabyte.
const maxDocument = 256 << 10

// settled reports whether e is how its task ended.
func settled(e *cache.Entry) bool { return e.Frozen || e.Terminal && !e.Settling }

// eventOn is the event that e is for its followers, and what tells it from
// others of the same task: a task ends once, and may want something again. It
// is "" if there is nothing to tell.
func eventOn(e *cache.Entry) (event, occasion string) {
	switch {
	case settled(e):
		return OnTerminal, ""
	case e.Status == OnRequiresAction:
		return OnRequiresAction, strconv.FormatInt(enteredStatus(e).UnixMicro(), 10)
	}
	return "", ""
}

// enteredStatus is when the task got the status that it has.
func enteredStatus(e *cache.Entry) time.Time {
	at := e.FirstSeen
	for i := len(e.History) - 1; i >= 0 && e.History[i].Status == e.Status; i-- {
		at = e.History[i].At
	}
	return at
}

// deliveryID is the webhook-id of an event: the same whenever and wherever it
// is made, so that a receiver can tell what it has had.
func (v vault) deliveryID(webhook string, key *cache.ID, event, occasion string) string {
	h := v.secret.Hash("webhooks")
	h.PartString("delivery")
	h.PartString(webhook)
	h.Part(key[:])
	h.PartString(event)
	h.PartString(occasion)
	var id cache.ID
	h.Sum(&id)
	return deliveryPrefix + base64.RawURLEncoding.EncodeToString(id[:16])
}

// payload renders what a receiver gets of e. It depends on e alone.
func payload(e *cache.Entry, publicURL string) []byte {
	document := e.Document
	if len(document) > maxDocument {
		document = truncated(e, publicURL)
	}
	b := append(make([]byte, 0, len(document)+128), `{"type":"`...)
	b = append(append(b, eventType(e.Status)...), `","timestamp":"`...)
	b = e.UpdatedAt.UTC().AppendFormat(b, time.RFC3339Nano)
	return append(append(append(b, `","data":`...), document...), '}')
}

// eventType is the type of a message about a task in that status.
func eventType(status string) string { return "task." + status }

// truncated is the document of e without its output, and with where to read
// all of it.
func truncated(e *cache.Entry, publicURL string) []byte {
	short := withoutMember(e.Document, "output", "null")
	if len(short) > maxDocument {
		short = withoutMember(short, "metadata", "{}")
	}
	out := slices.Clone(short[:len(short)-1]) // without its closing brace
	for _, m := range [][2]string{{"ref", e.Ref}, {"url", publicURL + "/v1/tasks/" + e.Ref}} {
		text, err := json.Marshal(m[1])
		if err != nil {
			panic("BUG: a string cannot be rendered: " + err.Error())
		}
		out = append(append(out, `,"`+m[0]+`":`...), text...)
	}
	return append(out, `,"truncated":true}`...)
}

// withoutMember puts value in place of a member of the top level.
func withoutMember(document []byte, name, value string) []byte {
	found := gjson.GetBytes(document, name)
	if !found.Exists() || found.Index == 0 {
		return document
	}
	out := append([]byte{}, document[:found.Index]...)
	out = append(out, value...)
	return append(out, document[found.Index+len(found.Raw):]...)
}
