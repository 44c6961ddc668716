package sqlindex

import "pollux/cache"

// maxRounds bounds how often a list reads on because rows could not be opened.
const maxRounds = 10

// List is cache.Index.List over pages, which page returns as Page does, with the
// rows that open makes of heads. Those that cannot be opened, or do not match q,
// are passed over.
func List(q *cache.Query, page func(rest *cache.Query) ([]Head, error), open func(*Head) (cache.Row, bool)) ([]cache.Row, *cache.Position, error) {
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
			if row, ok := open(&heads[i]); ok && q.Matches(&row) {
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
