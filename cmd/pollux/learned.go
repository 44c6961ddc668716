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
)

// saveLearnedEvery is how much of what was learned a crash can cost.
const saveLearnedEvery = 5 * time.Minute

// learned keeps what schedule: adaptive has learned in a sealed file beside the
// store, across restarts. Losing it costs polls and no answer, so it is no part
// of the store.
type learned struct {
	path   string // "" keeps nothing
	id     cache.ID
	secret *cache.Secret
	poller *poller.Poller
	log    *logger
}

func newLearned(c config.Store, secret *cache.Secret, p *poller.Poller, log *logger) *learned {
	k := &learned{secret: secret, poller: p, log: log}
	if c.Driver == "sqlite" {
		k.path = c.Path + ".learned"
	}
	h := secret.Hash("learned")
	h.Sum(&k.id)
	return k
}

// load hands the poller what was learned before the start.
func (k *learned) load() {
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

// save writes what was learned, whole or not at all.
func (k *learned) save() {
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
	tick := time.NewTicker(saveLearnedEvery)
	defer tick.Stop()
	defer k.save()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			k.save()
		}
	}
}
