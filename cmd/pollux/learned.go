package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"pollux/cache"
	"pollux/cmd/pollux/config"
	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/roots"
)

const (
	// saveLearnedEvery is how much of what was learned a crash can cost.
	saveLearnedEvery = 5 * time.Minute
	// shareLearnedEvery is how long a replica keeps to itself what it has learned.
	shareLearnedEvery = 30 * time.Second
)

// learned keeps what schedule: adaptive has learned, sealed, across restarts: in a
// file beside the store, or in the store that replicas share, where each adds what it
// has learned to what the others have. Losing it costs polls and no answer.
type learned struct {
	path   string         // "" is no file
	shared cache.Accounts // nil: nobody shares
	id     cache.ID
	secret *cache.Secret
	poller *poller.Poller
	log    *logger
}

func newLearned(c config.Store, store cache.Store, secret *cache.Secret, p *poller.Poller, log *logger) *learned {
	k := &learned{secret: secret, poller: p, log: log}
	k.shared, _ = store.(cache.Accounts)
	if c.Driver == "sqlite" {
		k.path = c.Path + ".learned"
	}
	k.id = secret.Sum("learned")
	return k
}

// load hands the poller what was learned before the start.
func (k *learned) load() {
	if k.shared != nil {
		k.share()
	}
	if k.path == "" {
		return
	}
	sealed, err := os.ReadFile(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		var data []byte
		if data, err = k.secret.Open(nil, &k.id, &k.id, sealed); err == nil {
			err = upstream.UnmarshalLearned(k.poller.Upstreams(), data)
		}
	}
	if err != nil {
		k.log.Warn("what was learned about durations is lost, and learned anew", "path", k.path, "err", err)
	}
}

// share adds what was learned to what other replicas have, and takes that over.
func (k *learned) share() {
	for _, u := range k.poller.Upstreams() {
		if u.Learned.Groups == nil {
			continue
		}
		id := k.secret.Sum("learned of an upstream", u.Name)
		err := k.shared.Account(context.Background(), u.Name, func(sealed []byte) ([]byte, error) {
			var account []byte
			var err error
			if sealed != nil {
				account, err = k.secret.Open(nil, &k.id, &id, sealed)
			}
			var sum []byte
			if err == nil {
				sum, err = u.Learned.Groups.Share(account)
			}
			if err != nil { // damaged, or of another version
				k.log.Warn("what replicas have learned about durations is lost, and learned anew", "upstream", u.Name, "err", err)
				sum, err = u.Learned.Groups.Share(nil)
			}
			if err != nil {
				return nil, err
			}
			return k.secret.Seal(nil, &k.id, &id, sum), nil
		})
		if err != nil && !errors.Is(err, cache.ErrUnavailable) {
			k.log.Warn("what was learned about durations cannot be shared", "upstream", u.Name, "err", err)
		}
	}
}

// save writes what was learned, whole or not at all.
func (k *learned) save() {
	if k.shared != nil {
		k.share()
	}
	if k.path == "" {
		return
	}
	data, err := upstream.MarshalLearned(k.poller.Upstreams())
	if err == nil && data == nil {
		return
	}
	if err == nil {
		err = replaceFile(k.path, k.secret.Seal(nil, &k.id, &k.id, data))
	}
	if err != nil {
		k.log.Warn("what was learned about durations cannot be kept", "path", k.path, "err", err)
	}
}

func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// run saves now and then, and at the end.
func (k *learned) run(ctx context.Context) {
	every := saveLearnedEvery
	if k.shared != nil {
		every = shareLearnedEvery
	}
	defer k.save()
	roots.Every(ctx, every, k.save)
}
