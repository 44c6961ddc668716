package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"pollux/cache"
)

// OnPut has trigger called with every entry that is about to be written.
func (s *Store) OnPut(trigger func(*cache.Entry) []cache.Delivery) { s.trigger = trigger }

// exec runs statements in one transaction.
func (s *Store) exec(ctx context.Context, what string, f func(context.Context, pgx.Tx) error) error {
	err := s.call(ctx, writeTimeout, func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return f(ctx, tx) })
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// PutWebhook makes w durable.
func (s *Store) PutWebhook(ctx context.Context, w cache.Webhook) error {
	return s.exec(ctx, "store webhook", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO pollux_webhooks (id, value) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET value = excluded.value`, w.ID, orEmpty(w.Value))
		if err != nil {
			return err
		}
		return s.tellWebhook(ctx, tx, w.ID)
	})
}

// SwapWebhook implements cache.Claims.
func (s *Store) SwapWebhook(ctx context.Context, before [sha256.Size]byte, w cache.Webhook) (bool, error) {
	var swapped bool
	err := s.exec(ctx, "store webhook", func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE pollux_webhooks SET value = $2 WHERE id = $1 AND sha256(value) = $3`, w.ID, orEmpty(w.Value), before[:])
		if swapped = tag.RowsAffected() > 0; err != nil || !swapped {
			return err
		}
		return s.tellWebhook(ctx, tx, w.ID)
	})
	return swapped, err
}

// DeleteWebhook removes a webhook, its deliveries, and the events that only
// these had, durably.
func (s *Store) DeleteWebhook(ctx context.Context, id string) error {
	return s.exec(ctx, "delete stored webhook", func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM pollux_webhooks WHERE id = $1`, id); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `DELETE FROM pollux_deliveries WHERE webhook = $1 RETURNING event`, id)
		if err != nil {
			return err
		}
		events, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM pollux_events e WHERE id = ANY ($1) AND NOT EXISTS (SELECT 1 FROM pollux_deliveries d WHERE d.event = e.id)`, events)
		if err != nil {
			return err
		}
		return s.tellWebhook(ctx, tx, id)
	})
}

// tellWebhook tells other replicas that a webhook changed.
func (s *Store) tellWebhook(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, `SELECT pollux_notify_1($1, $2, $3, $4)`, s.self.ID, []string{webhookNotice + id}, s.notices.toListeners.Load(), s.notices.toReaders.Load())
	return err
}

// AddDelivery makes d durable, unless it is there or its webhook is not.
func (s *Store) AddDelivery(ctx context.Context, d cache.Delivery) error {
	event := d.Event
	if event == "" {
		event = d.ID
	}
	return s.exec(ctx, "store delivery", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT pollux_deliver_1($1, $2, $3, $4, $5)`, d.ID, d.Webhook, event, orEmpty(d.Payload), orEmpty(d.State))
		return err
	})
}

// SetDeliveryState replaces the state of a delivery durably.
func (s *Store) SetDeliveryState(ctx context.Context, id string, state []byte) error {
	return s.exec(ctx, "store state of delivery", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE pollux_deliveries SET state = $2 WHERE id = $1`, id, orEmpty(state))
		return err
	})
}

// Claim implements cache.Claims.
func (s *Store) Claim(ctx context.Context, delivery string, attempt int, hold time.Duration) (bool, error) {
	var claimed bool
	err := s.exec(ctx, "claim delivery", func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE pollux_deliveries SET attempt = $2, claimed = clock_timestamp() + $3 * interval '1 microsecond', claimant = $4
WHERE id = $1 AND (attempt < $2 OR attempt = $2 AND (claimed < clock_timestamp() OR claimant = $4 OR NOT pollux_lives_1(claimant, $5)))`,
			delivery, attempt, hold.Microseconds(), s.self.ID, deadAfter.Microseconds())
		claimed = tag.RowsAffected() > 0
		return err
	})
	return claimed, err
}

// DeliveryPayload returns the payload of a delivery, or cache.ErrNotFound.
func (s *Store) DeliveryPayload(ctx context.Context, id string) (payload []byte, err error) {
	err = s.call(ctx, callTimeout, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `SELECT payload FROM pollux_deliveries d JOIN pollux_events e ON e.id = d.event WHERE d.id = $1`, id).Scan(&payload)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, cache.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read stored delivery: %w", err)
	}
	return payload, nil
}

// Webhook implements cache.Claims.
func (s *Store) Webhook(ctx context.Context, id string) (w cache.Webhook, deliveries []cache.Delivery, err error) {
	err = s.call(ctx, callTimeout, func(ctx context.Context) error {
		err := s.pool.QueryRow(ctx, `SELECT id, value FROM pollux_webhooks WHERE id = $1`, id).Scan(&w.ID, &w.Value)
		if err != nil {
			return err
		}
		rows, err := s.pool.Query(ctx, `SELECT id, webhook, event, state FROM pollux_deliveries WHERE webhook = $1 ORDER BY id`, id)
		if err == nil {
			deliveries, err = pgx.CollectRows(rows, scanDelivery)
		}
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return w, nil, cache.ErrNotFound
	}
	if err != nil {
		return w, nil, fmt.Errorf("read stored webhook: %w", err)
	}
	return w, deliveries, nil
}

func scanDelivery(row pgx.CollectableRow) (d cache.Delivery, err error) {
	return d, row.Scan(&d.ID, &d.Webhook, &d.Event, &d.State)
}

// Webhooks returns everything in the outbox, payloads aside.
func (s *Store) Webhooks(ctx context.Context) (webhooks []cache.Webhook, deliveries []cache.Delivery, err error) {
	err = s.call(ctx, listTimeout, func(ctx context.Context) error {
		rows, err := s.pool.Query(ctx, `SELECT id, value FROM pollux_webhooks ORDER BY id`)
		if err == nil {
			webhooks, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (w cache.Webhook, err error) {
				return w, row.Scan(&w.ID, &w.Value)
			})
		}
		if err != nil {
			return err
		}
		rows, err = s.pool.Query(ctx, `SELECT id, webhook, event, state FROM pollux_deliveries ORDER BY id`)
		if err == nil {
			deliveries, err = pgx.CollectRows(rows, scanDelivery)
		}
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read stored webhooks: %w", err)
	}
	return webhooks, deliveries, nil
}
