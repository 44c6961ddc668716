package upstream

import (
	"pollux/providers/strictyaml"
	"pollux/proxy/poller/adaptive"
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
		Value   *strictyaml.Secret           `yaml:"value"`
		File    *string                      `yaml:"file"`
		Headers map[string]strictyaml.Secret `yaml:"headers"`
		OAuth2  *oauth.Config                `yaml:"oauth2"`
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

// UnmarshalNode reads an absolute delay, a relative one or both, as in "1s or 10%".
func (d *Delay) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	delay, err := adaptive.ParseDelay(n.Scalar())
	if err != nil {
		return strictyaml.Faults{n.Fault("want a delay such as 1s, 10%% or 1s or 10%%")}
	}
	*d = Delay(delay)
	return nil
}
