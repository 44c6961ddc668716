package upstream

import (
	"errors"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"pollux/providers"
	"pollux/providers/format"
	"pollux/providers/strictyaml"
)

// upstreamName is what may stand in a URL, a metric's label and a log without
// ever needing an escape.
var upstreamName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// reservedNames are routes beside the upstreams' ones under /v1/tasks/.
var reservedNames = []string{"batch"}

// Validate returns everything wrong with an upstream of that name, by key and
// without place; set is what its provider is looked up in.
func (c *Config) Validate(name string, set *providers.Set) strictyaml.Faults {
	var v validation
	switch {
	case !upstreamName.MatchString(name):
		v.Add("", "want a name of 1 to 63 characters of a-z, 0-9 and -, and no - first")
	case slices.Contains(reservedNames, name):
		v.Add("", "is a reserved word, choose another name")
	}
	v.provider(c, set)
	v.durations(c)
	v.schedule(c)
	v.breaker(c)
	v.limits(c)
	return v.Below("upstreams." + name)
}

// validation collects the faults of one upstream.
type validation struct{ strictyaml.Faults }

func (v *validation) provider(c *Config, set *providers.Set) {
	p := set.Get(c.Provider)
	if p == nil {
		fault := "names no provider"
		if c.Provider == "" {
			fault = "is missing"
		}
		v.Add("provider", "%s, there are %s", fault, strings.Join(set.Names(), ", "))
	}
	switch {
	case c.BaseURL != "":
		if _, err := format.ParseBaseURL(c.BaseURL); err != nil {
			v.Add("base_url", "%v", err)
		}
	case p != nil && p.BaseURL == "":
		v.Add("base_url", "is missing, and provider %s has none of its own", p.Name)
	}
	v.route(c, p)
	v.credential(c.Credential, p)
	if p != nil {
		v.params(c.Params, p)
	}
	v.inbound(c, p)
	v.sweep(c, p)
}

// route checks how the upstream is reached; p is nil where there is no such
// provider.
func (v *validation) route(c *Config, p *providers.Provider) {
	way, err := newRoute(c)
	if err != nil {
		v.Add("ca_file", "%v", err)
	}
	base := c.BaseURL
	if base == "" && p != nil {
		base = p.BaseURL
	}
	at, err := url.Parse(base)
	if err != nil {
		return // said above
	}
	if _, err := way.proxyTo(at); err != nil && c.Proxy == "" {
		v.Add("", "HTTP_PROXY or HTTPS_PROXY of the environment: %v", err)
	} else if err != nil {
		v.Add("proxy", "%v", err)
	}
}

// credential checks what Pollux holds; p is nil where there is no such provider.
func (v *validation) credential(c CredentialConfig, p *providers.Provider) {
	switch {
	case c.Caller:
		return
	case c.File != "":
		if _, err := readSecret(c.File); err != nil {
			v.Add("credential.file", "%v", err)
		}
	case c.OAuth2 != nil:
		v.Faults = append(v.Faults, c.OAuth2.Validate().Below("credential.oauth2")...)
	case len(c.Headers) > 0:
		for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
			v.Want(printable(string(c.Headers[name])), "credential.headers."+name, "printable ASCII characters, since it travels in a header")
		}
	case !providers.Visible(string(c.Value)):
		v.Add("credential.value", "want visible ASCII characters, since it travels in a header")
	}
	if p == nil {
		return
	}
	if fault := p.HeldFault(slices.Sorted(maps.Keys(c.Headers))); fault != "" {
		v.Add("credential", "%s", fault)
	}
}

// printable reports whether s is visible ASCII, with blanks between.
func printable(s string) bool {
	return s == strings.TrimSpace(s) && providers.Visible(strings.ReplaceAll(s, " ", ""))
}

// params checks the fixed values of reference parameters.
func (v *validation) params(fixed map[string]string, p *providers.Provider) {
	_, err := providers.NewParser(p, fixed)
	faults, ok := errors.AsType[strictyaml.Faults](err)
	if err != nil && !ok {
		v.Add("params", "%v", err)
	}
	v.Faults = append(v.Faults, faults.Below("params")...)
}

func (v *validation) durations(c *Config) {
	for _, d := range []struct {
		key   string
		value time.Duration
	}{
		{"timeout", c.Timeout}, {"freshness.queued", c.Freshness.Queued}, {"freshness.in_progress", c.Freshness.InProgress},
		{"freshness.requires_action", c.Freshness.RequiresAction}, {"freshness.unknown", c.Freshness.Unknown},
		{"freshness.not_found", c.Freshness.NotFound}, {"freshness.reopenable", c.Freshness.Reopenable},
		{"min_interval", c.MinInterval}, {"reauthorize", c.Reauthorize},
	} {
		v.Want(d.value > 0, d.key, "more than 0")
	}
	v.Want(c.StaleIfError >= 0, "stale_if_error", "0 or more")
	v.Want(c.ReauthorizeGrace == nil || *c.ReauthorizeGrace >= 0, "reauthorize_grace", "0 or more")
}

func (v *validation) schedule(c *Config) {
	v.Want(slices.Contains([]string{"fixed", "vendor", "adaptive"}, c.Schedule), "schedule", "fixed, vendor or adaptive")
	for _, d := range []struct {
		key   string
		value Delay
	}{{"target_delay", c.TargetDelay}, {"max_delay", c.MaxDelay}} {
		if d.value.Absolute < 0 || d.value.Relative < 0 || d.value == (Delay{}) {
			v.Add(d.key, "want more than 0")
		}
	}
	v.Want(c.GroupBy != "", "group_by", "the name of a member of the document, such as model")
}

func (v *validation) breaker(c *Config) {
	b := &c.Breaker
	v.Want(b.Failures >= 1, "breaker.failures", "at least 1")
	v.Want(b.Minimum >= 1, "breaker.minimum", "at least 1")
	v.Want(b.Probes >= 1, "breaker.probes", "at least 1")
	// In a shorter window, requests that time out would leave it before there
	// are enough of them to open the breaker.
	if b.Window < 3*c.Timeout {
		v.Add("breaker.window", "want at least 3 times the timeout, %s", 3*c.Timeout)
	} else {
		v.Want(b.Window > 0, "breaker.window", "more than 0")
	}
	v.Want(b.Ratio > 0 && b.Ratio <= 1, "breaker.ratio", "more than 0 and at most 1")
	v.Want(b.OpenFor > 0, "breaker.open_for", "more than 0")
	v.Want(b.OpenForMax >= b.OpenFor, "breaker.open_for_max", "at least open_for")
}

func (v *validation) limits(c *Config) {
	if r := c.Rate; r != nil {
		v.Want(r.Requests >= 1, "rate.requests", "at least 1")
		v.Want(r.Per > 0, "rate.per", "more than 0")
		v.Want(r.Burst >= 0, "rate.burst", "0 or more")
	}
	v.Want(c.MaxInFlight >= 1, "max_in_flight", "at least 1")
	v.Want(c.MaxForwards >= 1, "max_forwards", "at least 1")
	v.Want(c.MaxForwardsPerPartition >= 1, "max_forwards_per_partition", "at least 1")
	v.Want(c.ForwardRate >= 0, "forward_rate", "0 or more")
	v.Want(c.ForwardGrace >= 0, "forward_grace", "0 or more")
	v.Want(c.MaxResponseBytes >= 1, "max_response_bytes", "at least 1")
}
