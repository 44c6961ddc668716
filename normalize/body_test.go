package normalize

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func nest(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func TestCheckBody(t *testing.T) {
	tests := map[string]struct {
		body string
		want error
	}{
		"object":                     {`{"a":1}`, nil},
		"blanks around it":           {" \n{}\t ", nil},
		"depth 100":                  {`{"a":` + nest(99) + `}`, nil},
		"depth 101":                  {`{"a":` + nest(100) + `}`, errTooDeep},
		"brackets in strings":        {`{"a":"` + strings.Repeat("[", 200) + `\"{"}`, nil},
		"many siblings":              {`{"a":[` + strings.Repeat("[],", 500) + `[]]}`, nil},
		"empty":                      {``, errNotJSON},
		"blank":                      {"  ", errNotJSON},
		"truncated":                  {`{"status":"completed"`, errNotJSON},
		"truncated in a string":      {`{"status":"compl`, errNotJSON},
		"truncated after a quote":    {`{"status\"`, errNotJSON},
		"trailing text":              {`{} {}`, errNotJSON},
		"byte order mark":            {"\uFEFF{}", errNotJSON},
		"not a number":               {`{"a":NaN}`, errNotJSON},
		"HTML":                       {`<html></html>`, errNotJSON},
		"null":                       {`null`, errNotObject},
		"array":                      {`[{"status":"completed"}]`, errNotObject},
		"JSON in a string":           {`"{\"status\":\"completed\"}"`, errNotObject},
		"invalid UTF-8":              {"{\"a\":\"\xff\"}", errNotUTF8},
		"surrogate in UTF-8":         {"{\"a\":\"\xed\xa0\x80\"}", errNotUTF8},
		"escaped lone surrogate":     {`{"a":"\ud800"}`, nil},
		"control character":          {"{\"a\":\"\x00\"}", errNotJSON},
		"more closing than opening":  {`}}}}{`, errNotJSON},
		"megabytes of open brackets": {strings.Repeat("[", 16<<20), errTooDeep},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			if err := CheckBody([]byte(tt.body)); !errors.Is(err, tt.want) {
				t.Errorf("CheckBody(%.60q) = %v, want %v", tt.body, err, tt.want)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("CheckBody(%.60q) took %v", tt.body, took)
			}
		})
	}
}

func TestDecodeString(t *testing.T) {
	tests := map[string]string{
		`""`:                     "",
		`"plain é"`:              "plain é",
		`"\"\\\/\b\f\n\r\t"`:     "\"\\/\b\f\n\r\t",
		`"a\u00e9z"`:             "aéz",
		`"\ud83d\ude00!"`:        "😀!",
		`"\ud800"`:               "\uFFFD",
		`"\ud800\u0041"`:         "\uFFFDA",
		`"\udc00x\ud800\ud800y"`: "\uFFFDx\uFFFD\uFFFDy",
		`"end\\"`:                `end\`,
	}
	for raw, want := range tests {
		if got := decodeString(raw); got != want {
			t.Errorf("decodeString(%s) = %q, want %q", raw, got, want)
		}
	}
}

func FuzzCheckBody(f *testing.F) {
	for _, body := range bodies {
		f.Add([]byte(body.json))
	}
	f.Add([]byte(nest(101)))
	f.Add([]byte(`{"a":"\ud800\"[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		err := CheckBody(body)
		isObject := json.Valid(body) && bytes.HasPrefix(bytes.TrimLeft(body, " \n\t\r"), []byte("{"))
		if err == nil && !isObject {
			t.Errorf("CheckBody(%q) accepts what is no JSON object", body)
		}
		if isObject && (errors.Is(err, errNotJSON) || errors.Is(err, errNotObject)) {
			t.Errorf("CheckBody(%q) = %v, but it is a JSON object", body, err)
		}
		if err != nil {
			return
		}
		// The scanners must see what an independent reader sees.
		var want map[string]json.RawMessage
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		eachMember(newDocument(body).root(), func(key, value string) { got[decodeString(key)] = value })
		if len(got) != len(want) {
			t.Fatalf("members of %q = %q, want %q", body, got, want)
		}
		for key, value := range want {
			if got[key] != string(value) {
				t.Errorf("member %q of %q = %q, want %q", key, body, got[key], value)
			}
		}
	})
}
