package upstream

import (
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"golang.org/x/time/rate"

	"pollux/cache"
)

// epoch is what monotonic instants in atomics count from; 0 means never.
var epoch = time.Now()

func instant(t time.Time) int64 {
	if i := int64(t.Sub(epoch)); i != 0 {
		return i
	}
	return 1
}

func fromInstant(i int64) time.Time { return epoch.Add(time.Duration(i)) }

// left is how long it is until the instant, 0 if it is past or never.
func left(until int64, now time.Time) time.Duration {
	if until == 0 {
		return 0
	}
	return max(0, time.Duration(until-instant(now)))
}

// Partition is what Pollux knows of one credential at one upstream: whether it
// may see stored answers, and its share of the upstream.
type Partition struct {
	ID       cache.ID
	Upstream string

	lastSuccess atomic.Int64 // instant; 0: never
	suspended   atomic.Bool
	pausedUntil atomic.Int64 // instant
	persisted   atomic.Int64 // instant of the last write to the store
	breaker     atomic.Pointer[breaker]
	accepted    atomic.Pointer[[16]byte] // held.account of the last success; nil: none, or not known

	mu      sync.Mutex // guards what follows
	due     time.Time  // of the budget (cache.Budget), as far as this process knows
	pledged int        // upstream polls of it, not spent yet
	misses  *rate.Limiter
}

// Restore takes over what the store knew. Wall time is trusted only as far as
// it lies in the past.
func (part *Partition) Restore(s cache.PartitionState, now time.Time) {
	part.suspended.Store(s.Suspended)
	if s.LastSuccess.IsZero() {
		return
	}
	if s.Credential != ([16]byte{}) {
		part.accepted.Store(&s.Credential)
	}
	ago := max(0, now.Round(0).Sub(s.LastSuccess))
	part.lastSuccess.Store(instant(now.Add(-ago)))
	part.persisted.Store(instant(now))
}

// Suspended reports whether the upstream refused the credential, and has not
// accepted it since.
func (part *Partition) Suspended() bool { return part.suspended.Load() }

// WasAccepted reports whether the upstream ever accepted the credential, as far
// as is known.
func (part *Partition) WasAccepted() bool {
	return part.lastSuccess.Load() != 0 || part.accepted.Load() != nil
}

// Authorized reports whether stored answers may be served without asking.
func (part *Partition) Authorized(u *Upstream, now time.Time) bool {
	return part.within(u, now, u.Config.Reauthorize)
}

// excused reports whether stored answers may be served although the upstream
// could not be asked.
func (part *Partition) excused(u *Upstream, now time.Time) bool {
	return part.within(u, now, u.Config.Reauthorize+u.grace())
}

func (part *Partition) within(u *Upstream, now time.Time, d time.Duration) bool {
	if part.suspended.Load() {
		return false
	}
	if u.Held { // callers are let in by their Pollux key; the credential is ours
		return part.Holds(u)
	}
	last := part.lastSuccess.Load()
	return last != 0 && instant(now)-last <= int64(d)
}

// Holds reports whether the upstream has accepted the credential that is held
// now: after it was replaced, what is stored may be another account's. A store
// from before credentials were kept is believed.
func (part *Partition) Holds(u *Upstream) bool {
	accepted := part.accepted.Load()
	if accepted == nil {
		return part.lastSuccess.Load() != 0
	}
	return *accepted == u.heldAccount()
}

// reauthorizeLeft is how long stored answers may still be served.
func (part *Partition) reauthorizeLeft(u *Upstream, now time.Time) time.Duration {
	if u.Held {
		return u.Config.Reauthorize
	}
	return max(0, u.Config.Reauthorize-time.Duration(instant(now)-part.lastSuccess.Load()))
}

// persistEvery bounds how much of reauthorize a crash can cost.
const persistEvery = 30 * time.Second

// Succeeded notes that the upstream let the credential in. It reports whether
// that ends a suspension, or is the first of a credential that Pollux holds.
// account is that of the credential that was sent, zero if Pollux holds none.
func (part *Partition) Succeeded(u *Upstream, account [16]byte, store cache.Store, now time.Time) (resumed bool) {
	at := instant(now)
	part.lastSuccess.Store(at)
	resumed = part.suspended.CompareAndSwap(true, false)
	if u.Held {
		if before := part.accepted.Load(); before == nil || *before != account {
			accepted := account
			part.accepted.Store(&accepted)
			resumed = true
		}
	}
	last := part.persisted.Load()
	every := min(persistEvery, u.Config.Reauthorize/20)
	if !resumed && last != 0 && at-last < int64(every) {
		return false
	}
	part.persisted.Store(at)
	store.PutPartition(&part.ID, cache.PartitionState{Upstream: part.Upstream, LastSuccess: now, Credential: account})
	return resumed
}

