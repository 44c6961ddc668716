package cache

import (
	"encoding/binary"
	"errors"
	"time"
)

var errTruncated = errors.New("truncated entry")

// Flags of an encoded entry.
const (
	flagTerminal = 1 << iota
	flagFrozen
	flagSettling
	flagMissing
	flagGone
	flagSubmitted
	flagsKnown = 1<<iota - 1
)

// appendEntry appends the encoding of e: flags, then every member in a fixed
// order, strings and lists after their length, with fresh for its FreshUntil. Key
// and Partition are left out, the seal is bound to them. A change of this order needs a new packed* value.
func appendEntry(b []byte, e *Entry, fresh time.Time) []byte {
	var flags uint64
	for i, set := range [...]bool{e.Terminal, e.Frozen, e.Settling, e.Missing, e.Gone, e.Submitted} {
		if set {
			flags |= 1 << i
		}
	}
	b = binary.AppendUvarint(b, flags)
	b = binary.AppendVarint(b, int64(e.SettleStep))
	b = binary.AppendVarint(b, int64(e.NativeCode))
	b = binary.AppendVarint(b, int64(e.Polls))
	b = append(b, e.Digest[:]...)
	for _, s := range [...]string{
		e.Upstream, e.Provider, e.Revision, e.Ref, e.TaskID, e.Status, e.NativeStatus,
		e.ETag, e.NativeETag, e.NativeType, e.ErrorCode, e.Model,
	} {
		b = appendText(b, s)
	}
	for _, t := range [...]time.Time{e.CreatedAt, e.CompletedAt, e.UpdatedAt, e.FirstSeen, e.ObservedAt, fresh} {
		b = appendTime(b, t)
	}
	b = appendHistory(appendTexts(b, e.Values), e.History)
	b = appendText(b, e.Document)
	b = appendText(b, e.Native)
	b = binary.AppendUvarint(binary.AppendUvarint(b, e.Generation), e.Version)
	for _, h := range e.NativeHeader { // to the end, so that entries without are what they were before there were any
		b = appendText(appendText(b, h.Name), h.Value)
	}
	return b
}

func appendTexts(b []byte, texts []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(texts)))
	for _, t := range texts {
		b = appendText(b, t)
	}
	return b
}

func appendHistory(b []byte, history []Change) []byte {
	b = binary.AppendUvarint(b, uint64(len(history)))
	for _, c := range history {
		b = appendTime(appendText(appendText(b, c.Status), c.NativeStatus), c.At)
		b = binary.AppendVarint(b, int64(c.Poll))
	}
	return b
}

func appendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendTime keeps every instant that time.Time has, the zero one included.
func appendTime(b []byte, t time.Time) []byte {
	return binary.AppendUvarint(binary.AppendVarint(b, t.Unix()), uint64(t.Nanosecond()))
}

// decodeEntry reads what appendEntry wrote, or if it is not numbered what it
// wrote before there were generations. Empty slices come back nil; Document and
// Native alias b.
func decodeEntry(b []byte, numbered bool) (*Entry, error) {
	d := decoder{rest: b}
	e := &Entry{}
	flags := d.uvarint()
	e.Terminal, e.Frozen = flags&flagTerminal != 0, flags&flagFrozen != 0
	e.Settling, e.Missing, e.Gone = flags&flagSettling != 0, flags&flagMissing != 0, flags&flagGone != 0
	e.Submitted = flags&flagSubmitted != 0
	e.SettleStep, e.NativeCode, e.Polls = int(d.varint()), int(d.varint()), int(d.varint())
	copy(e.Digest[:], d.bytes(uint64(len(e.Digest))))
	for _, s := range [...]*string{
		&e.Upstream, &e.Provider, &e.Revision, &e.Ref, &e.TaskID, &e.Status, &e.NativeStatus,
		&e.ETag, &e.NativeETag, &e.NativeType, &e.ErrorCode, &e.Model,
	} {
		*s = d.text()
	}
	for _, t := range [...]*time.Time{&e.CreatedAt, &e.CompletedAt, &e.UpdatedAt, &e.FirstSeen, &e.ObservedAt, &e.FreshUntil} {
		*t = d.time()
	}
	e.Values, e.History = d.texts(), d.history()
	e.Document = d.bytes(d.uvarint())
	e.Native = d.bytes(d.uvarint())
	if numbered {
		e.Generation, e.Version = d.uvarint(), d.uvarint()
	}
	for numbered && len(d.rest) > 0 {
		e.NativeHeader = append(e.NativeHeader, Header{Name: d.text(), Value: d.text()})
	}
	if d.failed || len(d.rest) > 0 || flags > flagsKnown {
		return nil, errTruncated
	}
	return e, nil
}

// decoder takes values off the front of rest; after the first that does not
// fit, all are zero.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) fail() {
	d.failed, d.rest = true, nil
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count reads the length of a list. An element takes at least a byte, so a
// longer list than the rest is damage and not a reason to allocate.
func (d *decoder) count() uint64 {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.fail()
		return 0
	}
	return n
}

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.fail()
		return nil
	}
	if n == 0 {
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) texts() []string {
	n := d.count()
	if n == 0 {
		return nil
	}
	texts := make([]string, n)
	for i := range texts {
		texts[i] = d.text()
	}
	return texts
}

func (d *decoder) history() []Change {
	n := d.count()
	if n == 0 {
		return nil
	}
	history := make([]Change, n)
	for i := range history {
		history[i] = Change{Status: d.text(), NativeStatus: d.text(), At: d.time(), Poll: int(d.varint())}
	}
	return history
}

func (d *decoder) text() string { return string(d.bytes(d.uvarint())) }

func (d *decoder) time() time.Time {
	sec, nsec := d.varint(), d.uvarint()
	if d.failed {
		return time.Time{}
	}
	if nsec >= uint64(time.Second) {
		d.fail()
		return time.Time{}
	}
	return time.Unix(sec, int64(nsec)).UTC()
}
