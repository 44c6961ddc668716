package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"pollux/cache"
)

const (
	// lookers is how many round trips for looks are under way at a time, and
	// maxLooks how many tasks share one. After an outage everything in memory
	// is looked up: one by one, that would be more than a database that has
	// just come back can do.
	lookers  = 2
	maxLooks = 16
)

// look is a Poll that only looks, and who waits for it.
type look struct {
	poll *cache.Poll
	done chan looked // of capacity 1
}

// looked is what came of a look.
type looked struct {
	grant *cache.Grant
	err   error
}

// look finds out what stands. It shares its round trip with others.
func (s *Store) look(ctx context.Context, p *cache.Poll) (*cache.Grant, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	l := &look{poll: p, done: make(chan looked, 1)}
	queue, began, impatient := s.looks, time.Now(), time.NewTicker(patience)
	defer impatient.Stop()
	for {
		select {
		case queue <- l:
			queue = nil // nil: never again
		case out := <-l.done:
			return out.grant, out.err
		case <-s.ctx.Done():
			return nil, errClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-impatient.C:
			if err := s.useless(time.Since(began)); err != nil {
				return nil, err
			}
		}
	}
}

// runLooker answers looks, as many at once as wait.
func (s *Store) runLooker() {
	for {
		var batch []*look
		select {
		case l := <-s.looks:
			batch = append(batch, l)
		case <-s.ctx.Done():
			return
		}
	gather:
		for len(batch) < maxLooks {
			select {
			case l := <-s.looks:
				batch = append(batch, l)
			default:
				break gather
			}
		}
		s.lookUp(batch)
	}
}

const sqlLook = `SELECT n, token, b.generation, entry_partition, entry, age, fresh, state, paused, busy, spent
FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS q (key, credential, generation, version, n),
LATERAL pollux_begin_2(q.key, q.credential, q.generation, q.version, 0, 0, 0, false, $5, $6) AS b`

// lookUp answers a batch in one round trip.
func (s *Store) lookUp(batch []*look) {
	keys, credentials := make([][]byte, len(batch)), make([][]byte, len(batch))
	generations, versions := make([]int64, len(batch)), make([]int64, len(batch))
	for i, l := range batch {
		keys[i], credentials[i] = l.poll.Key[:], l.poll.Credential[:]
		generations[i], versions[i] = int64(l.poll.Generation), int64(l.poll.Version)
	}
	answers := make([]begun, len(batch))
	err := s.call(s.ctx, writeTimeout, func(ctx context.Context) error {
		// Bodies are large: a way that is narrow is no outage as long as they come.
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		halt := time.AfterFunc(pollTimeout, cancel)
		defer halt.Stop()
		rows, err := s.pool.Query(ctx, sqlLook, keys, credentials, generations, versions, s.self.ID, deadAfter.Microseconds())
		if err != nil {
			return err
		}
		var n int64
		var b begun
		_, err = pgx.ForEachRow(rows, append([]any{&n}, b.columns()...), func() error {
			halt.Reset(pollTimeout)
			answers[n-1], b.partition, b.entry, b.state = b, nil, nil, nil
			return nil
		})
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("no answer in %v", pollTimeout)
		}
		return err
	})
	for i, l := range batch {
		if err != nil {
			l.done <- looked{err: fmt.Errorf("look at task: %w", err)}
		} else {
			l.done <- looked{grant: s.grant(l.poll, &answers[i])}
		}
	}
}
