// Package normalize defines the task document and maps native answers onto it.
// It is pure: no I/O, no clock, and it never rewrites bytes of an upstream.
package normalize

import "time"

// Status is the canonical state of a task. Whether a task is terminal follows
// from its status alone.
type Status string

// The nine statuses of a task document.
const (
	Queued         Status = "queued"
	InProgress     Status = "in_progress"
	RequiresAction Status = "requires_action" // nothing moves until the caller acts
	Unknown        Status = "unknown"         // no usable answer yet, or a native word that no provider file lists
	Completed      Status = "completed"
	Incomplete     Status = "incomplete" // ended with truncated or partial output
	Failed         Status = "failed"
	Cancelled      Status = "cancelled"
	TimedOut       Status = "timed_out"
)

// Statuses lists every status, the terminal ones last.
var Statuses = [...]Status{Queued, InProgress, RequiresAction, Unknown, Completed, Incomplete, Failed, Cancelled, TimedOut}

// Terminal reports whether a task in status s has ended.
func (s Status) Terminal() bool {
	switch s {
	case Completed, Incomplete, Failed, Cancelled, TimedOut:
		return true
	}
	return false
}

// Valid reports whether s is one of the nine statuses.
func (s Status) Valid() bool {
	switch s {
	case Queued, InProgress, RequiresAction, Unknown:
		return true
	}
	return s.Terminal()
}

// Task is the task document before it is rendered. Raw values are JSON exactly
// as the upstream sent it, so that numbers keep every digit. Texts are parts of the
// answer that they were read in: who keeps one keeps a copy.
type Task struct {
	ID, Upstream, Provider string
	Status                 Status
	NativeStatus           string // the upstream's own word, a string by itself; "" renders as null
	StatusReason           string // "" renders as null
	CancelRequested        bool

	CreatedAt, StartedAt, CompletedAt time.Time // zero renders as null
	UpdatedAt                         time.Time // when the document last changed as Pollux saw it; not part of a Digest

	Progress       Progress
	Output         Output
	RequiredAction *RequiredAction
	Error          *Error
	Usage          Usage
	Model          *string
	Metadata       []Member // in the order of the provider file
}

// Number is a JSON number as the upstream wrote it; "" renders as null.
type Number string

// Raw is one JSON value as the upstream wrote it; nil renders as null.
type Raw []byte

// Progress tells how far a running task is.
type Progress struct {
	Percent                    Number
	Stage                      *string
	StepsCompleted, TotalSteps Number
}

// Output is what a task produced so far.
type Output struct {
	Text           *string
	Data, Messages Raw
}

// RequiredAction says what the caller has to do before the task moves on.
type RequiredAction struct {
	Type      string
	ToolCalls []ToolCall // rendered as [] when empty
}

// ToolCall is one call that the caller must answer. Arguments stays as the
// upstream sent it: a JSON string stays a string.
type ToolCall struct{ ID, Name, Arguments Raw }

// Error is the failure of the task itself, never of a poll.
type Error struct {
	Code          *string
	Type, Message string
}

// Usage is what the task consumed; a member "" renders as null.
type Usage struct{ InputTokens, OutputTokens, TotalTokens, CostUSD Number }

// Member is one named value of metadata.
type Member struct {
	Name  string
	Value Raw
}
