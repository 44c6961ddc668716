package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"pollux/cache"
)

// outboxSchema holds webhooks and what has to be delivered to them. Only the
// ids are readable.
const outboxSchema = `
CREATE TABLE IF NOT EXISTS webhooks (
	id    TEXT PRIMARY KEY NOT NULL,
	value BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS deliveries (
	id      TEXT PRIMARY KEY NOT NULL,
	webhook TEXT NOT NULL,
	event   TEXT NOT NULL,
	state   BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS deliveries_webhook ON deliveries (webhook);
CREATE INDEX IF NOT EXISTS deliveries_event ON deliveries (event);
CREATE TABLE IF NOT EXISTS events (
	id      TEXT PRIMARY KEY NOT NULL,
	payload BLOB NOT NULL
) STRICT;
`

const (
	sqlPutWebhook = `INSERT INTO webhooks (id, value) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET value = ?2`
	// A webhook that was deleted while its task was polled gets nothing more.
	sqlAddDelivery = `INSERT INTO deliveries (id, webhook, event, state)
SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM webhooks WHERE id = ?2)
ON CONFLICT (id) DO NOTHING`
	sqlAddEvent          = `INSERT INTO events (id, payload) VALUES (?1, ?2) ON CONFLICT (id) DO NOTHING`
	sqlSetDeliveryState  = `UPDATE deliveries SET state = ?2 WHERE id = ?1`
	sqlDeleteWebhook     = `DELETE FROM webhooks WHERE id = ?1`
	sqlDeleteDeliveries  = `DELETE FROM deliveries WHERE webhook = ?1 RETURNING event`
	sqlDeleteEvent       = `DELETE FROM events WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = ?1)`
	sqlDeliveryPayload   = `SELECT payload FROM deliveries JOIN events ON events.id = event WHERE deliveries.id = ?1`
	sqlListWebhooks      = `SELECT id, value FROM webhooks ORDER BY id`
	sqlListAllDeliveries = `SELECT id, webhook, event, state FROM deliveries ORDER BY id`
)

var _ cache.Outbox = (*Store)(nil)

// OnPut has trigger called with every entry that is about to be written.
func (s *Store) OnPut(trigger func(*cache.Entry) []cache.Delivery) { s.trigger = trigger }

// triggered are the deliveries to write with e.
func (s *Store) triggered(e *cache.Entry) []cache.Delivery {
	if s.trigger == nil {
		return nil
	}
	return s.trigger(e)
}

// addDeliveries writes what an entry caused, within its transaction.
func addDeliveries(tx *sql.Tx, deliveries []cache.Delivery) error {
	for _, d := range deliveries {
		event := cmp.Or(d.Event, d.ID)
		result, err := tx.Exec(sqlAddDelivery, d.ID, d.Webhook, event, d.State)
		if err != nil {
			return err
		}
		added, err := result.RowsAffected()
		if err == nil && added > 0 {
			_, err = tx.Exec(sqlAddEvent, event, d.Payload)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// record makes a change of the outbox durable, in the order of all writes.
func (s *Store) record(ctx context.Context, what string, change func(*sql.Tx) error) error {
	if out := s.await(ctx, &write{record: change, done: make(chan outcome, 1)}); out.err != nil {
		return fmt.Errorf("%s: %w", what, out.err)
	}
	return nil
}

// PutWebhook makes w durable. Of timeouts the same holds as of Put.
func (s *Store) PutWebhook(ctx context.Context, w cache.Webhook) error {
	return s.record(ctx, "store webhook", func(tx *sql.Tx) error {
		_, err := tx.Exec(sqlPutWebhook, w.ID, w.Value)
		return err
	})
}

// DeleteWebhook removes a webhook and its deliveries durably.
func (s *Store) DeleteWebhook(ctx context.Context, id string) error {
	return s.record(ctx, "delete stored webhook", func(tx *sql.Tx) error {
		if _, err := tx.Exec(sqlDeleteWebhook, id); err != nil {
			return err
		}
		var events []string
		err := eachRow(tx, sqlDeleteDeliveries, []any{id}, func(rows *sql.Rows) error {
			var event text
			err := rows.Scan(&event)
			events = append(events, string(event))
			return err
		})
		for _, event := range events {
			if err == nil {
				_, err = tx.Exec(sqlDeleteEvent, event)
			}
		}
		return err
	})
}

// AddDelivery makes d durable, unless it is there or its webhook is not.
func (s *Store) AddDelivery(ctx context.Context, d cache.Delivery) error {
	return s.record(ctx, "store delivery", func(tx *sql.Tx) error { return addDeliveries(tx, []cache.Delivery{d}) })
}

// SetDeliveryState replaces the state of a delivery durably.
func (s *Store) SetDeliveryState(ctx context.Context, id string, state []byte) error {
	return s.record(ctx, "store state of delivery", func(tx *sql.Tx) error {
		_, err := tx.Exec(sqlSetDeliveryState, id, state)
		return err
	})
}

// DeliveryPayload returns the payload of a delivery, or cache.ErrNotFound.
func (s *Store) DeliveryPayload(ctx context.Context, id string) ([]byte, error) {
	return look(ctx, s, s.reads, "read stored delivery", func(d *database) (payload []byte, err error) {
		err = d.read.QueryRow(sqlDeliveryPayload, id).Scan(&payload)
		return payload, err
	})
}

// Webhooks returns everything in the outbox, payloads aside. A damaged file has
// nothing.
func (s *Store) Webhooks(ctx context.Context) ([]cache.Webhook, []cache.Delivery, error) {
	type outbox struct {
		webhooks   []cache.Webhook
		deliveries []cache.Delivery
	}
	all, err := look(ctx, s, s.reads, "read stored webhooks", func(d *database) (all outbox, err error) {
		err = eachRow(d.read, sqlListWebhooks, nil, func(rows *sql.Rows) error {
			var w cache.Webhook
			err := rows.Scan((*text)(&w.ID), &w.Value)
			all.webhooks = append(all.webhooks, w)
			return err
		})
		if err != nil {
			return all, err
		}
		err = eachRow(d.read, sqlListAllDeliveries, nil, func(rows *sql.Rows) error {
			var one cache.Delivery
			err := rows.Scan((*text)(&one.ID), (*text)(&one.Webhook), (*text)(&one.Event), &one.State)
			all.deliveries = append(all.deliveries, one)
			return err
		})
		return all, err
	})
	if errors.Is(err, cache.ErrNotFound) {
		err = nil
	}
	return all.webhooks, all.deliveries, err
}

// eachRow calls scan for every row of a query.
func eachRow(db interface {
	Query(query string, args ...any) (*sql.Rows, error)
}, query string, args []any, scan func(*sql.Rows) error) error {
	rows, err := db.Query(query, args...)
	if err != nil {
		return err
	}
	defer rows.Close() // after Next returned false this only repeats its error
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
