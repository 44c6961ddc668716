package cache

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// ErrSuperseded is returned by Commit when a later poll of the task was granted
// meanwhile and nothing stands yet.
var ErrSuperseded = errors.New("a later poll of the task was granted meanwhile")

// ErrUnavailable is returned at once by a shared store that cannot be reached.
var ErrUnavailable = errors.New("the store cannot be reached")

// Cluster is a Store that one or several processes share, and what they agree
// on through it: who asks an upstream about a task, what a credential may still
// spend, and what has changed. One process alone is a cluster of one (Alone).
// Implementations are safe for concurrent use; every call has a bound in time
// of its own beside ctx.
type Cluster interface {
	Store
	// Begin asks, in one round trip, before an upstream is asked about a task.
	Begin(ctx context.Context, p *Poll) (*Grant, error)
	// Commit ends what Begin granted, in one round trip, and makes the entry of
	// r durable before it returns it, with Stored set. If that does not hold,
	// because the generation was raised, a later poll was granted, or what
	// stands does not give way, Commit returns what stands, or ErrForgotten or
	// ErrSuperseded if nothing does. The rest of r holds nevertheless. Without
	// an entry it returns nil.
	Commit(ctx context.Context, r *Report) (*Entry, error)
	// CommitLater is Commit for what need not be durable: it returns at once,
	// and what is in r may be lost under load or by a crash.
	CommitLater(r *Report)
	// Next returns a version for a fact that is found without a Poll, taken
	// before the upstream is asked: larger than every one before.
	Next(ctx context.Context) (uint64, error)
	// Listen has heard called with what other processes changed, in the order
	// of the changes, by one goroutine. lost says that notices may be missing:
	// anything may have changed. Call it once, before the first Begin.
	Listen(heard func(notices []Notice, lost bool))
	// Current reports whether notices flow. While they do not, what is in
	// memory is not to be believed before a look at the store. It costs an
	// atomic load.
	Current() bool
	// Members returns the processes that share the store, as last heard.
	Members() *Members
	// Lags returns how long notices take until each of them hears, by ID, as last
	// heard. Of whom that is not known is not in it.
	Lags() map[string]time.Duration
}

// Poll is one poll of an upstream that is about to be made.
type Poll struct {
	Key ID
	// Credential is whose pause, budget and State are meant: the partition of who
	// sends the same credential, and selects nothing.
	Credential ID
	// Generation and Version are of what the caller has. A Version of zero is
	// nothing, of a generation that is at least Generation.
	Generation, Version uint64
	// Lease is how long nobody else may ask after the same task: the time that
	// the upstream is given, and a second. Zero only looks what stands: it takes
	// nothing and grants nothing.
	Lease time.Duration
	// Budget is what the credential may spend; nil: as much as it likes.
	Budget *Budget
	// Force asks although what stands is fresh.
	Force bool
}

// Grant is what a store says to a Poll. Where Token is zero the upstream is not
// to be asked now, for one of the reasons that stand in the order of their
// weight: what stands is fresh, Paused, Busy, Spent.
type Grant struct {
	// Token is the version of what the upstream will say. It obliges to a Commit.
	Token uint64
	// Generation is the key's: that of what the upstream will say.
	Generation uint64
	// Entry is what stands if it is newer than what the caller has.
	Entry *Entry
	// ObservedAt and FreshUntil are when the upstream last said what stands, and
	// how long that is good for, by the clock of this process; zero: nothing
	// stands, or nothing but what the caller has.
	ObservedAt, FreshUntil time.Time
	// Known reports whether anything is known of the credential: its State.
	// Suspended is for the caller to judge, it refuses no Token.
	Known bool
	State PartitionState

	Paused time.Duration // how long the upstream wants no polls from the credential
	Busy   time.Duration // how long at most somebody else may be asking after this task
	Spent  time.Duration // how long until the credential may spend again
}

// Report is what became of a Poll that was granted.
type Report struct {
	Key, Credential   ID     // of the Poll
	Generation, Token uint64 // of the Grant
	// Entry is what the upstream said if that changed anything, else nil. Its
	// Generation and Version are those of the Grant.
	Entry *Entry
	// ObservedAt and FreshUntil are as of Entry, also when nothing changed;
	// zero: the upstream said nothing of the task.
	ObservedAt, FreshUntil time.Time
	// Unsent says that no request was sent: what it would have spent of Budget
	// goes back.
	Unsent bool
	Budget *Budget // of the Poll
	// Pause is how long the upstream wants no polls from the credential; zero
	// changes nothing.
	Pause time.Duration
	// State is what is known of the credential now, if that changed.
	State *PartitionState
	// Lost is called if CommitLater could not have Entry written; nil: nobody
	// wants to know. It must return at once.
	Lost func(key *ID)
}

// Drop notes that the entry of r will not be written.
func (r *Report) Drop() {
	if r.Lost != nil && r.Entry != nil {
		r.Lost(&r.Key)
	}
}

// Notice says that something newer is known of a task, that it was forgotten,
// or that a poll has ended for which somebody waits; or, where Key is a
// partition's, that its State changed. It only wakes: the store has the value.
type Notice struct {
	Key                 ID
	Generation, Version uint64
	Webhook             string // instead: the ID of one that was registered, changed or ended
}

// ClusterOf is store if several processes may share it, else the cluster of one
// over it.
func ClusterOf(store Store) Cluster {
	if c, ok := store.(Cluster); ok {
		return c
	}
	return Alone(store)
}

// Accounts are values that processes which share a store change together. Losing
// one costs no answer.
type Accounts interface {
	// Account replaces what is kept under name by what change makes of it, nil at
	// first, while no other process may. change is called once at most.
	Account(ctx context.Context, name string, change func(kept []byte) ([]byte, error)) error
}

// Budget is how many requests a credential may make in a time, by the generic
// cell rate algorithm (ITU-T I.371): Burst at once, then one every Per/Requests.
type Budget struct {
	Requests int
	Per      time.Duration
	Burst    int // 0: Requests
}

// Interval is the time in which one request is earned.
func (b *Budget) Interval() time.Duration { return b.Per / time.Duration(max(1, b.Requests)) }

// Tolerance is how far ahead of time requests may be, counted from the
// theoretical arrival time.
func (b *Budget) Tolerance() time.Duration {
	burst := cmp.Or(b.Burst, b.Requests)
	return time.Duration(max(1, burst)-1) * b.Interval()
}

// Spend takes one request at now. due is the theoretical arrival time of the
// request, zero for the first ever; the one of the next is returned, and how
// long to wait if there is none to spend, when due stays as it was.
func (b *Budget) Spend(due, now time.Time) (next time.Time, wait time.Duration) {
	if due.Before(now) {
		due = now
	}
	if wait = due.Sub(now) - b.Tolerance(); wait > 0 {
		return due, wait
	}
	return due.Add(b.Interval()), 0
}
