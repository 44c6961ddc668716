package poller

import (
	"cmp"
	"encoding/binary"
	"sync"
	"time"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
)

// record is what the engine keeps of one key beside its entry. It is the place
// where facts about a task meet: its lock is held while one is learnt, over the
// store's write of it too, so that whatever happens to one key happens in order
// and no other key waits for it.
type record struct {
	key  cache.ID
	pins int // who works with it; guarded by the stripe

	mu         sync.Mutex // guards what follows; taken before the locks of memory and observers, never inside them
	generation uint64     // what was asked in an older one is void
	asked      number     // the last under which a poll was made; more than one may be under way after a forget
	hinted     uint64     // what was asked before, by version, is stale
	told       told       // what observers know
	failed     *failing   // the last poll, if it failed
	heed       time.Time  // until when the upstream asked not to be asked, whatever else it answered
	losses     losses     // polls in a row that said that there is no such task
}

// number is a version, and how many polls were made since without the store.
type number struct{ version, alone uint64 }

// orLater returns the later of two.
func (n number) orLater(other number) number {
	if cmp.Or(cmp.Compare(n.version, other.version), cmp.Compare(n.alone, other.alone)) < 0 {
		return other
	}
	return n
}

// told identifies what observers were told of a task: a hash of the document,
// or one of the following.
type told uint64

const (
	toldNothing told = iota // or it is not remembered
	toldLost                // that nothing is known any more
	toldEntry               // hashes are larger
)

// losses counts the polls in a row that did not find a task that was known.
type losses struct {
	n      int
	since  time.Time
	before *cache.Entry // what was known before the first
}

// records is a bounded table of them. One that is pinned stays, so that what a
// forget leaves behind outlives every poll and every read that began before.
type records struct {
	stripes [1024]stripe
}

type stripe struct {
	sync.Mutex // held for moments only: it guards the table, and no work
	byKey      map[cache.ID]*record
}

// recordsInStripe bounds what is remembered of tasks that nobody is asking
// about, some 250 bytes each: 65,536 in all, so that they fit a small container.
// What falls out costs at most that observers are told once more what they know.
const recordsInStripe = 64

func (t *records) init() {
	for i := range t.stripes {
		t.stripes[i].byKey = map[cache.ID]*record{}
	}
}

func (t *records) stripe(key *cache.ID) *stripe {
	return &t.stripes[binary.LittleEndian.Uint64(key[8:16])%uint64(len(t.stripes))]
}

// pin returns the record of key, which stays the only one until unpin.
func (t *records) pin(key *cache.ID) *record {
	s := t.stripe(key)
	s.Lock()
	defer s.Unlock()
	rec := s.byKey[*key]
	if rec == nil {
		rec = &record{key: *key}
		s.byKey[*key] = rec
	}
	rec.pins++
	return rec
}

func (t *records) unpin(rec *record) {
	s := t.stripe(&rec.key)
	s.Lock()
	defer s.Unlock()
	if rec.pins--; rec.pins > 0 {
		return
	}
	// Nobody has it, and nobody gets it while the stripe is locked.
	if rec.blank() {
		delete(s.byKey, rec.key)
	} else if len(s.byKey) > recordsInStripe {
		s.evict(rec)
	}
}

// blank reports whether nothing would be lost with the record.
func (rec *record) blank() bool {
	return rec.generation == 0 && rec.told == toldNothing && rec.failed == nil && rec.losses.n == 0 && rec.heed.IsZero()
}

// evict drops one record that nobody works with, another than spare if it can.
func (s *stripe) evict(spare *record) {
	victim, seen := spare, 0
	for _, rec := range s.byKey { // map order is random enough here
		if rec.pins == 0 && rec != spare {
			if victim = rec; rec.failed == nil && rec.losses.n == 0 {
				break
			}
		}
		if seen++; seen == 16 {
			break
		}
	}
	delete(s.byKey, victim.key)
}

// failing is the last poll, which failed: until then nobody asks again, and
// everybody gets what it brought.
type failing struct {
	failure
	at, until time.Time
	wished    bool // the upstream said until when
}

// hold remembers a failed poll for the provider's least interval, or as long as
// the upstream asked for.
func (rec *record) hold(u *upstream.Upstream, failed failure, now time.Time) {
	f := &failing{failure: failed, at: now, until: now.Add(max(u.Provider.Poll.Min, failed.wait)), wished: failed.wait > u.Provider.Poll.Min}
	if f.raw != nil && len(f.raw.Body) > maxHeldBody {
		f.raw = nil
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.failed = f
}

// age is the present generation.
func (rec *record) age() uint64 {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.generation
}

// heeds reports whether the upstream asked not to be asked yet.
func (rec *record) heeds(now time.Time) bool {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if !now.Before(rec.heed) {
		rec.heed = time.Time{}
	}
	return !rec.heed.IsZero()
}

// answered notes what an answer says of the next poll.
func (rec *record) answered(v providers.Verdict, now time.Time) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.heed = time.Time{}
	if v.RetryAfter > 0 {
		rec.heed = now.Add(upstream.ClampRetryAfter(v.RetryAfter))
	}
}

// maxHeldBody bounds the bodies kept of failed polls; a longer one is answered
// once, and by a problem from then on.
const maxHeldBody = 16 << 10

// held is the failed poll after which it is too early for another one, nil if
// there is none.
func (rec *record) held(now time.Time) *failing {
	if failed := rec.trouble(); failed != nil && now.Before(failed.until) {
		return failed
	}
	return nil
}

// trouble is the last poll if it failed, however long ago; nil if it did not.
func (rec *record) trouble() *failing {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.failed
}

// left is the problem of a failed poll for those who ask before they should.
func (f *failing) left(now time.Time) *problem.Problem {
	return askAgain(f.problem, f.until.Sub(now))
}

// askAgain is p, saying when asking again can help; 0 is no wish of anybody.
func askAgain(p *problem.Problem, after time.Duration) *problem.Problem {
	if after == 0 {
		return p
	}
	later := *p
	later.RetryAfter = after
	return &later
}
