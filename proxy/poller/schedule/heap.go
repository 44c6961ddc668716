package schedule

import "container/heap"

// Heap holds values, the first one at hand. It is for one goroutine at a time.
type Heap[T any] struct{ nodes nodes[T] }

// Node is a value's place in a heap. The zero value is in none.
type Node[T any] struct {
	Value T
	in    bool
	index int
}

// In reports whether the value is in a heap.
func (n *Node[T]) In() bool { return n != nil && n.in }

// NewHeap returns an empty heap in which a comes before b if before says so.
func NewHeap[T any](before func(a, b T) bool) *Heap[T] {
	return &Heap[T]{nodes[T]{before: before}}
}

// Len is how many values there are.
func (h *Heap[T]) Len() int { return len(h.nodes.list) }

// First is the value that comes before all others, if there is any.
func (h *Heap[T]) First() (first T, ok bool) {
	if len(h.nodes.list) == 0 {
		return first, false
	}
	return h.nodes.list[0].Value, true
}

// Push adds v and returns its place.
func (h *Heap[T]) Push(v T) *Node[T] {
	n := &Node[T]{Value: v, in: true}
	heap.Push(&h.nodes, n)
	return n
}

// Pop takes the first value out. There must be one.
func (h *Heap[T]) Pop() T { return heap.Pop(&h.nodes).(*Node[T]).Value }

// Fix puts a value right whose order has changed.
func (h *Heap[T]) Fix(n *Node[T]) { heap.Fix(&h.nodes, n.index) }

// Remove takes a value out, if it is in.
func (h *Heap[T]) Remove(n *Node[T]) {
	if n.In() {
		heap.Remove(&h.nodes, n.index)
	}
}

// nodes implements heap.Interface.
type nodes[T any] struct {
	list   []*Node[T]
	before func(a, b T) bool
}

func (n *nodes[T]) Len() int           { return len(n.list) }
func (n *nodes[T]) Less(i, j int) bool { return n.before(n.list[i].Value, n.list[j].Value) }
func (n *nodes[T]) Swap(i, j int) {
	n.list[i], n.list[j] = n.list[j], n.list[i]
	n.list[i].index, n.list[j].index = i, j
}
func (n *nodes[T]) Push(x any) {
	node := x.(*Node[T])
	node.index = len(n.list)
	n.list = append(n.list, node)
}
func (n *nodes[T]) Pop() any {
	last := len(n.list) - 1
	node := n.list[last]
	n.list[last] = nil
	n.list = n.list[:last]
	node.in = false
	return node
}
