package access

import (
	"encoding/hex"
	"slices"
	"strings"

	"pollux/providers/strictyaml"
)

// Scopes a client may hold.
const (
	ScopeRead     = "read"     // read tasks
	ScopeSubmit   = "submit"   // creates, cancels and whatever else is forwarded
	ScopeFleet    = "fleet"    // see everybody's tasks, and /metrics
	ScopeWebhooks = "webhooks" // register webhooks
	ScopePurge    = "purge"    // forget tasks
)

var Scopes = []string{ScopeRead, ScopeSubmit, ScopeFleet, ScopeWebhooks, ScopePurge}

// ClientConfig is one holder of a Pollux key.
type ClientConfig struct {
	Name      string            `yaml:"name"`
	Key       strictyaml.Secret `yaml:"key"`       // the key, or its hash as printed by "pollux key new"
	Upstreams []string          `yaml:"upstreams"` // names, or "*"
	Scopes    []string          `yaml:"scopes"`    // read, submit, fleet, webhooks, purge
}

// Client is one holder of a Pollux key.
type Client struct {
	Name      string
	hash      KeyHash
	upstreams []string
	any       bool // every upstream
	Scopes    []string
}

func newClient(c *ClientConfig) (Client, error) {
	hash, err := ParseKey(string(c.Key))
	if err != nil {
		return Client{}, err
	}
	return Client{
		Name: c.Name, hash: hash, Scopes: slices.Clone(c.Scopes),
		upstreams: slices.Clone(c.Upstreams), any: slices.Contains(c.Upstreams, "*"),
	}, nil
}

func (c *Client) Has(scope string) bool { return slices.Contains(c.Scopes, scope) }

func (c *Client) May(upstream string) bool { return c.any || slices.Contains(c.upstreams, upstream) }

// ownerPrefix stands before the name of a client who owns something. Stores of
// older versions have the hash of its key instead.
const ownerPrefix = "client:"

// Owner names a client over restarts, reloads and new keys; "" for nobody.
func (c *Client) Owner() string {
	if c == nil {
		return ""
	}
	return ownerPrefix + c.Name
}

// Owner returns how an owner is called now, false if there is no such client any
// more.
func (st *Rules) Owner(owner string) (now string, ok bool) {
	if name, ok := strings.CutPrefix(owner, ownerPrefix); ok {
		return owner, st.named(name) != nil
	}
	for i := range st.clients {
		if c := &st.clients[i]; hex.EncodeToString(c.hash[:]) == owner {
			return c.Owner(), true
		}
	}
	return "", false
}
