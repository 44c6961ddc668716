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
