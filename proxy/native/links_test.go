package native

import (
	"net/url"
	"testing"

	"pollux/proxy/access"
	"pollux/proxy/poller/upstream"
)

func TestThroughPollux(t *testing.T) {
	const out = "https://p.test/native/vessl"
	for base, cases := range map[string]map[string]string{
		"http://Up.test:80/base%2Fx/v1/": {
			"/base%2Fx/v1": out, "/base%2Fx/v1/a%2Fb?x=%20#f": out + "/a%2Fb?x=%20#f", "/base%2Fx/v1?x": out + "?x",
			"http://up.test/base%2Fx/v1/a": out + "/a", "HTTP://UP.TEST:80/base%2Fx/v1/a": out + "/a", "//up.test/base%2Fx/v1/a": out + "/a",
			"/base%2Fx/v11": "http://Up.test:80/base%2Fx/v11", "/other": "http://Up.test:80/other", "/base%2Fx/v1/../y": "http://Up.test:80/base%2Fx/v1/../y",
			"https://up.test/base%2Fx/v1/a": "https://up.test/base%2Fx/v1/a", "http://up.test:81/base%2Fx/v1/a": "http://up.test:81/base%2Fx/v1/a",
			"http://evil@up.test/base%2Fx/v1/a": "http://evil@up.test/base%2Fx/v1/a", "http://up.test.evil/base%2Fx/v1": "http://up.test.evil/base%2Fx/v1",
			"a/b": "a/b", "../b": "../b", "?x=1": "?x=1", "#f": "#f", "": "", "mailto:a@b": "mailto:a@b",
		},
		"https://up.test": {
			"/": out + "/", "/a?next=https://up.test/b": out + "/a?next=https://up.test/b", "https://up.test": out, "https://up.test:443/a": out + "/a",
			"https://up.test?x": out + "?x", "//other.test/a": "//other.test/a",
		},
	} {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		l := links{upstream: &access.Upstream{Upstream: &upstream.Upstream{Name: "vessl", Base: u}}, publicURL: "https://p.test"}
		for ref, want := range cases {
			if got := l.through(ref); got != want {
				t.Errorf("base %s: %q becomes %q, want %q", base, ref, got, want)
			}
		}
	}
}
