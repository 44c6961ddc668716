// Package follow tells whoever waits for a task what becomes known of it:
// long-polls, event streams, batches.
package follow

import (
	"sync"
	"sync/atomic"

	"pollux/cache"
	"pollux/proxy/problem"
)

// News is what became known of a task: an entry, or why there is none any
// more. It is immutable and shared by all followers.
type News struct {
	Entry   *cache.Entry
	Problem *problem.Problem

	event, nativeEvent lazyEvent
}

// Hub hands news to followers. Each follower has a slot for the latest news
// only, so that a slow one delays nobody and costs no memory. It implements
// [poller.Observer] and is safe for concurrent use; the zero value is not
// usable.
type Hub struct {
	shards [256]hubShard
}

type hubShard struct {
	mu     sync.Mutex // guards topics and their followers
	topics map[cache.ID]*topic
}

// topic is one task that somebody follows.
type topic struct {
	partition cache.ID
	etag      string // of the latest entry told
	status    string
	frozen    bool
	followers map[*Follower]struct{}
}

// NewHub returns a hub without followers.
func NewHub() *Hub {
	h := &Hub{}
	for i := range h.shards {
		h.shards[i].topics = map[cache.ID]*topic{}
	}
	return h
}

func (h *Hub) shard(key *cache.ID) *hubShard { return &h.shards[key[0]] }

// Follower is one who follows a task. One goroutine receives from it.
type Follower struct {
	hub  *Hub
	key  cache.ID
	slot atomic.Pointer[News]
	wake chan struct{}
}

// Follow returns a follower of the task under key, which is told everything
// that is published from now on. Call Close when done.
func (h *Hub) Follow(key, partition *cache.ID) *Follower {
	return h.FollowWith(make(chan struct{}, 1), key, partition)
}

// FollowWith is Follow with a channel that several followers share, so that
// one goroutine waits for many tasks. It needs a buffer of one.
func (h *Hub) FollowWith(wake chan struct{}, key, partition *cache.ID) *Follower {
	f := &Follower{hub: h, key: *key, wake: wake}
	s := h.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[*key]
	if t == nil {
		t = &topic{partition: *partition, followers: map[*Follower]struct{}{}}
		s.topics[*key] = t
	}
	t.followers[f] = struct{}{}
	return f
}

// Wake receives when there may be news to take.
func (f *Follower) Wake() <-chan struct{} { return f.wake }

// Take returns the latest news that was not taken yet, nil if there is none.
func (f *Follower) Take() *News { return f.slot.Swap(nil) }

// Close ends the following.
func (f *Follower) Close() {
	s := f.hub.shard(&f.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[f.key]
	if t == nil {
		return
	}
	if delete(t.followers, f); len(t.followers) == 0 {
		delete(s.topics, f.key)
	}
}

func (t *topic) tell(n *News) {
	for f := range t.followers {
		f.slot.Store(n)
		select {
		case f.wake <- struct{}{}:
		default: // it will find the slot when it gets there
		}
	}
}

// Published implements [poller.Observer]. What differs only in its age is no news.
func (h *Hub) Published(e *cache.Entry) {
	s := h.shard(&e.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[e.Key]
	if t == nil || t.etag == e.NativeETag && t.status == e.Status && t.frozen == e.Frozen {
		return
	}
	t.etag, t.status, t.frozen = e.NativeETag, e.Status, e.Frozen
	t.tell(&News{Entry: e})
}

// Lost implements [poller.Observer].
func (h *Hub) Lost(key *cache.ID, why *problem.Problem) {
	s := h.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.topics[*key]; t != nil {
		t.etag = ""
		t.tell(&News{Problem: why})
	}
}

// Suspended implements [poller.Observer]: every follower in the partition is told.
func (h *Hub) Suspended(partition *cache.ID, why *problem.Problem) {
	n := &News{Problem: why}
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		for _, t := range s.topics {
			if t.partition == *partition {
				t.etag = ""
				t.tell(n)
			}
		}
		s.mu.Unlock()
	}
}

// Resumed implements [poller.Observer]: the next document says it.
func (h *Hub) Resumed(*cache.ID) {}

// Topics is how many tasks are followed.
func (h *Hub) Topics() (n int) {
	for i := range h.shards {
		h.shards[i].mu.Lock()
		n += len(h.shards[i].topics)
		h.shards[i].mu.Unlock()
	}
	return n
}