// Suspend notes that the upstream refused the credential itself. It reports
// whether that is news.
func (part *Partition) Suspend(store cache.Store) bool {
	if part.suspended.Swap(true) {
		return false
	}
	if !part.WasAccepted() {
		return true // nothing is stored that it could see, so the store need not know
	}
	state := cache.PartitionState{Upstream: part.Upstream, Suspended: true}
	if accepted := part.accepted.Load(); accepted != nil {
		state.Credential = *accepted
	}
	if last := part.lastSuccess.Load(); last != 0 {
		state.LastSuccess = fromInstant(last)
	}
	store.PutPartition(&part.ID, state)
	return true
}

// Pause keeps the partition from its upstream for d (429).
func (part *Partition) Pause(now time.Time, d time.Duration) {
	until := instant(now.Add(d))
	for {
		old := part.pausedUntil.Load()
		if old != 0 && old >= until || part.pausedUntil.CompareAndSwap(old, until) {
			return
		}
	}
}

// Paused returns how long the pause still lasts, 0 if there is none.
func (part *Partition) Paused(now time.Time) time.Duration {
	return left(part.pausedUntil.Load(), now)
}

// Missed takes one token of the misses that a partition may cause. It returns
// how long to wait when there is none.
func (part *Partition) Missed(perSecond float64, burst int, now time.Time) time.Duration {
	if perSecond <= 0 {
		return 0
	}
	part.mu.Lock()
	defer part.mu.Unlock()
	if part.misses == nil || part.misses.Limit() != rate.Limit(perSecond) || part.misses.Burst() != burst {
		part.misses = rate.NewLimiter(rate.Limit(perSecond), max(1, burst))
	}
	return take(part.misses, now)
}

// Spend takes one upstream poll from the budget, for a process that cannot ask
// the store. It returns how long to wait when there is none left.
func (part *Partition) Spend(b *cache.Budget, now time.Time) (wait time.Duration) {
	if b == nil {
		return 0
	}
	part.mu.Lock()
	defer part.mu.Unlock()
	part.due, wait = b.Spend(part.due, now)
	return wait
}

// Spent notes that the store gave one upstream poll of the budget.
func (part *Partition) Spent(b *cache.Budget, now time.Time) {
	if b == nil {
		return
	}
	part.mu.Lock()
	defer part.mu.Unlock()
	part.due = later(part.due, now).Add(b.Interval())
	if most := now.Add(b.Tolerance() + b.Interval()); part.due.After(most) { // others have given back
		part.due = most
	}
}

// Unspent gives one upstream poll back.
func (part *Partition) Unspent(b *cache.Budget) {
	if b == nil {
		return
	}
	part.mu.Lock()
	defer part.mu.Unlock()
	part.due = part.due.Add(-b.Interval())
}

