package upstream

import (
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"pollux/providers/strictyaml"
	"pollux/proxy/poller/oauth"
)

// UnmarshalNode fills the defaults in before it reads what the file says.
func (c *Config) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	*c = DefaultConfig()
	type plain Config // without this method, or Decode would come back here
	return n.Decode((*plain)(c))
}

// UnmarshalNode reads the word caller, or one form of what Pollux holds.
func (c *CredentialConfig) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	if n.Kind() == strictyaml.String && n.Scalar() == "caller" {
		*c = CredentialConfig{Caller: true}
		return nil
	}
	if n.Kind() != strictyaml.Map {
		return strictyaml.Faults{n.Fault("want caller, or {value: ...} for a credential that Pollux holds")}
	}
	var held struct {
		Value   *string           `yaml:"value"`
		File    *string           `yaml:"file"`
		Headers map[string]string `yaml:"headers"`
		OAuth2  *oauth.Config     `yaml:"oauth2"`
	}
	faults := n.Decode(&held)
	*c = CredentialConfig{Headers: held.Headers, OAuth2: held.OAuth2}
	forms := min(1, len(held.Headers))
	if held.Value != nil {
		c.Value, forms = *held.Value, forms+1
	}
	if held.File != nil {
		c.File, forms = *held.File, forms+1
	}
	if held.OAuth2 != nil {
		forms++
	}
	if forms > 1 {
		faults = append(faults, n.Fault("want one of value, file, headers and oauth2"))
	}
	return faults
}

const redacted = "[redacted]"

// String, GoString and LogValue keep the credential out of logs and messages.
func (c CredentialConfig) String() string {
	if c.Caller {
		return "caller"
	}
	return redacted
}
func (c CredentialConfig) GoString() string             { return c.String() }
func (c CredentialConfig) LogValue() slog.Value         { return slog.StringValue(c.String()) }
func (c CredentialConfig) Format(s fmt.State, _ rune)   { s.Write([]byte(c.String())) }
func (c CredentialConfig) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalNode reads an absolute delay, a relative one or both, as in "1s or 10%".
func (d *Delay) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	delay, err := parseDelay(n.Scalar())
	if err != nil {
		return strictyaml.Faults{n.Fault("want a delay such as 1s, 10%% or 1s or 10%%")}
	}
	*d = delay
	return nil
}

func parseDelay(s string) (Delay, error) {
	var d Delay
	absolute, relative, both := strings.Cut(s, " or ")
	if !both && strings.HasSuffix(s, "%") {
		absolute, relative = "", s
	}
	if absolute = strings.TrimSpace(absolute); absolute != "" || both {
		var err error
		if d.Absolute, err = time.ParseDuration(absolute); err != nil {
			return Delay{}, err
		}
	}
	if relative != "" || both {
		percent, ok := strings.CutSuffix(strings.TrimSpace(relative), "%")
		if !ok {
			return Delay{}, strconv.ErrSyntax
		}
		f, err := strconv.ParseFloat(percent, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return Delay{}, strconv.ErrSyntax
		}
		d.Relative = f / 100
	}
	if d == (Delay{}) && s == "" {
		return Delay{}, strconv.ErrSyntax
	}
	return d, nil
}

// String is d as a file has it.
func (d Delay) String() string {
	percent := strconv.FormatFloat(d.Relative*100, 'g', -1, 64) + "%"
	switch {
	case d.Relative == 0:
		return d.Absolute.String()
	case d.Absolute == 0:
		return percent
	}
	return d.Absolute.String() + " or " + percent
}
