package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"pollux/cache"
)

// exports are the statements of Export, each with the columns of a cache.Record.
var exports = []struct {
	kind cache.RecordKind
	text string
}{
	{cache.PartitionRecord, `SELECT id, x'', x'', value FROM partitions`},
	{cache.TaskRecord, `SELECT key, partition, x'', value FROM tasks JOIN bodies USING (seq)`},
	{cache.WebhookRecord, `SELECT CAST(id AS BLOB), x'', x'', value FROM webhooks`},
	{cache.EventRecord, `SELECT CAST(id AS BLOB), x'', x'', payload FROM events`},
	{cache.DeliveryRecord, `SELECT CAST(id AS BLOB), CAST(webhook AS BLOB), CAST(event AS BLOB), state FROM deliveries`},
}

// Export hands over everything in the file at path, also while a process has it
// open. A file of an older schema has to be opened by a Store first.
func Export(path string) cache.Export {
	return func(ctx context.Context, each func(*cache.Record) error) (err error) {
		version, err := checkHeader(path)
		if err == nil && version < schemaVersion {
			err = fmt.Errorf("store file is of schema %d: start Pollux once to migrate it", version)
		}
		if err != nil {
			return fmt.Errorf("read store %s: %w", path, err)
		}
		db, err := sql.Open("sqlite", dataSource(path, "busy_timeout(2000)", "query_only(ON)", "cell_size_check(ON)", "trusted_schema(OFF)"))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return fmt.Errorf("read store %s: %w", path, err)
		}
		defer tx.Rollback()
		for _, x := range exports {
			if err := eachRow(tx, x.text, nil, func(rows *sql.Rows) error {
				r := cache.Record{Kind: x.kind}
				if err := rows.Scan((*blob)(&r.ID), (*blob)(&r.Of), (*blob)(&r.Event), (*blob)(&r.Value)); err != nil {
					return err
				}
				return each(&r)
			}); err != nil {
				return fmt.Errorf("read store %s: %w", path, err)
			}
		}
		return nil
	}
}
