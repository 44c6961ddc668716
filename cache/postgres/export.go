package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"pollux/cache"
)

// exports are the statements of Export, each with the columns of a cache.Record.
var exports = []struct {
	kind cache.RecordKind
	text string
}{
	{cache.PartitionRecord, `SELECT id, ''::bytea, ''::bytea, value FROM pollux_partitions`},
	{cache.TaskRecord, `SELECT key, partition, ''::bytea, value FROM pollux_tasks JOIN pollux_bodies USING (seq)`},
	{cache.WebhookRecord, `SELECT convert_to(id, 'UTF8'), ''::bytea, ''::bytea, value FROM pollux_webhooks`},
	{cache.EventRecord, `SELECT convert_to(id, 'UTF8'), ''::bytea, ''::bytea, payload FROM pollux_events`},
	{cache.DeliveryRecord, `SELECT convert_to(id, 'UTF8'), convert_to(webhook, 'UTF8'), convert_to(event, 'UTF8'), state FROM pollux_deliveries`},
}

// Export hands over everything in the database at address, also while replicas
// use it.
func Export(address string) cache.Export {
	return func(ctx context.Context, each func(*cache.Record) error) error {
		config, err := pgx.ParseConfig(address)
		if err != nil {
			return fmt.Errorf("store.address: %w", err)
		}
		config.DefaultQueryExecMode = pgx.QueryExecModeExec
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			return fmt.Errorf("read store: %w", err)
		}
		defer conn.Close(context.WithoutCancel(ctx))
		err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			if version, err := versionOf(ctx, tx); err != nil || version == 0 {
				return errors.Join(err, errors.New("the database holds no store"))
			}
			for _, x := range exports {
				rows, err := tx.Query(ctx, x.text)
				if err != nil {
					return err
				}
				r := cache.Record{Kind: x.kind}
				if _, err := pgx.ForEachRow(rows, []any{&r.ID, &r.Of, &r.Event, &r.Value}, func() error { return each(&r) }); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read store: %w", err)
		}
		return nil
	}
}

// Advance makes versions go on after one that was imported.
func (s *Store) Advance(ctx context.Context, version uint64) error {
	return s.call(ctx, callTimeout, func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, `SELECT setval('pollux_version', greatest(nextval('pollux_version'), $1::bigint))`, int64(version))
		return err
	})
}
