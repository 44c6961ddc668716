package normalize

import (
	"bytes"
	"cmp"
	"time"
	"unicode/utf8"
)

// resultDocument is the result as sources read it, nil if it is no JSON.
func resultDocument(n *NativeResult) *document {
	if n == nil || CheckValue(n.Body) != nil {
		return nil
	}
	return newDocument(n.Body)
}

// resultSource is what traces call the answer to the result's own request.
const resultSource = "the answer for the result"

// takeResult puts the answer to the result's own request into the document:
// as a whole where the file says so, and its error if it is one.
func (m *Mapping) takeResult(t *Task, n *NativeResult, traces *[]FieldTrace) {
	switch {
	case n == nil:
	case n.Failed != nil:
		t.Error = &Error{
			Code: cmp.Or(n.Failed.Code, t.Error.Code), Type: cmp.Or(n.Failed.Type, t.Error.Type), Message: cmp.Or(n.Failed.Message, t.Error.Message),
		}
		if n.Failed.Message != "" {
			record(traces, FieldTrace{"error.message", AppendString(nil, n.Failed.Message), []SourceTrace{{Source: resultSource, Outcome: outcomeUsed}}})
		}
	case m.resultInto != "":
		t.Output.take(n.Body, m.resultInto)
		record(traces, FieldTrace{m.resultInto, shown(n.Body), []SourceTrace{{Source: "the whole result", Outcome: outcomeUsed}}})
	}
}

// take fills the output with a whole answer: a JSON string or plain text
// becomes the text, everything else the data. What the data were before, such
// as where the result is, goes with the text if they are what the file wants
// filled. An empty answer changes nothing.
func (o *Output) take(body []byte, into string) {
	body = bytes.Trim(body, " \t\r\n")
	text := string(body)
	switch {
	case len(body) == 0 || text == "null":
		return
	case CheckValue(body) != nil:
	case body[0] == '"':
		text = decodeString(text)
	default:
		o.Data = Raw(body)
		return
	}
	if o.Text = &text; into == "output.data" {
		o.Data = nil
	}
}

// shown is a whole answer as JSON.
func shown(body []byte) Raw {
	if CheckValue(body) == nil {
		return Raw(body)
	}
	return AppendString(nil, string(body))
}

// CheckResult reports why body cannot be a result, which is JSON or other text.
func CheckResult(body []byte) error {
	if utf8.Valid(body) {
		return nil
	}
	return errNotUTF8
}

// expiresMember is where a document says until when it can be used.
const expiresMember = "expires_at"

// Expire completes t, a terminal task whose answer does not tell when it
// ended, with the time until which it can be used: ended is when it was first
// seen terminal. It returns that time, zero if the file names none.
func (m *Mapping) Expire(t *Task, ended time.Time) time.Time {
	if m.expiresAfter <= 0 || !t.Status.Terminal() {
		return time.Time{}
	}
	at := ended
	if !t.CompletedAt.IsZero() {
		at = t.CompletedAt
	}
	at = at.Add(m.expiresAfter).UTC()
	t.expire(at)
	return at
}

// expire sets metadata.expires_at, unless at is zero.
func (t *Task) expire(at time.Time) {
	if at.IsZero() {
		return
	}
	value := Raw(appendTime(nil, at))
	for i := range t.Metadata {
		if t.Metadata[i].Name == expiresMember {
			t.Metadata[i].Value = value
			return
		}
	}
	t.Metadata = append(t.Metadata, Member{expiresMember, value})
}
