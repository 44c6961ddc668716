package cache

import "context"

// None is the Store that keeps nothing (driver none). Its Put returns the entry
// unchanged, Stored false, and no error: there is nothing to retry, and the
// answer says that it is not stored.
type None struct{}

var _ Store = None{}

// Get always returns ErrNotFound.
func (None) Get(context.Context, *ID) (*Entry, error) { return nil, ErrNotFound }

// Put returns e as it is.
func (None) Put(_ context.Context, e *Entry) (*Entry, error) { return e, nil }

// PutLater does nothing.
func (None) PutLater(*Entry) {}

// Delete does nothing.
func (None) Delete(_ context.Context, _ *ID, generation uint64) (uint64, error) {
	return generation, nil
}

// Partition always returns ErrNotFound.
func (None) Partition(context.Context, *ID) (PartitionState, error) {
	return PartitionState{}, ErrNotFound
}

// PutPartition does nothing.
func (None) PutPartition(*ID, PartitionState) {}

// Healthy returns nil.
func (None) Healthy() error { return nil }

// Close returns nil.
func (None) Close() error { return nil }
