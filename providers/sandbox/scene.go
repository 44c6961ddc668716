package sandbox

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollux/providers/sandbox/script"

	"github.com/zeebo/xxh3"
)

// scene is what the placeholders of an answer are filled from.
type scene struct {
	sim    *script.Simulation
	task   task // zero when the answer is not about a task
	params map[string]string
	now    time.Time
	nonce  uint64 // of this very request
	quota  quota
	base   string // URL of the upstream, as the caller knows it
	tasks  []byte // of a listing: its items
	cursor string // of a listing: where the next page begins

	raw    bool // not inside a JSON string: nothing is escaped
	filler int  // bytes that {filler} writes
}

// answer is one rendered HTTP answer.
type answer struct {
	code   int
	header map[string]string
	body   []byte
}

// render fills a; code is what its situation means when it does not say.
func (c *scene) render(a script.AnswerSpec, code int) answer {
	if a.Code != 0 {
		code = int(a.Code)
	}
	out := answer{code: code, header: map[string]string{"Content-Type": "application/json"}}
	raw := *c
	raw.raw = true
	for _, headers := range []map[string]script.Template{c.sim.Headers, a.Headers} {
		for name, value := range headers {
			out.header[http.CanonicalHeaderKey(name)] = string(value.Append(nil, raw.fill))
		}
	}
	body := *c
	if !strings.Contains(out.header["Content-Type"], "json") {
		body.raw = true
	}
	out.body = a.Body.Append(nil, body.fill)
	if short := c.task.bodyBytes - len(out.body); short > 0 {
		body.filler = short
		out.body = a.Body.Append(out.body[:0], body.fill)
	}
	return out
}

// fill writes one placeholder. Unknown names cannot occur: loading refuses them.
func (c *scene) fill(dst []byte, p script.Piece) []byte {
	if choice, ok := c.sim.Values[p.Name]; ok {
		return c.pick(choice).Append(dst, c.fill)
	}
	switch p.Name {
	case "id":
		return c.text(dst, c.task.id)
	case "param":
		return c.text(dst, c.params[p.Args])
	case "request":
		return c.request(dst, p)
	case "base":
		return append(dst, c.base...)
	case "base_path":
		return append(dst, c.base[max(0, strings.LastIndexByte(c.base, '/')):]...)
	case "tasks":
		return append(dst, c.tasks...)
	case "cursor":
		return append(dst, c.cursor...)
	case "canary":
		return append(dst, c.task.canary...)
	case "filler":
		return appendFiller(dst, c.filler)
	case "percent", "step", "steps", "stage":
		return c.progress(dst, p.Name)
	case "retry_after":
		return strconv.AppendInt(dst, int64(c.quota.seconds()), 10)
	case "rate_limit":
		return strconv.AppendInt(dst, int64(c.quota.limit), 10)
	case "rate_remaining":
		return strconv.AppendInt(dst, int64(c.quota.remaining), 10)
	case "uuid", "hex", "digits", "alnum", "base32", "nonce":
		return c.random(dst, p)
	}
	moment, style, _ := strings.Cut(p.Name, "_")
	return appendTime(dst, c.moment(moment), style)
}

// text writes what a caller sent, so that it cannot end a JSON string or a header.
func (c *scene) text(dst []byte, value string) []byte {
	if c.raw {
		return append(dst, strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return -1
			}
			return r
		}, value)...)
	}
	quoted, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("BUG: marshal a string: %v", err))
	}
	return append(dst, quoted[1:len(quoted)-1]...)
}

// request writes what the creating request said, or the value in its place.
func (c *scene) request(dst []byte, p script.Piece) []byte {
	path, fallback := p.Request()
	if value := c.task.request[path]; value != "" || fallback == "" {
		return c.text(dst, value)
	}
	return c.pick(c.sim.Values[fallback]).Append(dst, c.fill)
}

// pick chooses this task's template of a value. Lists of equal length are
// drawn from together, so that an answer can fit its question.
func (c *scene) pick(choice script.Choice) script.Template {
	return choice[rand.New(rand.NewPCG(c.task.seed, uint64(len(choice)))).IntN(len(choice))]
}

