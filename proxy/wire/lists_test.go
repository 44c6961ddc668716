package wire

import (
	"testing"

	"github.com/valyala/fasthttp"
)

func exchangeWith(lines ...[2]string) *Exchange {
	x := &Exchange{Ctx: &fasthttp.RequestCtx{}}
	for _, l := range lines {
		x.Ctx.Request.Header.Add(l[0], l[1])
	}
	return x
}

func TestWantsStream(t *testing.T) {
	for name, c := range map[string]struct {
		accept []string
		want   bool
	}{
		"nothing":                        {nil, false},
		"it alone":                       {[]string{"text/event-stream"}, true},
		"in any case":                    {[]string{"Text/Event-Stream"}, true},
		"JSON alone":                     {[]string{"application/json"}, false},
		"everything":                     {[]string{"*/*"}, false},
		"every text":                     {[]string{"text/*"}, false},
		"both alike":                     {[]string{"application/json, text/event-stream"}, true},
		"both, in two lines":             {[]string{"application/json", "text/event-stream"}, true},
		"it is liked less":               {[]string{"text/event-stream;q=0.5, application/json"}, false},
		"it is liked less than the rest": {[]string{"text/event-stream; q=0.5, */*"}, false},
		"it is liked more":               {[]string{"application/json;q=0.9", "text/event-stream"}, true},
		"refused":                        {[]string{"text/event-stream;q=0"}, false},
		"refused, to three digits":       {[]string{"text/event-stream;q=0.000, */*;q=0"}, false},
		"a weight after a parameter":     {[]string{`text/event-stream;a="x;q=1,y";q=0`}, false},
		"a comma in quotes":              {[]string{`application/json;a=", text/event-stream"`}, false},
		"a weight that is none":          {[]string{"text/event-stream;q=x"}, true},
		"the range refuses, it does not": {[]string{"*/*;q=0, text/event-stream;q=0.1"}, true},
	} {
		x := exchangeWith()
		for _, line := range c.accept {
			x.Ctx.Request.Header.Add("Accept", line)
		}
		if got := x.WantsStream(); got != c.want {
			t.Errorf("%s: Accept %q: got %v, want %v", name, c.accept, got, c.want)
		}
	}
}

func TestPreferred(t *testing.T) {
	for name, c := range map[string]struct {
		prefer []string
		want   string
	}{
		"none":              {nil, ""},
		"alone":             {[]string{"wait=30"}, "30"},
		"quoted":            {[]string{`wait="30"`}, "30"},
		"with blanks":       {[]string{" Wait = 30 "}, "30"},
		"after another":     {[]string{"respond-async, wait=30"}, "30"},
		"in a second line":  {[]string{"respond-async", "wait=30"}, "30"},
		"with parameters":   {[]string{"wait=30; a=b"}, "30"},
		"the first counts":  {[]string{"wait=30, wait=10"}, "30"},
		"within quotes":     {[]string{`x="a, wait=5", wait=30`}, "30"},
		"an escaped quote":  {[]string{`x="a\", wait=5", wait=30`}, "30"},
		"another that ends": {[]string{"await=5"}, ""},
	} {
		x := exchangeWith()
		for _, line := range c.prefer {
			x.Ctx.Request.Header.Add("Prefer", line)
		}
		if got := string(x.Preferred("wait")); got != c.want {
			t.Errorf("%s: Prefer %q: got %q, want %q", name, c.prefer, got, c.want)
		}
	}
}

// TestListsInSeveralLines: they are one list, whichever line has it.
func TestListsInSeveralLines(t *testing.T) {
	x := exchangeWith([2]string{"Cache-Control", "foo=\"no-cache, x\""}, [2]string{"Cache-Control", "only-if-cached"},
		[2]string{"If-None-Match", `W/"a"`}, [2]string{"If-None-Match", `W/"b, c"`})
	if d := x.Directives(); d != (Directives{OnlyIfCached: true}) {
		t.Errorf("got %+v", d)
	}
	for etag, want := range map[string]bool{`W/"a"`: true, `W/"b, c"`: true, `W/"b"`: false} {
		if got := x.has(etag); got != want {
			t.Errorf("has(%s) = %v, want %v", etag, got, want)
		}
	}
}

func TestCheckJSONSurrogates(t *testing.T) {
	for body, ok := range map[string]bool{
		`"\ud83d\ude00"`: true, `"\uD83D\uDE00x"`: true, `"\\ud800"`: true, `"\\\\ud800"`: true, `"A\n\u0041"`: true, `["\ud83d\ude00","\ud83d\ude00"]`: true,
		`"\ud800"`: false, `"\udc00"`: false, `"\ud800\ud800"`: false, `"\ude00\ud83d"`: false, `"\ud83dx\ude00"`: false, `{"\ud800":1}`: false,
		`"\ud83d\\ude00"`: false, `"\ud83d\u0041"`: false, `"\\\ud800"`: false, `"\ud83d\ude00\ude00"`: false,
	} {
		if err := CheckJSON([]byte(body)); (err == nil) != ok {
			t.Errorf("CheckJSON(%s): got %v, want ok %v", body, err, ok)
		}
	}
}
