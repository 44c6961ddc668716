package providers

import "slices"

// View is a reference in bytes, reused from request to request so that reading
// one allocates nothing. The zero value is ready; it is for one goroutine.
type View struct {
	values [][]byte // by parameter, decoded; nil: not sent
	buf    []byte   // what values point into
}

// reset empties v for params parameters whose escaped values have at most
// size bytes, so that buf does not move while it is filled.
func (v *View) reset(params, size int) {
	v.values = slices.Grow(v.values[:0], params)[:params]
	clear(v.values)
	v.buf = slices.Grow(v.buf[:0], size)
}

// Len is the number of parameters of the provider.
func (v *View) Len() int { return len(v.values) }

// At is the decoded value of parameter i, nil if it was not sent. It is valid
// until v is used again.
func (v *View) At(i int) []byte { return v.values[i] }

// Reference returns a copy that lasts.
func (v *View) Reference() Reference {
	values := make([]string, len(v.values))
	for i, value := range v.values {
		values[i] = string(value)
	}
	return Reference{Values: values}
}

func (v *View) hasAny(params []int) bool {
	return slices.ContainsFunc(params, func(i int) bool { return v.values[i] != nil })
}
