package cache

import (
	"context"
	"errors"
	"time"
)

// ErrNotFound is returned by a store that has nothing under a key. A value that
// cannot be opened (damaged, sealed under another secret) counts as not found.
var ErrNotFound = errors.New("not found")

// ErrForgotten is returned for an entry of a generation that was forgotten.
var ErrForgotten = errors.New("the task was forgotten meanwhile")

// Store is the durable tier. Implementations are safe for concurrent use and
// never panic; calls obey ctx. Writes of one process take effect in the order
// in which they were called. An entry replaces what stands only where that gives
// way to it (Entry.GivesWayTo).
type Store interface {
	// Get returns the entry under key. Its Stored is true.
	Get(ctx context.Context, key *ID) (*Entry, error)
	// Put makes e durable before it returns, and returns it with Stored set (a
	// copy). If e does not replace what stands, Put returns the entry that
	// stands, and after a Delete of a later generation ErrForgotten.
	Put(ctx context.Context, e *Entry) (*Entry, error)
	// PutLater queues e and returns at once; it may be dropped under load or
	// by a crash. It obeys the order of writes and the rule of Put.
	PutLater(e *Entry)
	// Delete removes the entry under key durably, also when there is none, and
	// leaves the generation behind, for longer than any poll that began before
	// can take (an hour in a store that several processes share): entries of an
	// older one are refused. If a generation that is not older stands already,
	// the one after that is left behind. Delete returns which it is. Generation
	// zero removes the entry and leaves nothing behind.
	Delete(ctx context.Context, key *ID, generation uint64) (uint64, error)
	// Partition returns what is known of a partition, or ErrNotFound.
	Partition(ctx context.Context, id *ID) (PartitionState, error)
	// PutPartition queues the state of a partition. It obeys the order of
	// writes: a Put that returns afterwards made it durable too.
	PutPartition(id *ID, state PartitionState)
	// Healthy reports the last failure of a write, nil while writes succeed.
	Healthy() error
	// Close flushes what is queued and closes the store.
	Close() error
}

// PartitionState is what must survive a restart about a partition.
type PartitionState struct {
	Upstream    string
	LastSuccess time.Time // last successful answer of the upstream to this credential
	Suspended   bool      // the upstream refused the credential, and no success since
	Credential  [16]byte  // keyed hash of the held credential of that success; zero: not held, or not known
	Of          ID        // the partition of the same credential with nothing selected; zero: this one
}
