package upstream

import (
	"fmt"
	"sync/atomic"
	"time"

	"pollux/providers"
	"pollux/providers/strictyaml"
)

// InboundConfig makes an upstream's own messages (its webhooks) welcome.
type InboundConfig struct {
	// Secret is what the upstream signs or identifies its messages with; "" for
	// one that publishes the keys that it signs with.
	Secret strictyaml.Secret `yaml:"secret"`
	// SlowPoll is how often watched tasks are polled while messages come.
	SlowPoll time.Duration `yaml:"slow_poll"`
}

// UnmarshalNode fills the defaults in before it reads what the file says.
func (c *InboundConfig) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	*c = InboundConfig{SlowPoll: 5 * time.Minute}
	type plain InboundConfig // without this method, or Decode would come back here
	return n.Decode((*plain)(c))
}

// Format keeps the secret out of what is printed: behind a pointer in a struct, fmt
// asks no member for its own.
func (c InboundConfig) Format(s fmt.State, verb rune) { c.Secret.Format(s, verb) }

// inbound checks what the config says of an upstream's messages.
func (v *validation) inbound(c *Config, p *providers.Provider) {
	if c.Inbound == nil || p == nil {
		return
	}
	switch {
	case p.Inbound == nil:
		v.Add("inbound", "provider %s does not say how messages of its upstream are verified", p.Name)
	case p.Inbound.JWKS == "" && c.Inbound.Secret == "":
		v.Add("inbound.secret", "is missing: what the upstream signs its messages with")
	case p.Inbound.JWKS != "" && c.Inbound.Secret != "":
		v.Add("inbound.secret", "must be left out: provider %s publishes the keys that it signs with", p.Name)
	case p.Inbound.JWKS == "" && !p.Inbound.Usable(string(c.Inbound.Secret)):
		v.Add("inbound.secret", "is no secret of Standard Webhooks: want base64, after whsec_ as a rule")
	}
	v.Want(c.Inbound.SlowPoll > 0, "inbound.slow_poll", "more than 0")
}

// messagesLast is for how long an upstream that has sent a message is taken for
// one that sends them.
const messagesLast = 24 * time.Hour

// messages is when an upstream sent its last one.
type messages struct{ last atomic.Int64 } // instant; 0: never

// recent reports whether the upstream can be relied on to say when there is news.
func (m *messages) recent(now time.Time) bool {
	last := m.last.Load()
	return last != 0 && instant(now)-last < int64(messagesLast)
}

// Spoke notes that the upstream has sent a message that is verified.
func (u *Upstream) Spoke(now time.Time) { u.messages.last.Store(instant(now)) }

// Unhurried is when a watched task is polled next that would be due: later, if
// its upstream says when there is news.
func (u *Upstream) Unhurried(due, now time.Time) time.Time {
	if c := u.Config.Inbound; c != nil && u.messages.recent(now) {
		return later(due, now.Add(c.SlowPoll))
	}
	return due
}
