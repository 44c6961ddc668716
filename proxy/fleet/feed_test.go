package fleet

import (
	"testing"

	"pollux/cache"
)

// TestFeedCoalesces: a reader that does not read gets each row once, and is cut
// off when there are too many.
func TestFeedCoalesces(t *testing.T) {
	var f feed
	rows := []cache.Row{{Key: cache.ID{1}, Status: "in_progress"}}
	sub := f.subscribe(cache.Query{Sight: cache.Sight{All: true}})
	defer f.leave(sub)
	for range 3 {
		sub.add(&rows[0])
	}
	got, problem, over := sub.take()
	if len(got) != 1 || problem != nil || over {
		t.Errorf("got %d rows, %v, %v, want one", len(got), problem, over)
	}
	sub.add(&rows[0])
	f.Lost(&rows[0].Key, nil)
	sub.add(&rows[0])
	if got, _, _ := sub.take(); len(got) != 1 {
		t.Errorf("got %d rows of a task that was lost in between, want one", len(got))
	}
	for i := range maxPendingRows + 1 {
		row := rows[0]
		row.Key[0], row.Key[1], row.Key[2] = byte(i), byte(i>>8), byte(i>>16)
		sub.add(&row)
	}
	if got, _, over := sub.take(); len(got) > 0 || !over {
		t.Errorf("got %d rows, over %v, want an end", len(got), over)
	}
}
