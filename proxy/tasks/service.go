// Package tasks serves single tasks and batches of them: read, wait, stream,
// forget, cancel.
package tasks

import (
	"context"
	"log/slog"
	"time"

	"pollux/cache"
	"pollux/proxy/follow"
	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

// Engine is what this face needs of a *poller.Poller.
type Engine interface {
	Cached(u *upstream.Upstream, part *upstream.Partition, key *cache.ID, now time.Time) (poller.Answer, bool)
	Poll(ctx context.Context, r poller.Request) poller.Answer
	Cancel(ctx context.Context, r poller.Request) error
	Forget(key *cache.ID) error
	Watch(r poller.Request) (release func(), why *problem.Problem)
}

// Service serves single tasks and batches. Its methods are safe for
// concurrent use.
type Service struct {
	engine         Engine
	hub            *follow.Hub
	life           *wire.Life
	waits, streams *follow.Gate
	log            *slog.Logger
}

// New returns what serves tasks from engine. Whoever waits is told by
// hub, and counted by waits or streams.
func New(engine Engine, hub *follow.Hub, l *wire.Life, waits, streams *follow.Gate, log *slog.Logger) *Service {
	return &Service{engine: engine, hub: hub, life: l, waits: waits, streams: streams, log: log}
}
