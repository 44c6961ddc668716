package schedule

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pollux/cache"
)

// hold takes slots for an owner and keeps them until the test ends. It returns
// how many it got at once.
func hold(t *testing.T, s *Slots, owner byte, n int) int {
	var got atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if slot, err := s.Acquire(ctx, &cache.ID{owner}); err == nil {
				got.Add(1)
				<-ctx.Done()
				slot.Release()
			}
		})
	}
	t.Cleanup(func() { stop(); all.Wait() })
	synctest.Wait()
	return int(got.Load())
}

func TestSlots(t *testing.T) {
	t.Run("one alone has them all", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			if got := hold(t, NewSlots(8), 1, 20); got != 8 {
				t.Errorf("got %d of 8", got)
			}
		})
	})
	t.Run("company finds a slot", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := NewSlots(16)
			hold(t, s, 2, 1)
			if got := hold(t, s, 1, 100); got < 8 || got > 12 {
				t.Errorf("one of two got %d of 16", got)
			}
			if got := hold(t, s, 3, 1); got != 1 {
				t.Error("a third one found none")
			}
		})
	})
	t.Run("a slot goes to those who wait, in turn", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := NewSlots(1)
			first, _ := s.Acquire(t.Context(), &cache.ID{1})
			var order []byte
			for _, owner := range []byte{1, 1, 2} {
				go func() {
					slot, err := s.Acquire(t.Context(), &cache.ID{owner})
					if err == nil {
						order = append(order, owner)
						time.Sleep(time.Second)
						slot.Release()
					}
				}()
				synctest.Wait()
			}
			first.Release()
			time.Sleep(time.Minute)
			synctest.Wait()
			if string(order) != "\x01\x02\x01" {
				t.Errorf("slots went to %v, want 1, 2, 1", order)
			}
			if len(s.owners) != 0 || s.running != 0 {
				t.Errorf("%d owners and %d slots are left", len(s.owners), s.running)
			}
		})
	})
	t.Run("who gives up leaves nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := NewSlots(1)
			slot, _ := s.Acquire(t.Context(), &cache.ID{1})
			for range 100 {
				ctx, stop := context.WithTimeout(t.Context(), time.Second)
				if _, err := s.Acquire(ctx, &cache.ID{1}); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatal(err)
				}
				stop()
			}
			if len(s.turn) > 1 {
				t.Errorf("%d wait although all gave up", len(s.turn))
			}
			slot.Release()
			if again, err := s.Acquire(t.Context(), &cache.ID{2}); err != nil {
				t.Fatal(err)
			} else {
				again.Release()
			}
			if len(s.owners) != 0 || s.running != 0 {
				t.Errorf("%d owners and %d slots are left", len(s.owners), s.running)
			}
		})
	})
}
