package postgres

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"pollux/cache"
)

const (
	// late is how long after the database was taken up again it may still come to
	// what it was asked before: what lay in connections that had been given up.
	late = 5 * time.Second
	// maxStranded bounds the leases of which is remembered that they may stand;
	// others end by themselves.
	maxStranded = 1 << 12
)

// stranded are the leases that may stand in the name of this replica although
// nobody here asks: a Begin was granted whose answer never came, or the report of
// a poll was lost. Everybody would wait for it, this replica as well. The zero
// value is empty.
type stranded struct {
	mu     sync.Mutex // guards what follows
	begins map[cache.ID]begins
	lost   map[uint64]lost // by the token of the lease
	newest uint64          // token that was heard of
}

// begins are the Begins of one task of which it is not known what they were
// granted.
type begins struct {
	underWay int
	after    uint64    // what they are granted has a later token, what is polled has not
	since    time.Time // when the latest failed; zero: none did
}

// lost is a lease whose report was lost.
type lost struct {
	key   cache.ID
	since time.Time
}

// asks notes a Begin that is about to be sent.
func (l *stranded) asks(key *cache.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.begins[*key]
	if b.underWay == 0 && b.since.IsZero() {
		b.after = l.newest
	}
	b.underWay++
	if l.begins == nil {
		l.begins = map[cache.ID]begins{}
	}
	l.begins[*key] = b
}

// asked notes what became of it: it was granted token, 0 for nothing, or its
// answer did not come.
func (l *stranded) asked(key *cache.ID, token uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.newest = max(l.newest, token)
	b := l.begins[*key]
	b.underWay--
	b.after = max(b.after, token)
	if err != nil && (!b.since.IsZero() || len(l.begins) <= maxStranded) {
		b.since = time.Now()
	}
	if l.begins[*key] = b; b.underWay == 0 && b.since.IsZero() {
		delete(l.begins, *key)
	}
}

// add notes that the report of a poll was lost.
func (l *stranded) add(key *cache.ID, token uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost == nil {
		l.lost = map[uint64]lost{}
	}
	if len(l.lost) < maxStranded {
		l.lost[token] = lost{key: *key, since: time.Now()}
	}
}

// any reports whether there is anything to give back.
func (l *stranded) any() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.begins {
		if !b.since.IsZero() {
			return true
		}
	}
	return len(l.lost) > 0
}

// list returns the tasks with the tokens after and up to which a lease is to end.
// newest is a token that was given before. A task that is being asked about is
// left out: it may just have been granted.
func (l *stranded) list(newest int64) (keys [][]byte, after, upTo []int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, b := range l.begins {
		if b.underWay == 0 {
			keys, after, upTo = append(keys, slices.Clone(key[:])), append(after, int64(b.after)), append(upTo, newest)
		}
	}
	for token, r := range l.lost {
		keys, after, upTo = append(keys, slices.Clone(r.key[:])), append(after, int64(token)-1), append(upTo, int64(token))
	}
	return keys, after, upTo
}

// forget drops what is older than before.
func (l *stranded) forget(before time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.begins, func(_ cache.ID, b begins) bool { return b.underWay == 0 && b.since.Before(before) })
	maps.DeleteFunc(l.lost, func(_ uint64, r lost) bool { return r.since.Before(before) })
}

// strand notes that the lease of r may stand although its poll is over.
func (s *Store) strand(r *cache.Report) {
	if r.Token != 0 {
		s.stranded.add(&r.Key, r.Token)
	}
}

// sqlGiveBack ends leases of a replica. A row that is locked changes just now; it
// is looked at again.
const sqlGiveBack = `UPDATE pollux_polls SET until = '-infinity' WHERE key IN (
	SELECT key FROM pollux_polls JOIN unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS k (key, after, up_to) USING (key)
	WHERE holder = $4 AND token > after AND token <= up_to AND until > clock_timestamp() FOR UPDATE OF pollux_polls SKIP LOCKED)`

// giveBack ends the leases of this replica that nobody here knows, as long as
// the database may come to such as it was asked for.
func (s *Store) giveBack() {
	if !s.stranded.any() {
		return
	}
	before := time.Now().Add(-late)
	err := s.try(s.ctx, callTimeout, func(ctx context.Context) error {
		var newest int64 // what is granted from here on has a later one
		if err := s.pool.QueryRow(ctx, `SELECT nextval('pollux_version')`).Scan(&newest); err != nil {
			return err
		}
		keys, after, upTo := s.stranded.list(newest)
		_, err := s.pool.Exec(ctx, sqlGiveBack, keys, after, upTo, s.self.ID)
		return err
	})
	if err == nil && s.relapses.calm(before) {
		s.stranded.forget(before)
	}
}
