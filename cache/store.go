package cache

import (
	"context"
	"errors"
	"time"
)

// ErrNotFound is returned by a store that has nothing under a key. A value that
// cannot be opened (damaged, sealed under another secret) counts as not found.
var ErrNotFound = errors.New("not found")

// Store is the durable tier. Implementations are safe for concurrent use and
// never panic; calls obey ctx. Writes of one process take effect in the order
// in which they were called.
type Store interface {
	// Get returns the entry under key. Its Stored is true.
	Get(ctx context.Context, key *ID) (*Entry, error)
	// Put makes e durable before it returns. A frozen entry is never replaced
	// by one that is not frozen: then Put returns the entry that stands and
	// no error. Otherwise it returns e with Stored set (a copy).
	Put(ctx context.Context, e *Entry) (*Entry, error)
	// PutLater queues e and returns at once; it may be dropped under load or
	// by a crash. It obeys the order of writes and the rule of Put.
	PutLater(e *Entry)
	// Delete removes the entry under key durably, also when there is none.
	Delete(ctx context.Context, key *ID) error
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
}
