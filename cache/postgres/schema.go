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
			if err := makeTables(ctx, tx, secret); err != nil {
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

// makeTables runs the schema and says whose it is.
func makeTables(ctx context.Context, tx pgx.Tx, secret *cache.Secret) error {
	all := schema + strings.ReplaceAll(strings.ReplaceAll(sqlindex.Schema, "tasks", "pollux_tasks"), "pollux_tasks_", "pollux_tasks_") +
		`CREATE TABLE IF NOT EXISTS pollux_meta (only_row boolean PRIMARY KEY CHECK (only_row), schema integer NOT NULL, secret bytea NOT NULL);`
	if _, err := tx.Conn().PgConn().Exec(ctx, all).ReadAll(); err != nil {
		return fmt.Errorf("make tables: %w", err)
	}
	id := secretID(secret)
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
	id := secretID(secret)
	if _, err := secret.Open(nil, &id, &id, sealed); err != nil {
		return errSecret
	}
	return nil
}

func secretID(secret *cache.Secret) (id cache.ID) {
	h := secret.Hash("store")
	h.Sum(&id)
	return id
}
