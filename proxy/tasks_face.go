package proxy

import (
	"context"
	"log/slog"
	"time"

	"pollux/cache"
	"pollux/proxy/follow"
	"pollux/proxy/poller"
	"pollux/proxy/problem"
)

// taskEngine is what this face needs of a *poller.Poller.
type taskEngine interface {
	Cached(u *poller.Upstream, part *poller.Partition, key *cache.ID, now time.Time) (poller.Answer, bool)
	Poll(ctx context.Context, r poller.Request) poller.Answer
	Cancel(ctx context.Context, r poller.Request) error
	Forget(key *cache.ID) error
	Watch(r poller.Request) (release func(), why *problem.Problem)
}

// taskService serves single tasks and batches. Its methods are safe for
// concurrent use.
type taskService struct {
	engine         taskEngine
	hub            *follow.Hub
	life           *life
	waits, streams *gate
	log            *slog.Logger
}

// newTaskService returns what serves tasks from engine. Whoever waits is told by
// hub, and counted by waits or streams.
func newTaskService(engine taskEngine, hub *follow.Hub, l *life, waits, streams *gate, log *slog.Logger) *taskService {
	return &taskService{engine: engine, hub: hub, life: l, waits: waits, streams: streams, log: log}
}
