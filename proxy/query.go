package proxy

import (
	"bytes"
	"strings"
	"time"

	"pollux/proxy/problem"
)

// options is what the reserved query parameters ask for.
type options struct {
	native, history bool          // include
	wait            time.Duration // longest time to wait for a change
	waits           bool          // wait was sent
}

// splitQuery takes Pollux's own parameters and the identity ones of t out of a
// query. What is left is returned: the query itself where nothing was taken, or
// a copy in buf.
func splitQuery(query []byte, t *target, c *caller, o *options, buf []byte) (rest, grown []byte, p *problem.Problem) {
	*o = options{}
	if len(query) == 0 {
		return nil, buf, nil
	}
	buf = buf[:0]
	taken, included := false, false
	for left := query; len(left) > 0; {
		var pair []byte
		pair, left, _ = bytes.Cut(left, []byte("&"))
		name, value, _ := bytes.Cut(pair, []byte("="))
		switch i := indexOf(t.query, name); {
		case i >= 0:
			if c.query[i] != nil {
				return nil, buf, invalid(string(t.query[i]) + " is sent twice")
			}
			if len(value) > 0 {
				c.query[i] = value
			}
		case string(name) == "include":
			if included {
				return nil, buf, invalid("include is sent twice")
			}
			if included = true; !o.setInclude(value) {
				return nil, buf, invalid("include wants native, history or both")
			}
		case string(name) == "wait":
			if o.waits {
				return nil, buf, invalid("wait is sent twice")
			}
			if o.wait, o.waits = parseWait(value); !o.waits {
				return nil, buf, invalid("wait wants whole seconds")
			}
		default:
			if len(buf) > 0 {
				buf = append(buf, '&')
			}
			buf = append(buf, pair...)
			continue
		}
		taken = true
	}
	if !taken {
		return query, buf, nil
	}
	return buf, buf, nil
}

func indexOf(names [][]byte, name []byte) int {
	for i, n := range names {
		if bytes.Equal(n, name) {
			return i
		}
	}
	return -1
}

// setInclude reads a list of native and history, separated by commas, which
// may be percent-encoded.
func (o *options) setInclude(value []byte) bool {
	if bytes.IndexByte(value, '%') >= 0 {
		value = []byte(strings.NewReplacer("%2C", ",", "%2c", ",").Replace(string(value)))
	}
	for more := true; more; {
		var word []byte
		word, value, more = bytes.Cut(value, []byte(","))
		switch string(word) {
		case "native":
			o.native = true
		case "history":
			o.history = true
		default:
			return false
		}
	}
	return true
}

// parseWait reads whole seconds. What is longer than any cap is cut down to a
// day.
func parseWait(value []byte) (time.Duration, bool) {
	n, ok := 0, len(value) > 0
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int(c-'0'), 24*60*60)
	}
	return time.Duration(n) * time.Second, ok
}
