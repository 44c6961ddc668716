package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"pollux/cache"
	"pollux/cache/sqlindex"
)

// schemaVersion is what the tables mean. The program before it can go on with
// them, so that two versions run side by side during an upgrade: columns are
// added and never taken away, and a function that changes gets another name.
const schemaVersion = 3

//go:embed schema.sql
var schema string

// schemaLock is the advisory lock under which tables are made ("Pllx").
const schemaLock = 0x506c6c78

// prepareTimeout bounds the making of the tables; a later migration of many
// rows may take it.
const prepareTimeout = 10 * time.Minute

// prepare makes or migrates the tables, and checks whose they are.
func prepare(ctx context.Context, pool *pgxpool.Pool, secret *cache.Secret, log *slog.Logger) error {
	at := pool.Config().ConnConfig
	where := fmt.Sprintf("database %q at %s:%d", at.Database, at.Host, at.Port)
	reach, cancel := context.WithTimeout(ctx, writeTimeout)
	err := pool.Ping(reach)
	cancel()
	if err != nil {
		return fmt.Errorf("store: %s cannot be reached: %w; check store.address and that PostgreSQL runs", where, err)
	}
	ctx, cancel = context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(schemaLock)); err != nil {
			return err
		}
		version, err := versionOf(ctx, tx)
		if err != nil {
			return err
		}
		if version > schemaVersion+1 {
			return fmt.Errorf("its tables are of schema %d, made by a newer version of Pollux; this one knows %d: run the newer version", version, schemaVersion)
		}
		if version < schemaVersion {
			log.Info("making the tables of the store", "schema", schemaVersion, "before", version)
			if err := makeTables(ctx, tx, secret, version); err != nil {
				return err
			}
		}
		return checkSecret(ctx, tx, secret)
	})
	if err != nil {
		return fmt.Errorf("store: %s: %w", where, err)
	}
	return nil
}

// versionOf returns the schema that is there, 0 for none. Tables of another
// application are an error.
func versionOf(ctx context.Context, tx pgx.Tx) (version int, err error) {
	var there bool
	if err := tx.QueryRow(ctx, `SELECT to_regclass('pollux_meta') IS NOT NULL`).Scan(&there); err != nil {
		return 0, err
	}
	if there {
		return version, tx.QueryRow(ctx, `SELECT schema FROM pollux_meta`).Scan(&version)
	}
	rows, err := tx.Query(ctx, `SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1 LIMIT 4`)
	if err != nil {
		return 0, err
	}
	foreign, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err == nil && len(foreign) > 0 {
		err = fmt.Errorf("it holds tables of another application (%s): give Pollux a database, or a schema in search_path, of its own", strings.Join(foreign, ", "))
	}
	return 0, err
}

// newTables is what tables get once they were made: where there are some, it would
// wait for those who write, and they for it. Bodies are sealed and cannot be
// compressed.
var newTables = `ALTER TABLE pollux_bodies ALTER COLUMN value SET STORAGE EXTERNAL;
CREATE INDEX pollux_deliveries_webhook ON pollux_deliveries (webhook);
CREATE INDEX pollux_deliveries_event ON pollux_deliveries (event);
CREATE INDEX pollux_notices_transaction ON pollux_notices (transaction);
` + strings.ReplaceAll(sqlindex.Schema, "tasks", "pollux_tasks")

// added are the columns that tables of versions before may lack. To add one locks
// its table, so they stand in the order in which the functions come to them.
var added = []struct{ table, column, kind string }{
	{"pollux_polls", "awaited", "boolean NOT NULL DEFAULT false"},
	{"pollux_polls", "holder", "text"},
	{"pollux_deliveries", "claimant", "text"},
	{"pollux_replicas", "lag", "bigint"},
}

// makeTables makes the tables, or what those of a version before lack, and says
// whose they are.
func makeTables(ctx context.Context, tx pgx.Tx, secret *cache.Secret, before int) error {
	all := schema + `CREATE TABLE IF NOT EXISTS pollux_meta (only_row boolean PRIMARY KEY CHECK (only_row), schema integer NOT NULL, secret bytea NOT NULL);`
	if before == 0 {
		all += newTables
	}
	if _, err := tx.Conn().PgConn().Exec(ctx, all).ReadAll(); err != nil {
		return fmt.Errorf("make tables: %w", err)
	}
	for _, c := range added {
		var there bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = $1::text::regclass AND attname = $2 AND NOT attisdropped)`, c.table, c.column).Scan(&there)
		if err == nil && !there {
			_, err = tx.Exec(ctx, "ALTER TABLE "+c.table+" ADD COLUMN "+c.column+" "+c.kind)
		}
		if err != nil {
			return fmt.Errorf("add column %s to %s: %w", c.column, c.table, err)
		}
	}
	id := secret.Sum("store")
	_, err := tx.Exec(ctx, `INSERT INTO pollux_meta (only_row, schema, secret) VALUES (true, $1, $2) ON CONFLICT (only_row) DO UPDATE SET schema = $1`,
		schemaVersion, secret.Seal(nil, &id, &id, []byte("pollux")))
	return err
}

// errSecret is why a store cannot be opened with another key.
var errSecret = errors.New("its values are sealed with another key: POLLUX_STORE_KEY must be the same on every replica, and the one that the database was filled with")

// checkSecret tells whether values can be opened at all.
func checkSecret(ctx context.Context, tx pgx.Tx, secret *cache.Secret) error {
	var sealed []byte
	if err := tx.QueryRow(ctx, `SELECT secret FROM pollux_meta`).Scan(&sealed); err != nil {
		return err
	}
	id := secret.Sum("store")
	if _, err := secret.Open(nil, &id, &id, sealed); err != nil {
		return errSecret
	}
	return nil
}
