package sqlite

import (
	"database/sql"
	"time"
)

const (
	// expireStep is how many rows are looked at at once, and expirePause the gap
	// between two steps of a round.
	expireStep  = 500
	expirePause = 20 * time.Millisecond
	// expireEvery is the time between two rounds: a round of a million rows
	// takes a minute.
	expireEvery = 10 * time.Minute
	// idlePartition is how long the state of a partition is kept that has no
	// tasks: nobody can be shown anything on the ground of it.
	idlePartition = time.Hour
)

const (
	sqlOldest = `SELECT seq, observed_at FROM tasks WHERE seq > ?1 ORDER BY seq LIMIT ?2`
	sqlExpire = `DELETE FROM tasks WHERE seq = ?1 RETURNING partition, upstream, status`
	sqlIdle   = `SELECT id, touched_at < ?1 AND NOT EXISTS (SELECT 1 FROM tasks WHERE partition = id) FROM partitions WHERE id > ?2 ORDER BY id LIMIT ?3`
	sqlEnd    = `DELETE FROM partitions WHERE id = ?1`
)

// round is how far a round of expiry has come. It walks over the tables instead
// of an index, which every write would have to keep.
type round struct {
	task      int64
	tasksDone bool
	partition []byte
}

// expire deletes some tasks past their retention, or when all have been looked
// at some partitions that nothing refers to, and returns when to go on.
func (w *writer) expire() time.Duration {
	if w.retention == 0 {
		w.round.tasksDone = true
	}
	var ended bool
	err := w.useFile(func(d *database) error {
		tx, err := d.write.Begin()
		if err != nil {
			return err
		}
		c := &change{writer: w, Tx: tx, d: d}
		next := w.round
		if next.tasksDone {
			ended, err = c.endPartitions(&next)
		} else {
			err = c.endTasks(&next)
		}
		if err != nil {
			tx.Rollback()
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		d.counts.apply(c.deltas)
		w.round = next
		return nil
	})
	if err != nil {
		w.report(err)
		w.round = round{}
		return expireEvery
	}
	if ended {
		w.round = round{}
		return expireEvery
	}
	return expirePause
}

// endTasks deletes the tasks past their retention among the next few.
func (c *change) endTasks(r *round) error {
	before := time.Now().Add(-c.retention).UnixMicro()
	var old []int64
	n := 0
	err := eachRow(c.Tx, sqlOldest, []any{r.task, expireStep}, func(rows *sql.Rows) error {
		var observed integer
		n++
		err := rows.Scan(&r.task, &observed)
		if int64(observed) < before {
			old = append(old, r.task)
		}
		return err
	})
	for _, seq := range old {
		if err == nil {
			err = c.expire(seq)
		}
	}
	r.tasksDone = n < expireStep
	return err
}

func (c *change) expire(seq int64) error {
	var r standing
	if err := c.QueryRow(sqlExpire, seq).Scan(&r.partition, &r.upstream, &r.status); err != nil {
		return err
	}
	c.count(&r, -1)
	_, err := c.Stmt(c.d.deleteBody).Exec(seq)
	return err
}

// endPartitions deletes those of the next few partitions that have no tasks and
// were not used for a while. It reports whether these were the last.
func (c *change) endPartitions(r *round) (ended bool, err error) {
	var idle [][]byte
	n := 0
	err = eachRow(c.Tx, sqlIdle, []any{time.Now().Add(-idlePartition).UnixMicro(), append([]byte{}, r.partition...), expireStep}, func(rows *sql.Rows) error {
		var id blob
		var over integer
		n++
		err := rows.Scan(&id, &over)
		if r.partition = id; over != 0 {
			idle = append(idle, id)
		}
		return err
	})
	for _, id := range idle {
		if err == nil {
			_, err = c.Exec(sqlEnd, id)
		}
	}
	return n < expireStep, err
}
