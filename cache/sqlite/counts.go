package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"pollux/cache"
)

// counts is how many tasks a file holds, by partition and status. It is made
// when the file is opened and follows every committed write.
type counts struct {
	mu          sync.RWMutex // guards what follows
	byPartition map[cache.ID]*partitionCount
	byUpstream  cache.Counts
}

type partitionCount struct {
	upstream string
	byStatus map[string]int
}

// delta is n tasks more, or less, of one partition in one status.
type delta struct {
	partition        cache.ID
	upstream, status string
	n                int
}

func newCounts() *counts {
	return &counts{byPartition: map[cache.ID]*partitionCount{}, byUpstream: cache.Counts{}}
}

// apply adds up what a transaction changed. Fewer tasks of a partition that is
// not counted change nothing: see loadCounts.
func (c *counts) apply(deltas []delta) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range deltas {
		if d.status == "" || d.upstream == "" {
			continue // of a damaged row
		}
		p := c.byPartition[d.partition]
		if p == nil {
			if d.n <= 0 {
				continue
			}
			p = &partitionCount{upstream: d.upstream, byStatus: map[string]int{}}
			c.byPartition[d.partition] = p
		}
		c.byUpstream.Add(p.upstream, d.status, d.n)
		if p.byStatus[d.status] += d.n; p.byStatus[d.status] == 0 {
			delete(p.byStatus, d.status)
		}
		if len(p.byStatus) == 0 {
			delete(c.byPartition, d.partition)
		}
	}
}

// inSight returns the counts of what sight sees, a copy.
func (c *counts) inSight(sight *cache.Sight) cache.Counts {
	out := cache.Counts{}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if sight.All {
		for upstream, byStatus := range c.byUpstream {
			for status, n := range byStatus {
				out.Add(upstream, status, n)
			}
		}
		return out
	}
	for _, id := range sight.Partitions {
		if p := c.byPartition[id]; p != nil {
			for status, n := range p.byStatus {
				out.Add(p.upstream, status, n)
			}
		}
	}
	return out
}

// Counts implements cache.Index.
func (s *Store) Counts(sight *cache.Sight) cache.Counts {
	file := s.file.Load()
	if file == nil {
		return cache.Counts{}
	}
	return file.counts.inSight(sight)
}

const (
	sqlCount = `SELECT partition, status, upstream, count(*) FROM tasks INDEXED BY tasks_partition GROUP BY 1, 2, 3 ORDER BY 4 DESC`
	// sqlProbe reads a body only where there is no head, see oldTask.columns.
	sqlProbe = `SELECT key, head, CASE WHEN length(head) = 0 THEN (SELECT value FROM bodies WHERE bodies.seq = tasks.seq) END
FROM tasks WHERE partition = ?1 LIMIT 1`

	// sureAfter is how many partitions must be found sealed under our secret
	// before the rest is believed to be.
	sureAfter = 200
)

// loadCounts counts the tasks of a file, which takes about a second for each
// million. A partition's id is a hash under the secret that seals its tasks, so
// one task that cannot be opened tells that none can: a lost key means an empty
// store, and the partition is left out. A partition has one upstream: where a
// damaged row claims another, the most rows are right.
func (d *database) loadCounts(ctx context.Context, secret *cache.Secret) error {
	d.counts = newCounts()
	deltas, err := d.groups(ctx)
	if err != nil {
		return err
	}
	ours, sure := map[cache.ID]bool{}, true
	for _, g := range deltas {
		known, seen := ours[g.partition]
		if !seen {
			if known = sure && len(ours) >= sureAfter; !known {
				if known, err = d.opens(ctx, secret, &g.partition); err != nil {
					return err
				}
			}
			ours[g.partition] = known
			sure = sure && known
		}
		if known {
			d.counts.apply([]delta{g})
		}
	}
	d.locked = len(deltas) > 0 && len(d.counts.byPartition) == 0
	return nil
}

func (d *database) groups(ctx context.Context) (all []delta, err error) {
	rows, err := d.read.QueryContext(ctx, sqlCount)
	if err != nil {
		return nil, asDamage(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var partition []byte
		var g delta
		if err := rows.Scan(&partition, (*text)(&g.status), (*text)(&g.upstream), &g.n); err != nil {
			return nil, err
		}
		if len(partition) == len(g.partition) {
			copy(g.partition[:], partition)
			all = append(all, g)
		}
	}
	return all, rows.Err()
}

// opens reports whether a task of the partition can be opened.
func (d *database) opens(ctx context.Context, secret *cache.Secret, partition *cache.ID) (bool, error) {
	var key, head, body blob
	err := d.read.QueryRowContext(ctx, sqlProbe, partition[:]).Scan(&key, &head, &body)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("count tasks: %w", err)
	}
	var id cache.ID
	if len(key) != len(id) {
		return false, nil
	}
	copy(id[:], key)
	if len(head) > 0 {
		_, err = secret.OpenRow(partition, &id, head, time.Now())
	} else {
		_, err = secret.OpenEntry(partition, &id, body, time.Now())
	}
	return err == nil, nil
}
