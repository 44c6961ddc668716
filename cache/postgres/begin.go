package postgres

import (
	"context"
	"fmt"
	"time"

	"pollux/cache"
)

const sqlBegin = `SELECT token, generation, entry_partition, entry, age, fresh, state, paused, busy, spent
FROM pollux_begin_2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

// begun is a row of pollux_begin.
type begun struct {
	token, generation, age, fresh, paused, busy, spent int64
	partition, entry, state                            []byte
}

// columns are where a row is scanned to, in the order of sqlBegin.
func (b *begun) columns() []any {
	return []any{&b.token, &b.generation, &b.partition, &b.entry, &b.age, &b.fresh, &b.state, &b.paused, &b.busy, &b.spent}
}

// Begin implements cache.Cluster.
func (s *Store) Begin(ctx context.Context, p *cache.Poll) (*cache.Grant, error) {
	if p.Lease == 0 {
		return s.look(ctx, p)
	}
	var every, tolerance time.Duration
	if p.Budget != nil {
		every, tolerance = max(time.Microsecond, p.Budget.Interval()), p.Budget.Tolerance()
	}
	var b begun
	err := s.call(ctx, pollTimeout, func(ctx context.Context) (err error) {
		s.stranded.asks(&p.Key)
		defer func() { s.stranded.asked(&p.Key, uint64(b.token), err) }()
		return s.pool.QueryRow(ctx, sqlBegin, p.Key[:], p.Credential[:], int64(p.Generation), int64(p.Version),
			p.Lease.Microseconds(), every.Microseconds(), tolerance.Microseconds(), p.Force, s.self.ID, deadAfter.Microseconds()).
			Scan(b.columns()...)
	})
	if err != nil {
		return nil, fmt.Errorf("begin poll: %w", err)
	}
	return s.grant(p, &b), nil
}

// grant is what a row says to p.
func (s *Store) grant(p *cache.Poll, b *begun) *cache.Grant {
	g := &cache.Grant{
		Token: uint64(b.token), Generation: uint64(b.generation),
		Paused: microseconds(b.paused), Busy: microseconds(b.busy), Spent: microseconds(b.spent),
	}
	if b.entry != nil {
		g.Entry = s.openEntry(&p.Key, b.partition, b.entry)
	}
	now := time.Now()
	switch {
	case b.age >= 0:
		g.ObservedAt, g.FreshUntil = now.Add(-microseconds(b.age)), now.Add(microseconds(b.fresh))
	case g.Entry != nil:
		g.ObservedAt, g.FreshUntil = g.Entry.ObservedAt, g.Entry.FreshUntil
	}
	if queued, ok := s.writes.State(&p.Credential); ok {
		g.State, g.Known = queued, true
	} else if b.state != nil {
		state, err := s.openState(&p.Credential, b.state)
		g.State, g.Known = state, err == nil
	}
	return g
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
