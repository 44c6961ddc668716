package sqlindex

import (
	"time"

	"pollux/cache"
)

// maxRounds bounds how often a list reads on because rows could not be opened.
const maxRounds = 10

// List is cache.Index.List over pages, which page returns as Page does. A head
// that is damaged has what damaged returns in its place. Rows that cannot be
// opened, or do not match q, are passed over.
func List(q *cache.Query, page func(rest *cache.Query) ([]Head, error), secret *cache.Secret, damaged func(*cache.ID) (*cache.Entry, error)) ([]cache.Row, *cache.Position, error) {
	rest := *q
	rows := make([]cache.Row, 0, q.Limit)
	for range maxRounds {
		rest.Limit = q.Limit - len(rows)
		heads, err := page(&rest)
		if err != nil {
			return nil, nil, err
		}
		more := len(heads) > rest.Limit
		for i := range heads[:min(len(heads), rest.Limit)] {
			if row, ok := heads[i].open(secret, damaged); ok && q.Matches(&row) {
				rows = append(rows, row)
			}
			rest.After = &heads[i].At
		}
		if !more {
			return rows, nil, nil
		}
		if len(rows) == q.Limit {
			break
		}
	}
	return rows, rest.After, nil
}

// open opens the row. What is in it, not the columns, is what the caller may be
// shown.
func (h *Head) open(secret *cache.Secret, damaged func(*cache.ID) (*cache.Entry, error)) (cache.Row, bool) {
	var key, partition cache.ID
	if copy(key[:], h.Key) != len(key) || copy(partition[:], h.Partition) != len(partition) {
		return cache.Row{}, false
	}
	if row, err := secret.OpenRow(&partition, &key, h.Sealed, time.Now()); err == nil {
		return row, true
	}
	e, err := damaged(&key)
	if err != nil {
		return cache.Row{}, false
	}
	return cache.RowOf(e), true
}
