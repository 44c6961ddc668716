package postgres

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"pollux/cache"
)

const (
	// ownEvery is how often a replica sends itself a notice, and silence how
	// long none may be heard before notices are not believed to flow.
	ownEvery = 300 * time.Millisecond
	silence  = 800 * time.Millisecond
	// readEvery is how often the table of notices is read.
	readEvery = 100 * time.Millisecond
	// detect is how long the first own notice may take before LISTEN is given
	// up for the table.
	detect = 2 * time.Second
	// reconnectEvery is the pause between two attempts to LISTEN again.
	reconnectEvery = 200 * time.Millisecond
)

// notices is how this replica hears of others.
type notices struct {
	heard      atomic.Pointer[func([]cache.Notice, bool)] // set by Listen; nil: nobody listens
	forceTable bool                                       // not even tried: LISTEN
	table      atomic.Bool                                // read, in place of LISTEN

	// Which ways other replicas hear: what nobody reads need not be written.
	toListeners, toReaders atomic.Bool

	at      atomic.Int64 // when notices last flowed, since epoch
	missing atomic.Bool  // since then some may be lost
	lag     atomic.Int64 // of the last own notice, nanoseconds
}

var epoch = time.Now()

// flow notes that notices are heard, and tells whoever listens what.
func (n *notices) flow(news []cache.Notice) {
	n.at.Store(int64(time.Since(epoch)))
	heard := n.heard.Load()
	if lost := n.missing.Swap(false); heard != nil && (lost || len(news) > 0) {
		(*heard)(news, lost)
	}
}

// lost notes that notices may be missing, until flow tells it.
func (n *notices) lost() { n.missing.Store(true) }

func (n *notices) current() bool {
	return !n.missing.Load() && time.Since(epoch)-time.Duration(n.at.Load()) < silence
}

// behind is how long notices take to be heard, or for how long none was. It is
// not known of who reads their table.
func (n *notices) behind() (lag time.Duration, known bool) {
	if silent := time.Since(epoch) - time.Duration(n.at.Load()); silent >= silence {
		return silent, true
	}
	return time.Duration(n.lag.Load()), !n.table.Load()
}

// Listen implements cache.Cluster.
func (s *Store) Listen(heard func([]cache.Notice, bool)) {
	s.notices.heard.Store(&heard)
}

// Current implements cache.Cluster.
func (s *Store) Current() bool { return s.notices.current() }

// listen hears notices on a connection of its own until ctx is over or the
// connection is lost.
func (s *Store) listen(ctx context.Context, config *pgx.ConnConfig, ready func()) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN pollux"); err != nil {
		return err
	}
	ready()
	for {
		// Own notices come all the time, so a connection that is silent is lost.
		heard, cancel := context.WithTimeout(ctx, 4*silence)
		notice, err := conn.WaitForNotification(heard)
		cancel()
		if err != nil {
			return err
		}
		s.hear(notice.Payload)
	}
}

// hear takes one payload apart: who sent it, then key:generation:version or
// w:webhook each, or when an own notice was sent, which says nothing to others.
func (s *Store) hear(payload string) {
	sender, rest, _ := strings.Cut(payload, " ")
	if sender == s.self.ID {
		if at, ok := strings.CutPrefix(rest, sentNotice); ok {
			if sent, err := strconv.ParseInt(at, 10, 64); err == nil {
				s.notices.lag.Store(int64(time.Since(epoch)) - sent)
			}
		}
		s.notices.flow(nil)
		return
	}
	var news []cache.Notice
	for _, word := range strings.Fields(rest) {
		if n, err := parseNotice(word); err == nil {
			news = append(news, n)
		}
	}
	s.notices.flow(news)
}

const (
	webhookNotice = "w:" // before the ID of a webhook, in place of a key
	sentNotice    = "t:" // before the time of an own notice, nanoseconds since epoch
)

func parseNotice(word string) (n cache.Notice, err error) {
	if id, ok := strings.CutPrefix(word, webhookNotice); ok {
		return cache.Notice{Webhook: id}, nil
	}
	parts := strings.Split(word, ":")
	if len(parts) != 3 || len(parts[0]) != 2*len(n.Key) {
		return n, errors.New("not a notice")
	}
	_, err = hex.Decode(n.Key[:], []byte(parts[0]))
	if err == nil {
		n.Generation, err = strconv.ParseUint(parts[1], 10, 64)
	}
	if err == nil {
		n.Version, err = strconv.ParseUint(parts[2], 10, 64)
	}
	return n, err
}

