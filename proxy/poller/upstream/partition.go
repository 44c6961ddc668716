package upstream

import (
	"encoding/binary"
	"runtime"
	"slices"
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

// Partition is who shares answers at one upstream: one credential, with what its
// callers select (identity.select). It knows whether they may see what is stored.
// Pauses and the budget are the credential's: of the partition of who selects
// nothing.
type Partition struct {
	ID       cache.ID
	Upstream string

	credential  atomic.Pointer[Partition] // see Credential; nil: itself, as far as is known
	lastSuccess atomic.Int64              // instant; 0: never
	suspended   atomic.Bool
	pausedUntil atomic.Int64 // instant
	persisted   atomic.Int64 // instant of the last write to the store
	breaker     atomic.Pointer[breaker]
	accepted    atomic.Pointer[[16]byte] // held.account of the last success; nil: none, or not known

	mu       sync.Mutex // guards what follows
	due      time.Time  // of the budget (cache.Budget), as far as this process knows
	pledged  int        // upstream polls of it, not spent yet
	misses   *rate.Limiter
	selected []weak.Pointer[Partition] // those whose credential this is
}

// Credential is the partition of who sends the same credential and selects
// nothing: part itself, if that is one.
func (part *Partition) Credential() *Partition {
	if c := part.credential.Load(); c != nil {
		return c
	}
	return part
}

// Under notes whose credential part has. A suspended one suspends part.
func (part *Partition) Under(credential *Partition) {
	if part == credential || !part.credential.CompareAndSwap(nil, credential) {
		return
	}
	credential.mu.Lock()
	defer credential.mu.Unlock()
	credential.selected = slices.DeleteFunc(credential.selected, func(p weak.Pointer[Partition]) bool { return p.Value() == nil })
	credential.selected = append(credential.selected, weak.Make(part))
	if credential.suspended.Load() {
		part.suspended.Store(true)
	}
}

// likes are all partitions of part's credential that anybody holds.
func (part *Partition) likes() []*Partition {
	c := part.Credential()
	all := []*Partition{c}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.selected {
		if p := p.Value(); p != nil {
			all = append(all, p)
		}
	}
	return all
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

// Succeeded notes that the upstream let the credential in. It returns the
// partitions whose suspension that ends, and part if it is the first success of a
// credential that Pollux holds. account is that of the credential that was sent,
// zero if Pollux holds none.
func (part *Partition) Succeeded(u *Upstream, account [16]byte, store cache.Store, now time.Time) (resumed []*Partition) {
	at := instant(now)
	part.lastSuccess.Store(at)
	resumed = part.resume(u)
	if u.Held {
		if before := part.accepted.Load(); before == nil || *before != account {
			accepted := account
			part.accepted.Store(&accepted)
			if !slices.Contains(resumed, part) {
				resumed = append(resumed, part)
			}
		}
	}
	last := part.persisted.Load()
	if every := min(persistEvery, u.Config.Reauthorize/20); len(resumed) > 0 || last == 0 || at-last >= int64(every) {
		part.persisted.Store(at)
		state := part.state()
		state.LastSuccess, state.Credential = now, account
		store.PutPartition(&part.ID, state)
	}
	for _, other := range resumed {
		if other != part {
			store.PutPartition(&other.ID, other.state())
		}
	}
	return resumed
}

// resume ends the suspension of what the upstream lets in as it does part. One
// success of a credential that Pollux holds tells nothing of what others select.
func (part *Partition) resume(u *Upstream) (resumed []*Partition) {
	switch {
	case !part.suspended.Load() && !part.Credential().suspended.Load():
	case u.Held:
		if part.suspended.CompareAndSwap(true, false) {
			resumed = append(resumed, part)
		}
	default:
		for _, p := range part.likes() {
			if p.suspended.CompareAndSwap(true, false) {
				resumed = append(resumed, p)
			}
		}
	}
	return resumed
}

// Suspend notes that the upstream refused the credential itself. It returns the
// partitions of which that is news: all of the credential; but what one caller
// selects takes a credential that Pollux holds from nobody else.
func (part *Partition) Suspend(u *Upstream, store cache.Store) (news []*Partition) {
	all := part.likes()
	if u.Held && part.Credential() != part {
		all = []*Partition{part}
	}
	accepted := slices.ContainsFunc(all, (*Partition).WasAccepted)
	for _, p := range all {
		if p.suspended.Swap(true) {
			continue
		}
		news = append(news, p)
		if p.WasAccepted() || accepted && p == part.Credential() { // else nothing is stored that it could see, so the store need not know
			store.PutPartition(&p.ID, p.state())
		}
	}
	return news
}

// state is what the store is to know.
func (part *Partition) state() cache.PartitionState {
	s := cache.PartitionState{Upstream: part.Upstream, Suspended: part.suspended.Load()}
	if accepted := part.accepted.Load(); accepted != nil {
		s.Credential = *accepted
	}
	if last := part.lastSuccess.Load(); last != 0 {
		s.LastSuccess = fromInstant(last)
	}
	if c := part.credential.Load(); c != nil {
		s.Of = c.ID
	}
	return s
}

// Pause keeps the credential from its upstream for d (429).
func (part *Partition) Pause(now time.Time, d time.Duration) {
	part = part.Credential()
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
	return left(part.Credential().pausedUntil.Load(), now)
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
	part = part.Credential()
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
	part = part.Credential()
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
	part = part.Credential()
	part.mu.Lock()
	defer part.mu.Unlock()
	part.due = part.due.Add(-b.Interval())
}

// Exhausted notes that the credential has nothing to spend for wait: other
// processes have.
func (part *Partition) Exhausted(b *cache.Budget, wait time.Duration, now time.Time) {
	part = part.Credential()
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
	part = part.Credential()
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

// Short is how long the credential has to wait for an upstream poll of the budget,
// as far as this process knows; 0: it need not.
func (part *Partition) Short(b *cache.Budget, now time.Time) time.Duration {
	if b == nil {
		return 0
	}
	part = part.Credential()
	part.mu.Lock()
	defer part.mu.Unlock()
	return max(0, part.due.Sub(now)-b.Tolerance())
}

// Tokens is how many upstream polls the partition may make at once, as far as
// this process knows.
func (part *Partition) Tokens(b *cache.Budget, now time.Time) int {
	part = part.Credential()
	part.mu.Lock()
	defer part.mu.Unlock()
	left := b.Tolerance() - later(part.due, now).Sub(now)
	if left < 0 {
		return 0
	}
	return int(left/b.Interval()) + 1
}

// Hear takes in what another process may have written of the credential, or of
// what somebody selects with it. It returns the partitions that this suspends, or
// whose suspension it ends.
func (part *Partition) Hear(u *Upstream, s cache.PartitionState, now time.Time) (suspended, resumed []*Partition) {
	if s.Suspended {
		all := []*Partition{part}
		if part.Credential() == part {
			all = part.likes()
		}
		return slices.DeleteFunc(all, func(p *Partition) bool { return p.suspended.Swap(true) }), nil
	}
	if s.LastSuccess.IsZero() && part.WasAccepted() {
		return nil, nil
	}
	at := instant(now.Add(-max(0, now.Round(0).Sub(s.LastSuccess))))
	for last := part.lastSuccess.Load(); !s.LastSuccess.IsZero() && (last == 0 || at > last); last = part.lastSuccess.Load() {
		if !part.lastSuccess.CompareAndSwap(last, at) {
			continue
		}
		if accepted := s.Credential; u.Held && accepted != ([16]byte{}) {
			part.accepted.Store(&accepted)
		}
		break
	}
	return nil, part.resume(u)
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
