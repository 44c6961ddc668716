package providers

import (
	"strings"
	"testing"
)

// BenchmarkJudge is the cost of an upstream poll's answer, per provider.
func BenchmarkJudge(b *testing.B) {
	for provider, situation := range map[string]string{
		"aitronos": "completed", "gumloop": "completed", "gumloop-flow": "pl_done", "orq": "completed", "openai": "completed", "a2a": "completed", "shannon": "completed", "vessl": "completed",
	} {
		b.Run(provider, func(b *testing.B) {
			for _, f := range fixtures(b, provider) {
				if f.Situation != situation {
					continue
				}
				r, h, body := f.reference(b), f.header(), f.body()
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					if v := f.provider.Judge(r, f.HTTPStatus, h, body, noon); v.Kind != Answered {
						b.Fatal(v.Reason)
					}
				}
			}
		})
	}
}

// BenchmarkParseURL is on the hit path, hostile input included.
func BenchmarkParseURL(b *testing.B) {
	for _, test := range []struct{ name, provider, path, query string }{
		{"pattern", "shannon", "task-00000000-0000-0000-0000-000000000002-1780405477", ""},
		{"escaped", "orq", "my%20agent%2Fx/01K6D8QESESZ6SAXQPJPFQXPFT", ""},
		{"query", "gumloop", "xYz789AbCdEfGhI", "user_id=user_2b9d71f0&project_id=p"},
		{"hostile", "orq", "a%2F..%2F..%2F..%2F..%2F..%2Fetc%2Fpasswd/01K6", ""},
	} {
		b.Run(test.name, func(b *testing.B) {
			parser := newParser(b, test.provider, nil)
			path, query := []byte(test.path), []byte(test.query)
			var v View
			b.ReportAllocs()
			for b.Loop() {
				_ = parser.ParseURL(&v, path, query)
			}
		})
	}
}

// BenchmarkJudgeLarge is the same of a body that has 200 KB before what is read.
func BenchmarkJudgeLarge(b *testing.B) {
	large := `{"transcript":"` + strings.Repeat("The picture shows two dogs. ", 7500) + `",`
	for _, provider := range []string{"vessl", "openai", "orq"} {
		b.Run(provider, func(b *testing.B) {
			for _, f := range fixtures(b, provider) {
				if f.Situation != "completed" {
					continue
				}
				r, h, body := f.reference(b), f.header(), []byte(strings.Replace(string(f.body()), "{", large, 1))
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					if v := f.provider.Judge(r, f.HTTPStatus, h, body, noon); v.Kind != Answered {
						b.Fatal(v.Reason)
					}
				}
			}
		})
	}
}
