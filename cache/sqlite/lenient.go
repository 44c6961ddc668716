package sqlite

import "fmt"

// A flipped bit can make any column NULL or of another type, whatever its
// declaration says. These take such a value for nothing instead of failing the
// whole statement: only what is sealed is believed anyway.

// text reads a column into a string, "" where it holds none.
type text string

// Scan implements sql.Scanner.
func (t *text) Scan(v any) error {
	switch v := v.(type) {
	case string:
		*t = text(v)
	case []byte:
		*t = text(v)
	case nil:
		*t = ""
	default:
		*t = text(fmt.Sprint(v))
	}
	return nil
}

// integer reads a column into an int64, 0 where it holds none.
type integer int64

// Scan implements sql.Scanner.
func (i *integer) Scan(v any) error {
	n, _ := v.(int64)
	*i = integer(n)
	return nil
}

// blob reads a column into bytes, none where it holds none.
type blob []byte

// Scan implements sql.Scanner.
func (b *blob) Scan(v any) error {
	switch v := v.(type) {
	case []byte:
		*b = append((*b)[:0], v...)
	case string:
		*b = append((*b)[:0], v...)
	default:
		*b = nil
	}
	return nil
}

// lenient wraps what is scanned into so that a damaged column costs its row and
// not the statement.
func lenient(dest []any) []any {
	for i, d := range dest {
		switch d := d.(type) {
		case *int64:
			dest[i] = (*integer)(d)
		case *[]byte:
			dest[i] = (*blob)(d)
		case *string:
			dest[i] = (*text)(d)
		}
	}
	return dest
}