func (c *scene) progress(dst []byte, name string) []byte {
	done := 0.0
	if len(c.task.course) > 0 {
		done = c.task.progress(c.sim, c.now)
	}
	steps := len(c.sim.Stages)
	step := int(done * float64(steps))
	switch name {
	case "percent":
		return strconv.AppendInt(dst, int64(done*100), 10)
	case "step":
		return strconv.AppendInt(dst, int64(step), 10)
	case "steps":
		return strconv.AppendInt(dst, int64(steps), 10)
	}
	if steps == 0 {
		return dst
	}
	return c.text(dst, c.sim.Stages[min(step, steps-1)])
}

const (
	hexDigits    = "0123456789abcdef"
	numberDigits = "123456789" // without 0, so that they are a number in JSON, too
	alnumDigits  = "0123456789abcdefghijklmnopqrstuvwxyz"
	base32Digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // Crockford's, as in a ULID
)

// random writes digits that stay the same for a task and label; a nonce is new
// in every answer.
func (c *scene) random(dst []byte, p script.Piece) []byte {
	label := p.Name + ":" + p.Args
	if p.Name == "nonce" {
		label += ":" + strconv.FormatUint(c.nonce, 10)
	}
	rng := rand.New(rand.NewPCG(c.task.seed, xxh3.HashString(label)))
	if p.Name == "uuid" {
		return appendUUID(dst, rng)
	}
	size, _, _ := strings.Cut(p.Args, ":")
	n, _ := strconv.Atoi(size) // checked at load
	digits := hexDigits
	switch p.Name {
	case "digits":
		digits = numberDigits
	case "alnum":
		digits = alnumDigits
	case "base32":
		digits = base32Digits
	}
	for range n {
		dst = append(dst, digits[rng.IntN(len(digits))])
	}
	return dst
}

// appendUUID writes a version 4 UUID (RFC 9562, section 5.4).
func appendUUID(dst []byte, rng *rand.Rand) []byte {
	high := rng.Uint64()&^0xf000 | 0x4000
	low := rng.Uint64()&^(3<<62) | 1<<63
	return fmt.Appendf(dst, "%08x-%04x-%04x-%04x-%012x",
		high>>32, high>>16&0xffff, high&0xffff, low>>48, low&(1<<48-1))
}

// moment returns the instant of a name; what has not happened yet is now.
func (c *scene) moment(name string) time.Time {
	var at time.Time
	switch name {
	case "created":
		at = c.task.created
	case "started":
		if len(c.task.course) > 0 {
			at = c.task.firstRun(c.sim)
		}
	case "ended":
		if len(c.task.course) > 0 {
			at = c.task.end(c.sim)
		}
	case "reset":
		return c.quota.reset
	}
	if at.IsZero() || at.After(c.now) {
		return c.now
	}
	return at
}

func appendTime(dst []byte, at time.Time, style string) []byte {
	at = at.UTC()
	switch style {
	case "unix":
		return strconv.AppendInt(dst, at.Unix(), 10)
	case "unix_ms":
		return strconv.AppendInt(dst, at.UnixMilli(), 10)
	case "rfc3339":
		return at.AppendFormat(dst, "2006-01-02T15:04:05Z")
	case "rfc3339_ms":
		return at.AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	case "rfc3339_ns":
		return at.AppendFormat(dst, time.RFC3339Nano)
	case "offset":
		return at.AppendFormat(dst, "2006-01-02T15:04:05.000-0700")
	case "http":
		return at.AppendFormat(dst, http.TimeFormat)
	case "local_us":
		return at.AppendFormat(dst, "2006-01-02T15:04:05.000000")
	}
	panic("BUG: unknown time style " + style)
}

// appendFiller writes n bytes that are the same in JSON and out of it.
func appendFiller(dst []byte, n int) []byte {
	const words = "The quick brown fox jumps over the lazy dog. "
	dst = slices.Grow(dst, n)
	for n > 0 {
		part := words[:min(n, len(words))]
		dst, n = append(dst, part...), n-len(part)
	}
	return dst
}
