package sqlite

import (
	"database/sql"
	"time"
)

// expireEvery is how often rows past retention are looked for, expireStep how
// many go at once, expirePause the gap between two steps.
const (
	expireEvery = time.Minute
	expireStep  = 500
	expirePause = 20 * time.Millisecond
)

// expire deletes some rows past their retention and returns when to go on.
func (w *writer) expire() time.Duration {
	before := time.Now().Add(-w.retention).UnixMicro()
	var deleted int
	err := w.useFile(func(d *database) error {
		deltas, err := expired(d.expire.Query(before, expireStep))
		if err == nil {
			d.counts.apply(deltas)
			deleted = len(deltas)
		}
		return err
	})
	if err != nil {
		w.report(err)
	}
	if err == nil && deleted == expireStep {
		return expirePause
	}
	return expireEvery
}

// expired reads what sqlExpire deleted.
func expired(rows *sql.Rows, err error) ([]delta, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close() // after Next returned false this only repeats its error
	var deltas []delta
	for rows.Next() {
		var partition []byte
		d := delta{n: -1}
		if err := rows.Scan(&partition, (*text)(&d.upstream), (*text)(&d.status)); err != nil {
			return nil, err
		}
		copy(d.partition[:], partition)
		deltas = append(deltas, d)
	}
	return deltas, rows.Err()
}
