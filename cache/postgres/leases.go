package postgres

import (
	"context"
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

// stranded are the tasks whose lease may stand in the name of this replica
// although nobody here asks: a Begin was granted whose answer never came, or the
// report of a poll was lost. Everybody would wait for it, this replica as well.
// The zero value is empty.
type stranded struct {
	mu    sync.Mutex // guards byKey
	byKey map[cache.ID]lease
}

// lease is what is known of one.
type lease struct {
	since time.Time
	token uint64 // of the poll that was granted since, and heard of; 0: none was
}

// add notes that a lease of key may stand.
func (l *stranded) add(key *cache.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byKey == nil {
		l.byKey = map[cache.ID]lease{}
	}
	if _, known := l.byKey[*key]; known || len(l.byKey) < maxStranded {
		l.byKey[*key] = lease{since: time.Now()}
	}
}

// granted notes a poll that is being made: its lease is to stand.
func (l *stranded) granted(key *cache.ID, token uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known, ok := l.byKey[*key]; ok {
		known.token = token
		l.byKey[*key] = known
	}
}

// list returns all tasks, with the tokens that are to stand.
func (l *stranded) list() (keys [][]byte, tokens []int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, known := range l.byKey {
		keys, tokens = append(keys, slices.Clone(key[:])), append(tokens, int64(known.token))
	}
	return keys, tokens
}

// forget drops what is older than before.
func (l *stranded) forget(before time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, known := range l.byKey {
		if known.since.Before(before) {
			delete(l.byKey, key)
		}
	}
}

// strand notes that the lease of r may stand although its poll is over.
func (s *Store) strand(r *cache.Report) {
	if r.Token != 0 {
		s.stranded.add(&r.Key)
	}
}

// sqlGiveBack ends leases of a replica but those that are to stand. A row that
// is locked changes just now; it is looked at again.
const sqlGiveBack = `UPDATE pollux_polls SET until = '-infinity' WHERE key IN (
	SELECT key FROM pollux_polls JOIN unnest($1::bytea[], $2::bigint[]) AS k (key, stands) USING (key)
	WHERE holder = $3 AND token <> stands AND until > clock_timestamp() FOR UPDATE OF pollux_polls SKIP LOCKED)`

// giveBack ends the leases of this replica that nobody here knows, as long as
// the database may come to such as it was asked for.
func (s *Store) giveBack() {
	keys, tokens := s.stranded.list()
	if len(keys) == 0 {
		return
	}
	before := time.Now().Add(-late)
	err := s.try(s.ctx, callTimeout, func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, sqlGiveBack, keys, tokens, s.self.ID)
		return err
	})
	if err == nil && s.relapses.calm(before) {
		s.stranded.forget(before)
	}
}
