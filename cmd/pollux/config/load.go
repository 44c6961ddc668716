package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"pollux/cache/postgres"
	"pollux/cmd/pollux/console"
	"pollux/providers"
	"pollux/providers/strictyaml"
	"pollux/proxy/egress"
)

// defaultConfigFile is read when it exists and --config names no other.
const defaultConfigFile = "config.yaml"

// Loaded is a configuration without faults, and what it refers to.
type Loaded struct {
	Config
	File      string // "" when there is none and the defaults hold
	Providers *providers.Set
	Warnings  []string
	Restart   []string // keys that a reload cannot change: Config has them as they run
}

// Source is where a configuration comes from.
type Source struct {
	File string // "" means config.yaml if there is one, and the defaults otherwise
	Env  func(string) (string, bool)
	// AllowEmpty takes a file without any key, and a reload that drops all
	// clients of a process that others can reach.
	AllowEmpty bool
}

// Load reads and checks the configuration and the provider files. running is
// what the process runs with that is to be reloaded, nil at a start. The error
// is strictyaml.Faults with everything wrong with all of it.
func (src Source) Load(running *Config) (*Loaded, error) {
	l := &Loaded{Config: Default(), File: src.File}
	if l.File == "" {
		if _, err := os.Stat(defaultConfigFile); err == nil {
			l.File = defaultConfigFile
		}
	}
	var data []byte
	if l.File != "" {
		var err error
		if data, err = readLimited(l.File, running != nil); err != nil {
			return nil, strictyaml.Faults{{File: l.File, Message: "cannot be read: " + console.PlainCause(err).Error()}}
		}
	}
	root, faults := strictyaml.Parse(l.File, data, src.Env)
	if root == nil {
		return nil, faults
	}
	if kind := root.Kind(); l.File != "" && (kind == strictyaml.Null || kind == strictyaml.Map) && len(root.Map()) == 0 && !src.AllowEmpty {
		faults = append(faults, root.Fault("holds no key: a file that was emptied or cut off is no configuration, and pollux serve takes it only with --allow-empty-config"))
	}
	faults = append(faults, root.Decode(&l.Config)...)
	faults = append(faults, l.loadProviders(root)...)
	if l.Providers != nil {
		faults = l.check(faults, root)
	}
	if running != nil && len(faults) == 0 {
		faults = l.fit(running, root, src.AllowEmpty)
	}
	if len(faults) > 0 {
		faults.Sort()
		return nil, faults
	}
	l.warn(root)
	l.warnOfAccess()
	return l, nil
}

// check adds to faults what is wrong with the configuration as a whole.
func (l *Loaded) check(faults strictyaml.Faults, root *strictyaml.Node) strictyaml.Faults {
	if root.Get("upstreams") == nil {
		l.Upstreams = defaultUpstreams(l.Providers, &l.Config)
	}
	return place(faults, l.Config.validate(l.Providers), root)
}

