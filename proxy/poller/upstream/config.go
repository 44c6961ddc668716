package upstream

import (
	"cmp"
	"time"

	"pollux/cache"
	"pollux/providers/strictyaml"
	"pollux/proxy/egress"
	"pollux/proxy/poller/adaptive"
	"pollux/proxy/poller/oauth"
)

// Config configures one upstream. Zero values are replaced by DefaultConfig
// before decoding, not afterwards: what the file says is
// what holds.
type Config struct {
	Provider   string            `yaml:"provider"`
	BaseURL    string            `yaml:"base_url"` // "" takes the provider file's
	Credential CredentialConfig  `yaml:"credential"`
	Params     map[string]string `yaml:"params"` // fixed values of reference parameters

	// Proxy is what the upstream is reached through. Empty leaves it to
	// HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
	Proxy egress.URL `yaml:"proxy"`
	// CAFile has the certificates of the authorities that the upstream's is
	// believed from. Empty means the system's.
	CAFile string `yaml:"ca_file"`
	// Timeout bounds one upstream request, connecting and reading included.
	Timeout   time.Duration   `yaml:"timeout"`
	Freshness FreshnessConfig `yaml:"freshness"`

	Schedule    string        `yaml:"schedule"` // fixed | vendor | adaptive
	TargetDelay Delay         `yaml:"target_delay"`
	MaxDelay    Delay         `yaml:"max_delay"`
	MinInterval time.Duration `yaml:"min_interval"`
	GroupBy     string        `yaml:"group_by"`

	// StaleIfError is how long past its freshness lifetime an entry that is
	// not terminal may still be served while its upstream fails (RFC 5861,
	// section 4). Zero means never. Terminal entries always may.
	StaleIfError time.Duration `yaml:"stale_if_error"`
	// Reauthorize is how long after an upstream's last successful answer to a
	// credential stored answers are served to it.
	Reauthorize time.Duration `yaml:"reauthorize"`
	// ReauthorizeGrace is added to Reauthorize while the upstream is down.
	// Unset means as long again as Reauthorize.
	ReauthorizeGrace *time.Duration `yaml:"reauthorize_grace"`

	// Sweep is how often a listing of the upstream is read that tells about many
	// tasks at once, while a partition has at least SweepAtLeast live tasks that
	// are watched or were polled in the last minute. Zero means never.
	Sweep        time.Duration `yaml:"sweep"`
	SweepAtLeast int           `yaml:"sweep_at_least"`

	Inbound     *InboundConfig `yaml:"inbound"` // nil: messages of the upstream are not taken
	Rate        *RateConfig    `yaml:"rate"`    // nil: unlimited
	Breaker     BreakerConfig  `yaml:"breaker"`
	MaxInFlight int            `yaml:"max_in_flight"` // polls
	// MaxForwards and MaxForwardsPerPartition bound the requests that are
	// passed on at once, until their answers have ended.
	MaxForwards             int `yaml:"max_forwards"`
	MaxForwardsPerPartition int `yaml:"max_forwards_per_partition"`
	// ForwardRate is the least rate in bytes per second of a body that is
	// passed on, either way, event streams excepted. ForwardGrace is how long
	// after its first byte a body may be slower. A rate of zero means none.
	ForwardRate      int              `yaml:"forward_rate"`
	ForwardGrace     time.Duration    `yaml:"forward_grace"`
	MaxResponseBytes strictyaml.Bytes `yaml:"max_response_bytes"`
}

// CredentialConfig is the word caller, or what Pollux holds: {value: "..."} or
// {file: path} for a bare key, {headers: {Name: value}} for one of several
// parts, {oauth2: {...}} for a client that a token server gives tokens.
type CredentialConfig struct {
	Caller  bool
	Value   strictyaml.Secret            // bare
	File    string                       // path of a bare one, read again when it changes
	Headers map[string]strictyaml.Secret // whole values by header
	OAuth2  *oauth.Config
}

// FreshnessConfig is how long an answer stays fresh, by status.
type FreshnessConfig struct {
	Queued         time.Duration `yaml:"queued"`
	InProgress     time.Duration `yaml:"in_progress"`
	RequiresAction time.Duration `yaml:"requires_action"`
	Unknown        time.Duration `yaml:"unknown"`
	NotFound       time.Duration `yaml:"not_found"`
	Reopenable     time.Duration `yaml:"reopenable"` // terminal answers of a reopenable provider
}

// Delay is the larger of an absolute and a relative delay, as in "1s or 10%".
type Delay adaptive.Delay

// RateConfig is a token bucket of upstream polls per credential.
type RateConfig struct {
	Requests int           `yaml:"requests"`
	Per      time.Duration `yaml:"per"`
	Burst    int           `yaml:"burst"` // 0 means Requests
}

// Budget is c as stores count it; nil where polls are not limited.
func (c *RateConfig) Budget() *cache.Budget { return c.Share(1) }

// Share is what is left of the budget to each of n processes that spend it
// without asking each other.
func (c *RateConfig) Share(n int) *cache.Budget {
	if c == nil {
		return nil
	}
	n = max(1, n)
	burst := cmp.Or(c.Burst, c.Requests)
	return &cache.Budget{Requests: c.Requests, Per: c.Per * time.Duration(n), Burst: max(1, burst/n)}
}

// BreakerConfig says when an upstream is left alone.
type BreakerConfig struct {
	Failures   int           `yaml:"failures"` // in a row
	Window     time.Duration `yaml:"window"`
	Ratio      float64       `yaml:"ratio"`
	Minimum    int           `yaml:"minimum"`
	OpenFor    time.Duration `yaml:"open_for"`
	OpenForMax time.Duration `yaml:"open_for_max"` // doubles up to this while probes fail
	Probes     int           `yaml:"probes"`
}

// DefaultConfig is what an upstream has where its config is silent.
func DefaultConfig() Config {
	return Config{
		Credential: CredentialConfig{Caller: true},
		Timeout:    10 * time.Second,
		Freshness: FreshnessConfig{
			Queued: 2 * time.Second, InProgress: 2 * time.Second, RequiresAction: 10 * time.Second,
			Unknown: 10 * time.Second, NotFound: time.Second, Reopenable: time.Minute,
		},
		Schedule:     "fixed",
		TargetDelay:  Delay{Absolute: time.Second, Relative: 0.10},
		MaxDelay:     Delay{Absolute: time.Minute, Relative: 1},
		MinInterval:  time.Second,
		GroupBy:      "model",
		StaleIfError: 10 * time.Minute,
		Reauthorize:  15 * time.Minute,
		SweepAtLeast: 5,
		Breaker: BreakerConfig{
			Failures: 5, Window: 30 * time.Second, Ratio: 0.5, Minimum: 20,
			OpenFor: 10 * time.Second, OpenForMax: 5 * time.Minute, Probes: 1,
		},
		MaxInFlight: 64,
		MaxForwards: 256, MaxForwardsPerPartition: 32, ForwardRate: 32, ForwardGrace: 30 * time.Second,
		MaxResponseBytes: 16 << 20,
	}
}
