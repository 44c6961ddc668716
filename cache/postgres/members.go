package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"pollux/cache"
)

const (
	// beatEvery is how often a replica shows that it lives, and deadAfter how
	// long after its last beat others take over from it.
	beatEvery = time.Second
	deadAfter = 5 * time.Second
	// beatTimeout bounds one beat, and quick is how long one takes at most after
	// which the database is asked again that did not answer: one that is only
	// slow would be given up and found again all the time.
	beatTimeout = time.Second
	quick       = pollTimeout / 2
)

// sqlBeat shows that this replica lives and returns all that do.
const sqlBeat = `WITH own AS (
	INSERT INTO pollux_replicas AS x (id, version, started, seen, listens, lag) VALUES ($1, $2, $3, clock_timestamp(), $4, $6)
	ON CONFLICT (id) DO UPDATE SET seen = excluded.seen, listens = excluded.listens, lag = excluded.lag RETURNING id)
SELECT id, version, started, listens, lag FROM pollux_replicas
WHERE seen > clock_timestamp() - $5 * interval '1 microsecond' AND id <> (SELECT id FROM own)`

// beat shows that this replica lives, and learns who else does.
func (s *Store) beat(ctx context.Context) error {
	all := []cache.Member{s.self}
	listens := !s.notices.table.Load()
	toListeners, toReaders := listens, !listens
	lags := map[string]time.Duration{}
	var own *int64
	if lag, known := s.notices.behind(); known {
		lags[s.self.ID] = lag
		own = new(lag.Microseconds())
	}
	err := s.try(ctx, beatTimeout, func(ctx context.Context) error {
		rows, err := s.pool.Query(ctx, sqlBeat, s.self.ID, s.self.Version, s.self.Started, listens, deadAfter.Microseconds(), own)
		if err != nil {
			return err
		}
		var m cache.Member
		var hears bool
		var lag *int64
		_, err = pgx.ForEachRow(rows, []any{&m.ID, &m.Version, &m.Started, &hears, &lag}, func() error {
			if lag != nil {
				lags[m.ID] = microseconds(*lag)
			}
			all = append(all, m)
			toListeners, toReaders = toListeners || hears, toReaders || !hears
			return nil
		})
		return err
	})
	if err != nil {
		return err
	}
	s.lags.Store(&lags)
	s.notices.toListeners.Store(toListeners)
	s.notices.toReaders.Store(toReaders)
	slices.SortFunc(all, func(a, b cache.Member) int { return a.Started.Compare(b.Started) })
	if before := s.members.Load(); before == nil || !sameMembers(before.All, all) {
		s.members.Store(cache.NewMembers(s.self.ID, all))
		s.log.Info("replicas", "living", len(all), "self", s.self.ID)
	}
	return nil
}

func sameMembers(a, b []cache.Member) bool {
	return slices.EqualFunc(a, b, func(a, b cache.Member) bool { return a.ID == b.ID })
}

// Members implements cache.Cluster.
func (s *Store) Members() *cache.Members { return s.members.Load() }

// Lags implements cache.Cluster.
func (s *Store) Lags() map[string]time.Duration { return *s.lags.Load() }

// runHeart shows that this replica lives, and sends it the notices by which it
// knows that it hears. What the heart finds tells whether there is a database.
func (s *Store) runHeart() {
	beats, own := time.NewTicker(beatEvery), time.NewTicker(ownEvery)
	defer beats.Stop()
	defer own.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-beats.C:
			s.findOut()
		case <-own.C:
			if s.outage.Load() != nil { // the sooner it is back the better
				s.findOut()
				continue
			}
			if !s.notices.table.Load() {
				s.sendOwn(s.ctx)
			}
			s.giveBack()
		}
	}
}

// findOut beats, and notes whether there is a database.
func (s *Store) findOut() {
	began := time.Now()
	if s.beat(s.ctx) == nil && time.Since(began) < quick {
		s.recovered()
	}
	s.tellRecovery()
}

// leave takes this replica out of the list, so that others take over at once.
func (s *Store) leave(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM pollux_replicas WHERE id = $1`, s.self.ID)
	return err
}