// readLimited reads a file, and little more than its parser would accept.
// Opening a pipe that nobody writes to takes for ever: regular says that it must
// be none.
func readLimited(path string, regular bool) ([]byte, error) {
	if info, err := os.Stat(path); regular && err == nil && !info.Mode().IsRegular() {
		return nil, errors.New("is no regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, strictyaml.MaxSize+1))
}

// Providers loads only the providers: the built-in ones, and those of dir
// or else of the config's provider_dir, which it returns too. Nothing else in the
// config matters.
func Providers(path, dir string, env func(string) (string, bool)) (set *providers.Set, own string, err error) {
	l := &Loaded{Config: Default(), File: path}
	if path == "" {
		l.File = defaultConfigFile
	}
	data, err := readLimited(l.File, false)
	if err != nil && path != "" {
		return nil, "", strictyaml.Faults{{File: path, Message: "cannot be read: " + console.PlainCause(err).Error()}}
	}
	root, faults := strictyaml.Parse(l.File, data, env)
	if root == nil {
		return nil, "", faults
	}
	if named := root.Get("provider_dir"); named != nil && !named.Broken() {
		l.ProviderDir = named.Scalar()
	}
	if dir != "" {
		l.ProviderDir = dir
	}
	if faults := l.loadProviders(root); len(faults) > 0 {
		return nil, "", faults
	}
	return l.Providers, l.ProviderDir, nil
}

// loadProviders merges the built-in providers and those of provider_dir.
func (l *Loaded) loadProviders(root *strictyaml.Node) strictyaml.Faults {
	builtin, err := providers.Builtin()
	if err != nil {
		return FaultsOf(err, "")
	}
	l.Providers = builtin
	dir := l.ProviderDir
	if dir == "" {
		return nil
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return strictyaml.Faults{root.Nearest("provider_dir").Fault("is not a directory that can be read")}
	}
	own, err := providers.Load(os.DirFS(dir))
	if err == nil {
		own, err = builtin.Merge(own)
	}
	if err != nil {
		// Upstreams may name one of the providers that did not load, so there
		// is nothing to check them against.
		l.Providers = nil
		return FaultsOf(err, dir)
	}
	l.Providers = own
	return nil
}

// FaultsOf is the faults behind err, their files below dir.
func FaultsOf(err error, dir string) strictyaml.Faults {
	faults, ok := errors.AsType[strictyaml.Faults](err)
	if !ok {
		return strictyaml.Faults{{File: dir, Message: err.Error()}}
	}
	for i := range faults {
		faults[i].File = filepath.Join(dir, faults[i].File)
	}
	return faults
}

// place adds to faults those of a check that knew keys only, each where the
// file has its key. A key that is reported already is not reported again: what
// could not be decoded left its default or nothing behind.
func place(faults, found strictyaml.Faults, root *strictyaml.Node) strictyaml.Faults {
	reported := map[string]bool{}
	for _, f := range faults {
		reported[f.Key] = f.Key != ""
	}
	for _, f := range found {
		if reported[f.Key] {
			continue
		}
		at := root.Nearest(f.Key).Fault("%s", f.Message)
		at.Key = f.Key
		faults = append(faults, at)
	}
	return faults
}

// warn notes what is allowed and should not stay so.
func (l *Loaded) warn(root *strictyaml.Node) {
	if l.File == "" || !holdsSecrets(root) {
		return
	}
	if mode, shared := console.Shared(l.File); shared {
		l.Warnings = append(l.Warnings, fmt.Sprintf(
			"%s holds secrets and others may read it (mode %04o): use ${NAME} for them, or chmod 600", l.File, mode))
	}
}

// holdsSecrets reports whether a credential is written in the file itself.
func holdsSecrets(root *strictyaml.Node) bool {
	written := func(n *strictyaml.Node) string { // what nobody else had to say
		if n == nil || n.Expanded() {
			return ""
		}
		return n.Scalar()
	}
	password := func(n *strictyaml.Node) bool { return len(egress.URL(written(n)).Secrets()) > 0 }
	if clients := root.Get("clients"); clients != nil {
		for _, client := range clients.List() {
			if key := written(client.Get("key")); key != "" && !strings.HasPrefix(key, "sha256:") {
				return true
			}
		}
	}
	if store := root.Get("store"); store != nil && postgres.Password(written(store.Get("address"))) != "" {
		return true
	}
	if webhooks := root.Get("webhooks"); webhooks != nil && password(webhooks.Get("proxy")) {
		return true
	}
	upstreams := root.Get("upstreams")
	if upstreams == nil {
		return false
	}
	for _, u := range upstreams.Map() {
		if password(u.Value.Get("proxy")) {
			return true
		}
		for _, key := range []string{"inbound.secret", "credential.value", "credential.oauth2.client_secret"} {
			if written(nodeAt(u.Value, key)) != "" {
				return true
			}
		}
		if headers := nodeAt(u.Value, "credential.headers"); headers != nil {
			for _, header := range headers.Map() {
				if written(header.Value) != "" {
					return true
				}
			}
		}
	}
	return false
}

// nodeAt is the node below n at a path of keys, nil if there is none.
func nodeAt(n *strictyaml.Node, path string) *strictyaml.Node {
	for key := range strings.SplitSeq(path, ".") {
		if n == nil {
			return nil
		}
		n = n.Get(key)
	}
	return n
}