// Exhausted notes that the credential has nothing to spend for wait: other
// processes have.
func (part *Partition) Exhausted(b *cache.Budget, wait time.Duration, now time.Time) {
	part.mu.Lock()
	defer part.mu.Unlock()
	part.due = later(part.due, now.Add(wait+b.Tolerance()))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Pledge sets one poll of the budget aside for a poll of Pollux's own that
// begins now, or returns how long it is until there is one. The poll spends it
// itself: release must be called then, or when it ends without.
func (part *Partition) Pledge(b *cache.Budget, now time.Time) (release func(), wait time.Duration) {
	if wait := part.Paused(now); wait > 0 {
		return nil, wait
	}
	if b == nil {
		return func() {}, 0
	}
	part.mu.Lock()
	defer part.mu.Unlock()
	due := later(part.due, now).Add(time.Duration(part.pledged) * b.Interval())
	if wait := due.Sub(now) - b.Tolerance(); wait > 0 {
		return nil, max(time.Millisecond, wait)
	}
	part.pledged++
	return sync.OnceFunc(func() {
		part.mu.Lock()
		defer part.mu.Unlock()
		part.pledged--
	}), 0
}

// Tokens is how many upstream polls the partition may make at once, as far as
// this process knows.
func (part *Partition) Tokens(b *cache.Budget, now time.Time) int {
	part.mu.Lock()
	defer part.mu.Unlock()
	left := b.Tolerance() - later(part.due, now).Sub(now)
	if left < 0 {
		return 0
	}
	return int(left/b.Interval()) + 1
}

// Hear takes in what another process may have written of the credential. It
// reports whether that suspends it, or ends its suspension.
func (part *Partition) Hear(u *Upstream, s cache.PartitionState, now time.Time) (suspended, resumed bool) {
	if s.Suspended {
		return !part.suspended.Swap(true), false
	}
	if s.LastSuccess.IsZero() {
		return false, false
	}
	at := instant(now.Add(-max(0, now.Round(0).Sub(s.LastSuccess))))
	for last := part.lastSuccess.Load(); last == 0 || at > last; last = part.lastSuccess.Load() {
		if !part.lastSuccess.CompareAndSwap(last, at) {
			continue
		}
		if accepted := s.Credential; u.Held && accepted != ([16]byte{}) {
			part.accepted.Store(&accepted)
		}
		break
	}
	return false, part.suspended.CompareAndSwap(true, false)
}

func take(l *rate.Limiter, now time.Time) time.Duration {
	r := l.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

const (
	partitionShards   = 64
	partitionsInShard = 2048 // 131,072 in all, some 200 bytes each
)

// Partitions is a bounded table. What falls out comes back from the store, less
// its budget and pause; but while anybody still holds it, as a watch or a stream
// does, it is found again, so that there never are two objects for one
// credential, of which one would not hear that it was refused.
type Partitions struct {
	shards [partitionShards]partitionShard
}

type partitionShard struct {
	mu      sync.RWMutex // guards what follows
	byID    map[cache.ID]*Partition
	evicted map[cache.ID]weak.Pointer[Partition] // held by somebody, or about to go
}

func NewPartitions() *Partitions {
	t := &Partitions{}
	for i := range t.shards {
		t.shards[i].byID = map[cache.ID]*Partition{}
		t.shards[i].evicted = map[cache.ID]weak.Pointer[Partition]{}
	}
	return t
}

func (t *Partitions) shard(id *cache.ID) *partitionShard {
	return &t.shards[binary.LittleEndian.Uint64(id[:8])%partitionShards]
}

// Get returns the partition if it is in memory.
func (t *Partitions) Get(id *cache.ID) *Partition {
	s := t.shard(id)
	s.mu.RLock()
	part, evicted := s.byID[*id], len(s.evicted) > 0
	s.mu.RUnlock()
	if part != nil || !evicted {
		return part
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(id)
}

// find is get under the lock. What was evicted and is still held comes back.
func (s *partitionShard) find(id *cache.ID) *Partition {
	if part := s.byID[*id]; part != nil {
		return part
	}
	part := s.evicted[*id].Value()
	if part != nil {
		delete(s.evicted, *id)
		s.put(part)
	}
	return part
}

// Add puts part in the table, unless there is one already: that one is returned.
func (t *Partitions) Add(part *Partition) *Partition {
	s := t.shard(&part.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if there := s.find(&part.ID); there != nil {
		return there
	}
	s.put(part)
	return part
}

func (s *partitionShard) put(part *Partition) {
	if len(s.byID) >= partitionsInShard {
		s.evict()
	}
	s.byID[part.ID] = part
}

// evict drops one partition: of a few at random, one that never saw a
// successful answer, so that a flood of made-up credentials pushes out itself.
func (s *partitionShard) evict() {
	var victim *Partition
	seen := 0
	for _, part := range s.byID { // map order is random enough here
		if victim == nil || part.lastSuccess.Load() == 0 {
			victim = part
		}
		if seen++; victim.lastSuccess.Load() == 0 || seen == 16 {
			break
		}
	}
	delete(s.byID, victim.ID)
	s.evicted[victim.ID] = weak.Make(victim)
	runtime.AddCleanup(victim, func(id cache.ID) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.evicted[id].Value() == nil {
			delete(s.evicted, id)
		}
	}, victim.ID)
}

// Each calls f with every partition in memory of the named upstream.
func (t *Partitions) Each(upstream string, f func(*Partition)) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.RLock()
		for _, part := range s.byID {
			if part.Upstream == upstream {
				f(part)
			}
		}
		s.mu.RUnlock()
	}
}

// ExcusedAfterLoss: a suspended partition is shown nothing; for any other the
// upstream's "no such task" is an answer to its credential.
func (part *Partition) ExcusedAfterLoss() bool {
	return !part.suspended.Load() && part.lastSuccess.Load() != 0
}

// MayFallBack reports whether e may be served although the poll failed.
func (part *Partition) MayFallBack(u *Upstream, e *cache.Entry, now time.Time) bool {
	return e != nil && !e.Missing && part.excused(u, now) && (e.Terminal || now.Sub(e.FreshUntil) <= u.Config.StaleIfError)
}
