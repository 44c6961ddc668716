package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"pollux/cache"
)

// sqlSetAside renames the tables of schema 1, whose indexes go with them.
const sqlSetAside = `
ALTER TABLE tasks RENAME TO tasks_1;
ALTER TABLE partitions RENAME TO partitions_1;
ALTER TABLE deliveries RENAME TO deliveries_1;
DROP INDEX IF EXISTS tasks_observed_at;
DROP INDEX IF EXISTS tasks_partition_created;
DROP INDEX IF EXISTS tasks_partition_updated;
DROP INDEX IF EXISTS tasks_partition_completed;
DROP INDEX IF EXISTS tasks_upstream_created;
DROP INDEX IF EXISTS tasks_upstream_updated;
DROP INDEX IF EXISTS tasks_upstream_completed;
DROP INDEX IF EXISTS tasks_partition_id;
DROP INDEX IF EXISTS tasks_id;
DROP INDEX IF EXISTS deliveries_webhook;
`

// sqlTakeOver moves what needs no unsealing.
const sqlTakeOver = `
INSERT INTO partitions (id, touched_at, value) SELECT id, %[1]d, value FROM partitions_1;
INSERT INTO deliveries (id, webhook, event, state) SELECT id, webhook, id, state FROM deliveries_1;
INSERT INTO events (id, payload) SELECT id, payload FROM deliveries_1;
DROP TABLE tasks_1;
DROP TABLE partitions_1;
DROP TABLE deliveries_1;
PRAGMA user_version = %[2]d;
`

const sqlOldTasks = `SELECT key, partition, upstream, task_id, status, frozen, created_at, completed_at, updated_at, first_seen, observed_at, value FROM tasks_1`

// migrate brings the file at path from schema 1 to the present one, in one
// transaction. A copy is kept beside it until that worked.
func migrate(ctx context.Context, path string, secret *cache.Secret, log *slog.Logger) (err error) {
	db, err := sql.Open("sqlite", dataSource(path, "busy_timeout(2000)", "journal_mode(WAL)", "synchronous(FULL)", "trusted_schema(OFF)"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	copied := path + ".schema-1"
	if err := os.Remove(copied); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	log.Info("store file is of an older version: migrating", "path", path, "copy", copied)
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?1", copied); err != nil {
		return fmt.Errorf("copy before migration: %w", err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	moved, err := moveTasks(ctx, tx, secret)
	if err == nil {
		_, err = tx.ExecContext(ctx, fmt.Sprintf(sqlTakeOver, time.Now().UnixMicro(), schemaVersion))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("migrate from schema 1: %w", err), tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("migrate from schema 1: %w", err)
	}
	log.Info("store file migrated", "path", path, "tasks", moved)
	return os.Remove(copied)
}

// moveTasks writes every task of schema 1 into the tables of this one.
func moveTasks(ctx context.Context, tx *sql.Tx, secret *cache.Secret) (moved int, err error) {
	if _, err := tx.ExecContext(ctx, sqlSetAside+schema); err != nil {
		return 0, err
	}
	insert, err := tx.PrepareContext(ctx, sqlInsert)
	if err != nil {
		return 0, err
	}
	defer insert.Close()
	body, err := tx.PrepareContext(ctx, sqlPutBody)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	err = eachRow(tx, sqlOldTasks, nil, func(rows *sql.Rows) error {
		var t oldTask
		if err := t.scan(rows); err != nil {
			return err
		}
		result, err := insert.ExecContext(ctx, t.columns(secret)...)
		if err != nil {
			return err
		}
		seq, err := result.LastInsertId()
		if err != nil {
			return err
		}
		moved++
		_, err = body.ExecContext(ctx, seq, []byte(t.value))
		return err
	})
	return moved, err
}

// oldTask is a row of schema 1.
type oldTask struct {
	key, partition, value                              blob
	upstream, id, status                               text
	frozen                                             integer
	created, completed, updated, firstSeen, observedAt integer
}

func (t *oldTask) scan(rows *sql.Rows) error {
	return rows.Scan(&t.key, &t.partition, &t.upstream, &t.id, &t.status, &t.frozen, &t.created, &t.completed, &t.updated, &t.firstSeen, &t.observedAt, &t.value)
}

// columns are the arguments of sqlInsert. A task that cannot be opened, because
// the secret is another one, keeps its columns and its body: it is found again
// when the secret is.
func (t *oldTask) columns(secret *cache.Secret) []any {
	var key, partition cache.ID
	copy(key[:], t.key)
	copy(partition[:], t.partition)
	e, err := secret.OpenEntry(&partition, &key, t.value, time.Now())
	if err == nil {
		return columns(e, secret)
	}
	or := func(at integer) int64 {
		if at == 0 {
			at = t.firstSeen
		}
		return int64(at)
	}
	return []any{
		[]byte(t.key), []byte(t.partition), string(t.upstream), string(t.status), []byte(t.id), []byte{}, []byte{}, int64(t.frozen),
		0, 0, or(t.created), or(t.updated), or(t.completed), int64(t.observedAt), []byte{},
	}
}
