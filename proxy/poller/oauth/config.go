// Package oauth keeps an access token at hand that a token server gives to a
// client for its credentials (OAuth 2.0, RFC 6749, section 4.4).
package oauth

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"pollux/providers/strictyaml"
)

// Config is a client, and where it gets its tokens.
type Config struct {
	TokenURL     string            `yaml:"token_url"`
	ClientID     string            `yaml:"client_id"`
	ClientSecret strictyaml.Secret `yaml:"client_secret"`
	Scopes       []string          `yaml:"scopes"`
	Audience     string            `yaml:"audience"` // "": none is sent
}

// Format keeps the secret out of what is printed: behind a pointer in a struct, fmt
// asks no member for its own.
func (c Config) Format(s fmt.State, verb rune) { c.ClientSecret.Format(s, verb) }

// Validate returns what is wrong with c, by its keys.
func (c *Config) Validate() (faults strictyaml.Faults) {
	if u, err := url.Parse(c.TokenURL); c.TokenURL == "" {
		faults.Add("token_url", "is missing: where the token server is")
	} else if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		faults.Add("token_url", "want an absolute http or https URL")
	} else if u.User != nil || u.Fragment != "" {
		faults.Add("token_url", "must hold no user-info and no fragment: client_id and client_secret say who asks")
	}
	for _, field := range []struct{ key, value string }{{"client_id", c.ClientID}, {"client_secret", string(c.ClientSecret)}} {
		if field.value == "" {
			faults.Add(field.key, "is missing")
		} else if field.value != strings.TrimSpace(field.value) {
			faults.Add(field.key, "has blanks around it")
		}
	}
	for _, scope := range c.Scopes {
		if scope == "" || strings.ContainsAny(scope, " \t\n,") {
			faults.Add("scopes", "want a list of one scope each, such as [jobs.read, jobs.write]")
			break
		}
	}
	return faults
}

// Equal reports whether c and d get the same tokens.
func (c *Config) Equal(d *Config) bool {
	return c.TokenURL == d.TokenURL && c.ClientID == d.ClientID && c.ClientSecret == d.ClientSecret &&
		c.Audience == d.Audience && slices.Equal(c.Scopes, d.Scopes)
}
