package strictyaml

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is a size: a number of bytes, or one with a unit as in "16MiB".
type Bytes int64

// units by their length, so that the longest suffix is found first.
var units = []struct {
	suffix string
	factor int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// ParseBytes reads a size as it is written in a file: a whole number, with or
// without one of B, KiB, MiB, GiB, TiB, kB, MB, GB and TB.
func ParseBytes(s string) (Bytes, error) {
	number, factor := s, int64(1)
	for _, u := range units {
		if before, ok := strings.CutSuffix(s, u.suffix); ok {
			number, factor = strings.TrimRight(before, " "), u.factor
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || int64(n) > math.MaxInt64/factor {
		return 0, fmt.Errorf("not a size")
	}
	return Bytes(int64(n) * factor), nil
}

// String is the size with the largest binary unit that keeps it whole.
func (b Bytes) String() string {
	for i := 3; i >= 0; i-- {
		if u := units[i]; b != 0 && int64(b)%u.factor == 0 {
			return strconv.FormatInt(int64(b)/u.factor, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// UnmarshalNode reads a size.
func (b *Bytes) UnmarshalNode(n *Node) Faults {
	size, err := ParseBytes(n.Scalar())
	if err != nil {
		return Faults{n.Fault("want a size such as 16MiB")}
	}
	*b = size
	return nil
}
