package wire

import "encoding/json"

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
