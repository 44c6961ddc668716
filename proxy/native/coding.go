package native

import (
	"bytes"
	"compress/flate"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// decoders undo the content codings that creates and their answers may come in:
// their clients choose them.
var decoders = map[string]func(io.Writer, []byte) (int, error){
	"gzip": fasthttp.WriteGunzip, "x-gzip": fasthttp.WriteGunzip, "deflate": inflate,
	"br": fasthttp.WriteUnbrotli, "zstd": fasthttp.WriteUnzstd,
}

// inflate takes what RFC 9110 calls deflate, and the bare form that some send
// under that name (section 8.4.1.2).
func inflate(w io.Writer, body []byte) (int, error) {
	n, err := fasthttp.WriteInflate(w, body)
	if err == nil || n > 0 {
		return n, err
	}
	bare, err := io.Copy(w, flate.NewReader(bytes.NewReader(body)))
	return int(bare), err
}

// maxCodings bounds the codings of one body.
const maxCodings = 3

// decode is body without its content codings, nil if one of them is not known or
// the result is too long.
func decode(codings []string, body []byte) []byte {
	if len(codings) > maxCodings {
		return nil
	}
	for _, coding := range slices.Backward(codings) {
		undo := decoders[coding]
		if undo == nil || body == nil {
			return nil
		}
		var plain atMost
		if _, err := undo(&plain, body); err != nil {
			return nil
		}
		body = plain
	}
	return body
}

// atMost takes lessonBytes, and fails at more.
type atMost []byte

func (a *atMost) Write(p []byte) (int, error) {
	if len(*a)+len(p) > lessonBytes {
		return 0, io.ErrShortBuffer
	}
	*a = append(*a, p...)
	return len(p), nil
}

// offerReadable leaves of Accept-Encoding the codings that can be undone.
func offerReadable(h http.Header) {
	offered := h.Values("Accept-Encoding")
	if len(offered) == 0 {
		return
	}
	var kept []string
	for member := range strings.SplitSeq(strings.Join(offered, ","), ",") {
		coding, _, _ := strings.Cut(member, ";")
		coding = strings.ToLower(strings.TrimSpace(coding))
		if decoders[coding] != nil || coding == "identity" {
			kept = append(kept, strings.TrimSpace(member))
		}
	}
	if kept == nil {
		kept = []string{"identity"} // nothing at all would offer everything
	}
	h.Set("Accept-Encoding", strings.Join(kept, ", "))
}
