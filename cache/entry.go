// Package cache keeps what upstreams said: entries, their keys and freshness,
// the memory tier, and the interface of the durable store behind it.
package cache

import (
	"cmp"
	"time"
)

// ID is a keyed hash (HMAC-SHA256): of an entry's key or of a partition.
type ID [32]byte

// Entry is one answer about one task in one partition. It is immutable and
// complete: whatever a client may be told is in it, already rendered.
type Entry struct {
	Key       ID
	Partition ID

	Upstream string   // name in the config
	Provider string   // provider file's name
	Revision string   // of the provider file that mapped it
	Ref      string   // as in "orq/my-agent/01K6" or "gumloop/abc?user_id=u"
	Values   []string // the reference's values, as providers.Reference has them ("" = not sent)

	TaskID       string
	Status       string // canonical
	NativeStatus string
	Terminal     bool
	Frozen       bool // terminal, settled, not reopenable: never asked for again
	Settling     bool // terminal, and asked again by Pollux itself
	SettleStep   int  // settling polls already made
	Polls        int  // upstream polls that were answered about the task
	Stored       bool // the store has acknowledged it
	Missing      bool // the upstream says there is no such task; of what is below only the answer, ObservedAt and FreshUntil are set; never stored
	Gone         bool // Missing, and the task was known before
	Unconfirmed  bool // Gone, and too few polls have said so for the task to be taken for lost

	Document   []byte   // rendered task document
	Digest     [16]byte // of the document without volatile members and updated_at: equal digests, unchanged document
	ETag       string   // weak validator of Document, with quotes: W/"…"
	NativeETag string   // weak validator of Document with the native body; differs when a field that is not volatile differs

	Native     []byte // the upstream's bytes, exactly
	NativeType string // their Content-Type
	NativeCode int    // their HTTP status
	// NativeHeader is what else of their header belongs to what they say, such as
	// Location, as it was sent.
	NativeHeader []Header
	History      []Change
	CreatedAt    time.Time // zero: not known
	CompletedAt  time.Time // zero: not known
	UpdatedAt    time.Time // when Document last changed as Pollux saw it
	FirstSeen    time.Time // when Pollux first saw the task
	Submitted    bool      // its create request passed through, so FirstSeen is when it began
	ErrorCode    string
	Model        string

	// Generation counts how often what was known of the task was declared void
	// (a forget, a freshen, a reopening), and Version orders what was asked
	// within one: the later the upstream was asked, the larger. Zero is the
	// oldest of either. A store keeps the entry that is newest by both.
	Generation, Version uint64
	// Alone counts what was learnt since Version without the store that several
	// processes share, which alone gives versions; memory only.
	Alone uint64

	// ObservedAt is when the upstream said so. It carries a monotonic reading
	// in memory; the store keeps wall time and clamps it to the present when
	// it is loaded.
	ObservedAt time.Time
	// FreshUntil is when asking again may tell something new. Ignored when Frozen.
	FreshUntil time.Time
	// Asked is how long the upstream itself asked to be left alone about the
	// task, 0 if it did not. The store keeps it of running tasks.
	Asked time.Duration
	// PersistedAt is when the store was last given this task; memory only.
	PersistedAt time.Time
	// LookedAt is when the store last had nothing newer than this; memory only.
	LookedAt time.Time
	// Judged says that Document is what the provider file of Revision makes of
	// Native by itself, without a remark: the same answer says the same. Of running
	// tasks, and memory only.
	Judged bool
}

// Header is one line of an answer's header, its name in canonical form.
type Header struct{ Name, Value string }

// Change is one change of a task's status.
type Change struct {
	Status       string
	NativeStatus string
	At           time.Time
	Poll         int // which of the task's answered upstream polls found it, from 1; 0: none did
}

// NewerThan reports whether e replaces other by generation, version, and what
// was learnt alone since; equal ones do not.
func (e *Entry) NewerThan(other *Entry) bool {
	return cmp.Or(cmp.Compare(e.Generation, other.Generation), cmp.Compare(e.Version, other.Version), cmp.Compare(e.Alone, other.Alone)) > 0
}

// Age is how long ago the upstream said what the entry holds, never negative.
func (e *Entry) Age(now time.Time) time.Duration { return max(0, now.Sub(e.ObservedAt)) }

// Fresh reports whether asking again cannot tell anything new yet.
func (e *Entry) Fresh(now time.Time) bool { return e.Frozen || now.Before(e.FreshUntil) }

// Settled reports whether e is how its task ended: it has, and its end is not
// looked at again.
func (e *Entry) Settled() bool { return e.Terminal && !e.Settling }

// GivesWayTo reports whether next may stand in place of e: it is not older, and
// nothing replaces a frozen entry within its generation.
func (e *Entry) GivesWayTo(next *Entry) bool {
	return !e.NewerThan(next) && !(e.Frozen && e.Generation == next.Generation)
}

// Size is what the entry weighs in the memory tier, in bytes, overhead included.
func (e *Entry) Size() int64 {
	n := 600 + len(e.Ref) + len(e.TaskID) + len(e.Document) + len(e.Native) + len(e.NativeType) + len(e.ETag) + len(e.NativeETag)
	for _, v := range e.Values {
		n += 16 + len(v)
	}
	for _, h := range e.NativeHeader {
		n += 32 + len(h.Name) + len(h.Value)
	}
	return int64(n + 80*len(e.History))
}
