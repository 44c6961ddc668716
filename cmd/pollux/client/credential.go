package client

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"pollux/cmd/pollux/console"
	"pollux/providers"
)

// credentials is what upstreams want to see of the user.
type credentials struct {
	// given was named for this command. It belongs to the one upstream that
	// the command is about, and wins over stored.
	given  providers.Credential
	stored map[string]providers.Credential // by upstream
}

// forUpstreams checks that no upstream would be sent what was meant for
// another: given cannot say for which of several it is.
func (c *credentials) forUpstreams(names []string) error {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if !c.given.Zero() && len(names) > 1 {
		return wrongUsage("one credential is not for tasks of %s: put one for each under credentials: in client.yaml",
			strings.Join(names, " and "))
	}
	return nil
}

// of is the credential for an upstream. For "", no particular one, it is what
// was named for this command.
func (c *credentials) of(upstream string) providers.Credential {
	if c.given.Zero() {
		return c.stored[upstream]
	}
	return c.given
}

// polluxKey finds the key that Pollux itself wants.
func (f *connectionFlags) polluxKey(t *console.Terminal, file *clientFile) (string, error) {
	key, _ := t.Env("POLLUX_KEY")
	if f.keyFile != "" {
		text, err := secretFile(t, f.keyFile)
		if err != nil {
			return "", fmt.Errorf("--key-file: %w", err)
		}
		if key = strings.TrimSpace(text); key == "" {
			return "", wrongUsage("--key-file: the file is empty")
		}
	}
	key = cmp.Or(key, file.Key)
	if !httpguts.ValidHeaderFieldValue(key) {
		return "", wrongUsage("the Pollux key holds characters that no header may hold")
	}
	return key, nil
}

// upstreamCredentials finds what upstreams want. The first of flags and
// environment that says anything is all that was named for this command:
// a mixture of two would be a third credential, which sees nothing.
func (f *connectionFlags) upstreamCredentials(t *console.Terminal, file *clientFile) (credentials, error) {
	c := credentials{stored: map[string]providers.Credential{}}
	for upstream, headers := range file.Credentials {
		for _, name := range slices.Sorted(maps.Keys(headers)) {
			field, err := headerField(name, headers[name])
			if err != nil {
				return c, fmt.Errorf("credentials.%s in %s: %w", upstream, file.path, err)
			}
			stored := c.stored[upstream]
			stored.Headers = append(stored.Headers, field)
			c.stored[upstream] = stored
		}
	}
	var err error
	if c.given.Headers, err = f.headerFlags(t); err != nil || !c.given.Zero() {
		return c, err
	}
	if text, _ := t.Env("POLLUX_CREDENTIAL"); strings.TrimSpace(text) != "" {
		if c.given.Headers, err = environmentCredential(text); err != nil {
			return c, fmt.Errorf("$POLLUX_CREDENTIAL: %w", err)
		}
	}
	return c, nil
}

// headerFlags is what --header and --header-file say.
func (f *connectionFlags) headerFlags(t *console.Terminal) ([]providers.Field, error) {
	var fields []providers.Field
	for _, line := range f.headers {
		var unset []string
		line = os.Expand(line, func(name string) string {
			value, ok := t.Env(name)
			if !ok {
				unset = append(unset, name)
			}
			return value
		})
		if len(unset) > 0 {
			return nil, wrongUsage("--header: the environment has no %s", strings.Join(unset, ", "))
		}
		field, err := headerLine(line)
		if err != nil {
			return nil, fmt.Errorf("--header: %w", err)
		}
		fields = append(fields, field)
	}
	if f.headerFile == "" {
		return fields, nil
	}
	text, err := secretFile(t, f.headerFile)
	if err != nil {
		return nil, fmt.Errorf("--header-file: %w", err)
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		field, err := headerLine(line)
		if err != nil {
			return nil, fmt.Errorf("--header-file: %w", err)
		}
		fields = append(fields, field)
	}
	return fields, nil
}

// environmentCredential reads $POLLUX_CREDENTIAL: headers, one a line, or the
// value of Authorization. A value without a scheme is a bearer token.
func environmentCredential(text string) ([]providers.Field, error) {
	text = strings.TrimSpace(text)
	if name, _, ok := strings.Cut(text, ": "); !ok || !httpguts.ValidHeaderFieldName(name) {
		if !strings.ContainsAny(text, " \t") {
			text = "Bearer " + text
		}
		field, err := headerField("Authorization", text)
		return []providers.Field{field}, err
	}
	var fields []providers.Field
	for line := range strings.Lines(text) {
		field, err := headerLine(strings.TrimSpace(line))
		if err != nil {
			return nil, err
		}
		fields = append(fields, field)
	}
	return fields, nil
}

func headerLine(line string) (providers.Field, error) {
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		return providers.Field{}, wrongUsage("want Name: value")
	}
	return headerField(strings.TrimSpace(name), strings.TrimSpace(value))
}

// headerField checks a header. What it says of a bad one does not show it: the
// name may be half of a secret.
func headerField(name, value string) (providers.Field, error) {
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return providers.Field{}, wrongUsage("want Name: value, with the name of a header")
	case value == "" || !httpguts.ValidHeaderFieldValue(value):
		return providers.Field{}, wrongUsage("the value of %s is empty, or holds characters that no header may hold", name)
	}
	return providers.Field{Name: http.CanonicalHeaderKey(name), Value: value}, nil
}

// secretFile reads a file that holds a secret, - being the standard input.
func secretFile(t *console.Terminal, path string) (string, error) {
	data, err := t.Read(path)
	if err != nil {
		return "", wrongUsage("%s cannot be read: %v", path, console.PlainCause(err))
	}
	if path != "-" {
		warnIfShared(t, path)
	}
	return string(data), nil
}
