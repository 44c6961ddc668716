package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// sweepEvery is the time between two rounds, sweepStep how many tasks are
	// looked at at once, and sweepPause the gap between two steps.
	sweepEvery = 10 * time.Minute
	sweepStep  = 500
	sweepPause = 20 * time.Millisecond
	// sweepLock is the advisory lock of the replica that sweeps.
	sweepLock = schemaLock + 1
)

// sqlSweeps delete what is over.
var sqlSweeps = []string{
	`DELETE FROM pollux_notices WHERE at < clock_timestamp() - interval '1 minute'`,
	`DELETE FROM pollux_replicas WHERE seen < clock_timestamp() - interval '1 day'`,
	`DELETE FROM pollux_forgotten WHERE at < clock_timestamp() - interval '1 hour'`,
	`DELETE FROM pollux_credentials WHERE due < clock_timestamp() AND paused < clock_timestamp()`,
	`DELETE FROM pollux_counts WHERE n = 0`,
	`DELETE FROM pollux_polls p WHERE until < clock_timestamp() - interval '1 hour' AND coalesce(fresh_until, '-infinity') < clock_timestamp() - interval '1 hour'
	AND NOT EXISTS (SELECT 1 FROM pollux_tasks t WHERE t.key = p.key)`,
	// The state of a partition that has no tasks: nobody can be shown anything on the ground of it.
	`DELETE FROM pollux_partitions p WHERE touched_at < clock_timestamp() - interval '1 hour' AND NOT EXISTS (SELECT 1 FROM pollux_tasks t WHERE t.partition = p.id)`,
}

// sqlExpire deletes the tasks past their retention among those with a number
// after $1, up to $2 of them, and returns where to go on.
const sqlExpire = `WITH looked AS (SELECT seq, observed_at FROM pollux_tasks WHERE seq > $1 ORDER BY seq LIMIT $2),
gone AS (DELETE FROM pollux_tasks t USING looked l WHERE t.seq = l.seq AND l.observed_at < $3 RETURNING t.seq, t.partition, t.status, t.upstream),
bodies AS (DELETE FROM pollux_bodies b USING gone g WHERE b.seq = g.seq),
counted AS (INSERT INTO pollux_counts AS c (partition, status, upstream, n) SELECT partition, status, upstream, -count(*) FROM gone GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
	ON CONFLICT (partition, status, upstream) DO UPDATE SET n = c.n + excluded.n)
SELECT coalesce(max(seq), 0), count(*) FROM looked`

// runSweeper deletes what is over, one replica at a time.
func (s *Store) runSweeper() {
	timer := time.NewTimer(sweepPause)
	defer timer.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-timer.C:
		}
		if err := s.sweep(s.ctx); err != nil && s.ctx.Err() == nil {
			s.log.Debug("sweep of the store", "err", err)
		}
		timer.Reset(sweepEvery)
	}
}

func (s *Store) sweep(ctx context.Context) error {
	for _, text := range sqlSweeps {
		if err := s.alone(ctx, func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, text)
			return err
		}); err != nil {
			return err
		}
	}
	if s.cfg.Retention == 0 {
		return nil
	}
	before := time.Now().Add(-s.cfg.Retention).UnixMicro()
	var from, n int64
	for n = sweepStep; n == sweepStep; time.Sleep(sweepPause) {
		n = 0
		if err := s.alone(ctx, func(ctx context.Context, tx pgx.Tx) error {
			return tx.QueryRow(ctx, sqlExpire, from, sweepStep, before).Scan(&from, &n)
		}); err != nil {
			return err
		}
	}
	return nil
}

// alone runs f in a transaction unless another replica sweeps.
func (s *Store) alone(ctx context.Context, f func(context.Context, pgx.Tx) error) error {
	return s.call(ctx, listTimeout, func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			var got bool
			if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, int64(sweepLock)).Scan(&got); err != nil || !got {
				return err
			}
			return f(ctx, tx)
		})
	})
}
