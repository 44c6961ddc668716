package tasks

import (
	"bytes"
	"strings"
	"time"

	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

// options is what the reserved query parameters ask for.
type options struct {
	native, history bool          // include
	wait            time.Duration // longest time to wait for a change
	waits           bool          // wait was sent
	waited          bool          // the answer comes after a wait
}

// take reads one of the reserved parameters; taken is false for another.
func (o *options) take(name, value []byte) (taken bool, p *problem.Problem) {
	switch string(name) {
	case "include":
		if o.native || o.history {
			return true, wire.Invalid("include is sent twice")
		}
		if !o.setInclude(value) {
			return true, wire.Invalid("include wants native, history or both")
		}
	case "wait":
		if o.waits {
			return true, wire.Invalid("wait is sent twice")
		}
		if o.wait, o.waits = parseWait(value); !o.waits {
			return true, wire.Invalid("wait wants whole seconds")
		}
	default:
		return false, nil
	}
	return true, nil
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
