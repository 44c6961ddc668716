package normalize

import (
	"slices"
	"time"
	"unicode/utf8"
)

// AppendJSON appends the task document to dst and returns it: one line, the
// keys in their documented order and all present, no trailing newline. Raw
// values lose insignificant whitespace and nothing else: digits, escapes and
// the order of keys stay, so that a document fits in one line of an event
// stream. What is not UTF-8 in a string becomes U+FFFD.
func (t *Task) AppendJSON(dst []byte) []byte {
	dst = slices.Grow(dst, t.room())
	dst = append(dst, `{"object":"task","id":`...)
	dst = appendString(dst, t.ID)
	dst = append(dst, `,"upstream":`...)
	dst = appendString(dst, t.Upstream)
	dst = append(dst, `,"provider":`...)
	dst = appendString(dst, t.Provider)
	dst = append(dst, `,"status":`...)
	dst = appendString(dst, string(t.Status))
	dst = append(dst, `,"terminal":`...)
	dst = appendBool(dst, t.Status.Terminal())
	dst = append(dst, `,"native_status":`...)
	dst = appendOptional(dst, nonEmpty(t.NativeStatus))
	dst = append(dst, `,"status_reason":`...)
	dst = appendOptional(dst, nonEmpty(t.StatusReason))
	dst = append(dst, `,"cancel_requested":`...)
	dst = appendBool(dst, t.CancelRequested)
	dst = append(dst, `,"created_at":`...)
	dst = appendTime(dst, t.CreatedAt)
	dst = append(dst, `,"started_at":`...)
	dst = appendTime(dst, t.StartedAt)
	dst = append(dst, `,"completed_at":`...)
	dst = appendTime(dst, t.CompletedAt)
	dst = append(dst, `,"updated_at":`...)
	dst = appendTime(dst, t.UpdatedAt)
	dst = append(dst, `,"progress":`...)
	dst = t.Progress.appendJSON(dst)
	dst = append(dst, `,"output":`...)
	dst = t.Output.appendJSON(dst)
	dst = append(dst, `,"required_action":`...)
	dst = t.RequiredAction.appendJSON(dst)
	dst = append(dst, `,"error":`...)
	dst = t.Error.appendJSON(dst)
	dst = append(dst, `,"usage":`...)
	dst = t.Usage.appendJSON(dst)
	dst = append(dst, `,"model":`...)
	dst = appendOptional(dst, t.Model)
	dst = append(dst, `,"metadata":{`...)
	for i, m := range t.Metadata {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, m.Name)
		dst = append(dst, ':')
		dst = appendRaw(dst, m.Value)
	}
	return append(dst, `}}`...)
}

// room is about how many bytes the document takes, so that it seldom grows while it
// is made: the keys, and whatever can be long.
func (t *Task) room() int {
	n := 640 + len(t.ID) + len(t.Upstream) + len(t.Provider) + len(t.NativeStatus) + len(t.Output.Data) + len(t.Output.Messages)
	if t.Output.Text != nil {
		n += len(*t.Output.Text) + len(*t.Output.Text)/16 // line breaks and quotes are escaped
	}
	if t.Error != nil {
		n += len(t.Error.Type) + len(t.Error.Message)
	}
	for _, m := range t.Metadata {
		n += len(m.Name) + len(m.Value) + 4
	}
	return n
}

func (p *Progress) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"percent":`...)
	dst = appendNumber(dst, p.Percent)
	dst = append(dst, `,"stage":`...)
	dst = appendOptional(dst, p.Stage)
	dst = append(dst, `,"steps_completed":`...)
	dst = appendNumber(dst, p.StepsCompleted)
	dst = append(dst, `,"total_steps":`...)
	dst = appendNumber(dst, p.TotalSteps)
	return append(dst, '}')
}

func (o *Output) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"text":`...)
	dst = appendOptional(dst, o.Text)
	dst = append(dst, `,"data":`...)
	dst = appendRaw(dst, o.Data)
	dst = append(dst, `,"messages":`...)
	dst = appendRaw(dst, o.Messages)
	return append(dst, '}')
}

func (a *RequiredAction) appendJSON(dst []byte) []byte {
	if a == nil {
		return append(dst, `null`...)
	}
	dst = append(dst, `{"type":`...)
	dst = appendString(dst, a.Type)
	dst = append(dst, `,"tool_calls":`...)
	dst = appendCalls(dst, a.ToolCalls)
	return append(dst, '}')
}

func appendCalls(dst []byte, calls []ToolCall) []byte {
	dst = append(dst, '[')
	for i, c := range calls {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"id":`...)
		dst = appendRaw(dst, c.ID)
		dst = append(dst, `,"name":`...)
		dst = appendRaw(dst, c.Name)
		dst = append(dst, `,"arguments":`...)
		dst = appendRaw(dst, c.Arguments)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func (e *Error) appendJSON(dst []byte) []byte {
	if e == nil {
		return append(dst, `null`...)
	}
	dst = append(dst, `{"code":`...)
	dst = appendOptional(dst, e.Code)
	dst = append(dst, `,"type":`...)
	dst = appendString(dst, e.Type)
	dst = append(dst, `,"message":`...)
	dst = appendString(dst, e.Message)
	return append(dst, '}')
}

func (u *Usage) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"input_tokens":`...)
	dst = appendNumber(dst, u.InputTokens)
	dst = append(dst, `,"output_tokens":`...)
	dst = appendNumber(dst, u.OutputTokens)
	dst = append(dst, `,"total_tokens":`...)
	dst = appendNumber(dst, u.TotalTokens)
	dst = append(dst, `,"cost_usd":`...)
	dst = appendNumber(dst, u.CostUSD)
	return append(dst, '}')
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, `true`...)
	}
	return append(dst, `false`...)
}

func appendNumber(dst []byte, n Number) []byte {
	if n == "" {
		return append(dst, `null`...)
	}
	return append(dst, n...)
}

// appendTime appends t in UTC with as few fractional digits as are exact, as
// RFC 3339 has it; null when t is zero.
func appendTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(dst, `null`...)
	}
	dst = append(dst, '"')
	dst = t.UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, '"')
}

func appendOptional(dst []byte, s *string) []byte {
	if s == nil {
		return append(dst, `null`...)
	}
	return appendString(dst, *s)
}

func nonEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// appendRaw appends raw without the whitespace between its tokens.
func appendRaw(dst []byte, raw Raw) []byte {
	if len(raw) == 0 {
		return append(dst, `null`...)
	}
	inString, escaped := false, false
	start := 0
	for i, c := range raw {
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case !inString && (c == ' ' || c == '\n' || c == '\t' || c == '\r'):
			dst = append(dst, raw[start:i]...)
			start = i + 1
		}
	}
	return append(dst, raw[start:]...)
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string (RFC 8259, section 7). U+2028 and
// U+2029 are escaped too: they end a line in older JavaScript.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(append(dst, s[start:i]...), "\uFFFD"...)
			start = i + size
		case r == '\u2028' || r == '\u2029':
			dst = append(append(dst, s[start:i]...), `\u202`...)
			dst = append(dst, hexDigits[r&0xf])
			start = i + size
		}
		i += size
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}
