package format

import "pollux/providers/signatures"

// Inbound is how an upstream's own messages (its webhooks) are verified and
// which task they are about. Nothing else in them is believed.
type Inbound struct {
	signatures.Scheme
	ID    IDSource // in a message
	Types string   // GJSON path of the message's type, "" if every message is about a task
	Words []string // types that are hints
}

func (l *loader) inbound() {
	f := l.written.Inbound
	if f == nil {
		return
	}
	i := &Inbound{Scheme: f.Verify.Scheme(l.fault)}
	if f.ID.Node == nil {
		l.fault(nil, "inbound.id", "is missing: the GJSON path of the task's id in a message")
	} else {
		i.ID = l.idSource(&f.ID, true)
	}
	if t := f.Types; t != nil {
		l.path(t.Path)
		if i.Types = t.Path.Value; t.Path.Node == nil {
			l.fault(nil, "inbound.types.path", "is missing: the GJSON path of the message's type")
		}
		if len(t.Words) == 0 {
			l.fault(nil, "inbound.types.words", "is missing: the types of messages that tell about a task")
		}
		for _, word := range t.Words {
			i.Words = append(i.Words, word.Value)
		}
	}
	l.file.Inbound = i
}
