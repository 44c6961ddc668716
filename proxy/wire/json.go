package wire

import (
	"bytes"
	"encoding/json"
)

// Json answers with v, which can always be rendered.
func (x *Exchange) Json(v any) {
	x.SetHeader(HeaderContentType, TypeJSON)
	x.SetHeader(HeaderCacheControl, NoStore)
	x.SetHeader(HeaderSniff, NoSniff)
	x.Ctx.SetBody(Marshal(v))
}

// Marshal renders v, which can always be rendered.
func Marshal(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic("BUG: an answer cannot be rendered: " + err.Error())
	}
	return body
}

// AppendString appends s as a JSON string.
func AppendString(dst []byte, s string) []byte { return append(dst, Marshal(s)...) }

// PlainString is s as a JSON string in which & stays readable.
func PlainString(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic("BUG: a string cannot be rendered: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
