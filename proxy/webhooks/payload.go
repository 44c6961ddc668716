package webhooks

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"github.com/zeebo/xxh3"

	"pollux/cache"
	"pollux/proxy/wire"
)

// maxDocument is the largest document that is sent whole, in bytes. The
// specification advises to stay below 20 kB; receivers' own limits often start
// at a megabyte.
const maxDocument = 256 << 10

// eventOn is the event that e is for its followers, and what tells it from
// others of the same task: a task ends once, and may want something again. It
// is "" if there is nothing to tell.
func eventOn(e *cache.Entry) (event, occasion string) {
	switch {
	case e.Settled():
		return OnTerminal, ""
	case e.Status == OnRequiresAction:
		return OnRequiresAction, strconv.FormatInt(enteredStatus(e).UnixMicro(), 10) + " " + need(e)
	}
	return "", ""
}

// need stands for what a task wants: what it calls, in the upstream's word, and
// what it says. It may want a second thing, or ask a second question, without
// anything between that Pollux sees.
func need(e *cache.Entry) string {
	wanted := gjson.GetBytes(e.Document, "required_action").Raw
	asks := gjson.GetBytes(e.Document, "output.text").Raw
	return strconv.FormatUint(xxh3.HashString(wanted+" "+e.NativeStatus+" "+asks), 36)
}

// enteredStatus is when the task got the status that it has, in the upstream's
// word.
func enteredStatus(e *cache.Entry) time.Time {
	if n := len(e.History); n > 0 {
		return e.History[n-1].At
	}
	return e.FirstSeen
}

// deliveryID is the webhook-id of an event: the same whenever and wherever it
// is made, so that a receiver can tell what it has had.
func (v vault) deliveryID(webhook string, key *cache.ID, event, occasion string) string {
	id := v.secret.Sum("webhooks", "delivery", webhook, string(key[:]), event, occasion)
	return deliveryPrefix + base64.RawURLEncoding.EncodeToString(id[:16])
}

// eventID names an event, whoever is told of it.
func (v vault) eventID(key *cache.ID, event, occasion string) string {
	id := v.secret.Sum("webhooks", "event", string(key[:]), event, occasion)
	return base64.RawURLEncoding.EncodeToString(id[:16])
}

// payload renders what a receiver gets of e. It depends on e alone.
func payload(e *cache.Entry, publicURL string) []byte {
	var head []byte
	head = append(append(append(head, `{"type":"`...), eventType(e.Status)...), `","timestamp":"`...)
	head = append(e.UpdatedAt.UTC().AppendFormat(head, time.RFC3339Nano), `","data":`...)
	document := e.Document
	if len(document) > maxDocument {
		document = truncated(e, publicURL, maxDocument-len(head)-1)
	}
	b := make([]byte, 0, len(head)+len(document)+1)
	return append(append(append(b, head...), document...), '}')
}

// eventType is the type of a message about a task in that status.
func eventType(status string) string { return "task." + status }

// keptText is how much of a text is kept where a document has to become shorter,
// in bytes.
const keptText = 1000

// shortened is what takes the place of members, one after the other, until a
// document is short enough.
var shortened = []struct {
	path string
	with func(gjson.Result) string
}{
	{"output", null},
	{"metadata", func(gjson.Result) string { return "{}" }},
	{"required_action", func(r gjson.Result) string {
		if !r.IsObject() {
			return r.Raw
		}
		return `{"type":` + start(r.Get("type")) + `,"tool_calls":[]}`
	}},
	{"error.message", start}, {"error.code", start}, {"error.type", start},
	{"progress.stage", start}, {"status_reason", start}, {"native_status", start}, {"model", start},
	{"usage", func(gjson.Result) string {
		return `{"input_tokens":null,"output_tokens":null,"total_tokens":null,"cost_usd":null}`
	}},
}

func null(gjson.Result) string { return "null" }

// start is the beginning of a string, and what is no string as it is.
func start(r gjson.Result) string {
	if r.Type != gjson.String || len(r.Str) <= keptText {
		return r.Raw
	}
	return string(wire.Marshal(strings.ToValidUTF8(r.Str[:keptText], "")))
}

// truncated is the document of e without its output, and without what else makes
// it longer than limit, with where to read all of it.
func truncated(e *cache.Entry, publicURL string, limit int) []byte {
	tail := fmt.Sprintf(`,"ref":%s,"url":%s,"truncated":true}`, wire.Marshal(e.Ref), wire.Marshal(publicURL+"/v1/tasks/"+e.Ref))
	short := e.Document
	for i, member := range shortened {
		if i > 0 && len(short)-1+len(tail) <= limit {
			break
		}
		short = replaced(short, member.path, member.with)
	}
	return append(slices.Clone(short[:len(short)-1]), tail...)
}

// replaced puts what with returns in place of a member that is there.
func replaced(document []byte, path string, with func(gjson.Result) string) []byte {
	found := gjson.GetBytes(document, path)
	if !found.Exists() || found.Index == 0 {
		return document
	}
	return slices.Concat(document[:found.Index], []byte(with(found)), document[found.Index+len(found.Raw):])
}
