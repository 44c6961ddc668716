package normalize

import (
	"bytes"
	"slices"
	"strconv"
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
	dst = AppendString(append(dst, `{"object":"task","id":`...), t.ID)
	dst = AppendString(append(dst, `,"upstream":`...), t.Upstream)
	dst = AppendString(append(dst, `,"provider":`...), t.Provider)
	dst = AppendString(append(dst, `,"status":`...), string(t.Status))
	dst = strconv.AppendBool(append(dst, `,"terminal":`...), t.Status.Terminal())
	dst = appendOptional(append(dst, `,"native_status":`...), nonEmpty(t.NativeStatus))
	dst = appendOptional(append(dst, `,"status_reason":`...), nonEmpty(t.StatusReason))
	dst = strconv.AppendBool(append(dst, `,"cancel_requested":`...), t.CancelRequested)
	dst = appendTime(append(dst, `,"created_at":`...), t.CreatedAt)
	dst = appendTime(append(dst, `,"started_at":`...), t.StartedAt)
	dst = appendTime(append(dst, `,"completed_at":`...), t.CompletedAt)
	dst = appendTime(append(dst, `,"updated_at":`...), t.UpdatedAt)
	dst = t.Progress.appendJSON(append(dst, `,"progress":`...))
	dst = t.Output.appendJSON(append(dst, `,"output":`...))
	dst = t.RequiredAction.appendJSON(append(dst, `,"required_action":`...))
	dst = t.Error.appendJSON(append(dst, `,"error":`...))
	dst = t.Usage.appendJSON(append(dst, `,"usage":`...))
	dst = appendOptional(append(dst, `,"model":`...), t.Model)
	dst = append(dst, `,"metadata":{`...)
	for i, m := range t.Metadata {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, m.Name)
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
	dst = appendNumber(append(dst, `{"percent":`...), p.Percent)
	dst = appendOptional(append(dst, `,"stage":`...), p.Stage)
	dst = appendNumber(append(dst, `,"steps_completed":`...), p.StepsCompleted)
	dst = appendNumber(append(dst, `,"total_steps":`...), p.TotalSteps)
	return append(dst, '}')
}

func (o *Output) appendJSON(dst []byte) []byte {
	dst = appendOptional(append(dst, `{"text":`...), o.Text)
	dst = appendRaw(append(dst, `,"data":`...), o.Data)
	dst = appendRaw(append(dst, `,"messages":`...), o.Messages)
	return append(dst, '}')
}

func (a *RequiredAction) appendJSON(dst []byte) []byte {
	if a == nil {
		return append(dst, `null`...)
	}
	dst = AppendString(append(dst, `{"type":`...), a.Type)
	dst = appendCalls(append(dst, `,"tool_calls":`...), a.ToolCalls)
	return append(dst, '}')
}

func appendCalls(dst []byte, calls []ToolCall) []byte {
	dst = append(dst, '[')
	for i, c := range calls {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendRaw(append(dst, `{"id":`...), c.ID)
		dst = appendRaw(append(dst, `,"name":`...), c.Name)
		dst = appendRaw(append(dst, `,"arguments":`...), c.Arguments)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func (e *Error) appendJSON(dst []byte) []byte {
	if e == nil {
		return append(dst, `null`...)
	}
	dst = appendOptional(append(dst, `{"code":`...), e.Code)
	dst = AppendString(append(dst, `,"type":`...), e.Type)
	dst = AppendString(append(dst, `,"message":`...), e.Message)
	return append(dst, '}')
}

func (u *Usage) appendJSON(dst []byte) []byte {
	dst = appendNumber(append(dst, `{"input_tokens":`...), u.InputTokens)
	dst = appendNumber(append(dst, `,"output_tokens":`...), u.OutputTokens)
	dst = appendNumber(append(dst, `,"total_tokens":`...), u.TotalTokens)
	dst = appendNumber(append(dst, `,"cost_usd":`...), u.CostUSD)
	return append(dst, '}')
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
	return AppendString(dst, *s)
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
	start := 0
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			i += 1 + stringEnd(raw[i+1:])
		case ' ', '\n', '\t', '\r':
			dst = append(dst, raw[start:i]...)
			start = i + 1
		}
	}
	return append(dst, raw[start:]...)
}

// stringEnd is where the quote stands that ends the string whose inside s begins
// with. Most strings are long and hardly escaped, which IndexByte is made for.
func stringEnd(s Raw) int {
	for end := 0; ; end++ {
		n := bytes.IndexByte(s[end:], '"')
		if n < 0 {
			return len(s)
		}
		end += n
		escapes := 0
		for escapes < end && s[end-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return end
		}
	}
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string (RFC 8259, section 7). U+2028 and
// U+2029 are escaped too: they end a line in older JavaScript.
func AppendString(dst []byte, s string) []byte {
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
