package proxy

import (
	"bytes"
	"encoding/json"
)

// json answers with v, which can always be rendered.
func (x *exchange) json(v any) {
	x.setHeader(headerContentType, typeJSON)
	x.setHeader(headerCacheControl, noStore)
	x.setHeader(headerSniff, noSniff)
	x.ctx.SetBody(marshal(v))
}

// marshal renders v, which can always be rendered.
func marshal(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic("BUG: an answer cannot be rendered: " + err.Error())
	}
	return body
}

// appendJSONString appends s as a JSON string.
func appendJSONString(dst []byte, s string) []byte { return append(dst, marshal(s)...) }

// plainJSONString is s as a JSON string in which & stays readable.
func plainJSONString(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic("BUG: a string cannot be rendered: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
