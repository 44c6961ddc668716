package postgres

import (
	"context"
	"fmt"
	"time"

	"pollux/cache"
)

const sqlBegin = `SELECT token, generation, entry_partition, entry, age, fresh, state, paused, busy, spent
FROM pollux_begin_2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

// Begin implements cache.Cluster.
func (s *Store) Begin(ctx context.Context, p *cache.Poll) (*cache.Grant, error) {
	var every, tolerance time.Duration
	if p.Budget != nil {
		every, tolerance = max(time.Microsecond, p.Budget.Interval()), p.Budget.Tolerance()
	}
	var token, generation, age, fresh, paused, busy, spent int64
	var partition, entry, state []byte
	sent := false
	err := s.call(ctx, pollTimeout, func(ctx context.Context) error {
		sent = true
		return s.pool.QueryRow(ctx, sqlBegin, p.Key[:], p.Credential[:], int64(p.Generation), int64(p.Version),
			p.Lease.Microseconds(), every.Microseconds(), tolerance.Microseconds(), p.Force, s.self.ID, deadAfter.Microseconds()).
			Scan(&token, &generation, &partition, &entry, &age, &fresh, &state, &paused, &busy, &spent)
	})
	if err != nil {
		if p.Lease > 0 && sent {
			s.stranded.add(&p.Key)
		}
		return nil, fmt.Errorf("begin poll: %w", err)
	}
	if token != 0 {
		s.stranded.granted(&p.Key, uint64(token))
	}
	g := &cache.Grant{
		Token: uint64(token), Generation: uint64(generation),
		Paused: microseconds(paused), Busy: microseconds(busy), Spent: microseconds(spent),
	}
	if entry != nil {
		g.Entry = s.openEntry(&p.Key, partition, entry)
	}
	now := time.Now()
	switch {
	case age >= 0:
		g.ObservedAt, g.FreshUntil = now.Add(-microseconds(age)), now.Add(microseconds(fresh))
	case g.Entry != nil:
		g.ObservedAt, g.FreshUntil = g.Entry.ObservedAt, g.Entry.FreshUntil
	}
	if queued, ok := s.writes.State(&p.Credential); ok {
		g.State, g.Known = queued, true
	} else if state != nil {
		g.State, err = s.openState(&p.Credential, state)
		g.Known = err == nil
	}
	return g, nil
}

func microseconds(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// Next implements cache.Cluster.
func (s *Store) Next(ctx context.Context) (uint64, error) {
	var version int64
	err := s.call(ctx, pollTimeout, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `SELECT nextval('pollux_version')`).Scan(&version)
	})
	return uint64(version), err
}
