package schedule

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestHeap(t *testing.T) {
	h := NewHeap(func(a, b *int) bool { return *a < *b })
	var nodes []*Node[*int]
	var want []int
	for range 500 {
		v := rand.IntN(1000)
		nodes = append(nodes, h.Push(&v))
	}
	for i, n := range nodes {
		switch i % 3 {
		case 0:
			h.Remove(n)
			h.Remove(n) // once more changes nothing
			continue
		case 1:
			*n.Value = rand.IntN(1000)
			h.Fix(n)
		}
		want = append(want, *n.Value)
	}
	slices.Sort(want)
	for i, w := range want {
		if first, ok := h.First(); !ok || *first != w {
			t.Fatalf("value %d is %v, want %d", i, first, w)
		}
		if got := *h.Pop(); got != w {
			t.Fatalf("value %d is %d, want %d", i, got, w)
		}
	}
	if _, ok := h.First(); ok || h.Len() != 0 || nodes[1].In() {
		t.Error("the heap is not empty in the end")
	}
}