// runListener hears notices by LISTEN, and after a cut once more. ready is
// called whenever it hears.
func (s *Store) runListener(config *pgx.ConnConfig, ready func()) {
	for {
		err := s.listen(s.ctx, config, ready)
		if s.ctx.Err() != nil || s.notices.table.Load() {
			return
		}
		s.notices.lost()
		s.log.Debug("notices are cut", "err", err)
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(reconnectEvery):
		}
	}
}

// sqlRead reads the notices of the transactions from $1 up to the oldest one
// that is still open, in the order in which they began, and which that is. A
// notice that waits too long behind one that stays open means that they do not
// flow.
const sqlRead = `WITH open AS (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS oldest)
SELECT oldest::text, EXISTS (SELECT 1 FROM pollux_notices WHERE transaction >= oldest AND at < clock_timestamp() - interval '800 milliseconds'), payload
FROM open LEFT JOIN pollux_notices ON transaction >= $1::text::xid8 AND transaction < oldest ORDER BY transaction, id`

// runReader hears notices by reading their table.
func (s *Store) runReader() {
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	from := ""
	for {
		if err := s.read(&from); err != nil {
			s.notices.lost()
		}
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// read hears the notices from a transaction on, "" for the present one, and
// moves it.
func (s *Store) read(from *string) error {
	var payloads []string
	first := *from == ""
	if err := s.usable(s.ctx); err != nil {
		return err
	}
	err := s.try(s.ctx, callTimeout, func(ctx context.Context) error {
		if first {
			return s.pool.QueryRow(ctx, `SELECT pg_snapshot_xmin(pg_current_snapshot())::text`).Scan(from)
		}
		rows, err := s.pool.Query(ctx, sqlRead, *from)
		if err != nil {
			return err
		}
		var oldest string
		var held bool
		var payload *string
		_, err = pgx.ForEachRow(rows, []any{&oldest, &held, &payload}, func() error {
			if payload != nil {
				payloads = append(payloads, *payload)
			}
			return nil
		})
		if err == nil {
			*from = oldest
		}
		if err == nil && held {
			err = errHeld
		}
		return err
	})
	for _, payload := range payloads {
		s.hear(payload)
	}
	if err == nil {
		s.notices.flow(nil)
	}
	return err
}

// errHeld is why notices do not flow although the database answers.
var errHeld = errors.New("a transaction that stays open holds notices back")

// join makes this replica known and finds out how it can hear of others.
func (s *Store) join(ctx context.Context, config *pgx.ConnConfig) error {
	switch s.cfg.Notify {
	case "", NotifyAuto, NotifyListen, NotifyTable:
	default:
		return fmt.Errorf("store.notify: %q is none of auto, listen, table", s.cfg.Notify)
	}
	s.notices.table.Store(s.notices.forceTable)
	if err := s.beat(ctx); err != nil {
		return fmt.Errorf("store: join the replicas: %w", err)
	}
	if s.notices.forceTable {
		return s.startReader(ctx)
	}
	ready := make(chan struct{}, 1)
	s.keep("notices of replicas", func() {
		s.runListener(config.Copy(), func() {
			select {
			case ready <- struct{}{}:
			default:
			}
		})
	})
	deadline := time.NewTimer(detect)
	defer deadline.Stop()
	tick := time.NewTicker(ownEvery)
	defer tick.Stop()
	s.notices.lost()
	for !s.notices.current() {
		select {
		case <-ready:
			s.sendOwn(ctx)
		case <-tick.C:
			s.sendOwn(ctx)
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			if s.cfg.Notify == NotifyListen {
				return errors.New("store.notify: listen: no notice was heard: a transaction pooler cannot LISTEN; use auto or table, or a direct address")
			}
			s.log.Warn("notices of the database are not heard, as behind a transaction pooler: reading them from a table", "every", readEvery)
			s.notices.table.Store(true)
			return s.startReader(ctx)
		}
	}
	return nil
}

// startReader reads the table of notices, which the others have to be told.
func (s *Store) startReader(ctx context.Context) error {
	if err := s.beat(ctx); err != nil {
		return fmt.Errorf("store: join the replicas: %w", err)
	}
	s.keep("notices of replicas", s.runReader)
	for deadline := time.Now().Add(detect); !s.notices.current() && time.Now().Before(deadline); {
		time.Sleep(readEvery / 10)
	}
	return ctx.Err()
}

// sendOwn sends this replica a notice.
func (s *Store) sendOwn(ctx context.Context) {
	payload := fmt.Sprintf("%s %s%d", s.self.ID, sentNotice, time.Since(epoch))
	_ = s.try(ctx, callTimeout, func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, `SELECT pg_notify('pollux', $1)`, payload)
		return err
	})
}
