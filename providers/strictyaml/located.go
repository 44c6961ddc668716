package strictyaml

// At is a value and where it stands; Node is nil when the file has none.
type At[T any] struct {
	Value T
	Node  *Node
}

// Named is one member of a mapping.
type Named[T any] struct {
	Name  string
	Value T
	Node  *Node // of the value
}

// InOrder is a mapping whose order matters.
type InOrder[T any] []Named[T]

// OneOrMore is a T, or a list of them.
type OneOrMore[T any] []T

// UnmarshalNode decodes the value and keeps where it stands.
func (a *At[T]) UnmarshalNode(n *Node) Faults {
	a.Node = n
	return n.Decode(&a.Value)
}

// UnmarshalNode decodes every member.
func (m *InOrder[T]) UnmarshalNode(n *Node) Faults {
	if n.Kind() != Map {
		return Faults{n.Fault("want a mapping")}
	}
	var faults Faults
	for _, pair := range n.Map() {
		member := Named[T]{Name: pair.Key, Node: pair.Value}
		faults = append(faults, pair.Value.Decode(&member.Value)...)
		*m = append(*m, member)
	}
	return faults
}

// UnmarshalNode decodes one, or every element of a list.
func (l *OneOrMore[T]) UnmarshalNode(n *Node) Faults {
	nodes := []*Node{n}
	if n.Kind() == List {
		nodes = n.List()
	}
	var faults Faults
	*l = make([]T, len(nodes))
	for i, node := range nodes {
		faults = append(faults, node.Decode(&(*l)[i])...)
	}
	return faults
}
