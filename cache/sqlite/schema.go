package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	// applicationID marks our files ("Pllx"), schemaVersion the meaning of
	// their tables. Another version is moved aside; an index that is added to
	// schema needs no new one.
	applicationID = 0x506c6c78
	schemaVersion = 1

	pageSize = 4096
)

// schema is what a file holds. Times are microseconds since 1970 UTC, NULL when
// not known. Only value can be believed: the other columns are there to find
// rows by, and first_seen stands in for a created_at that is not known.
var schema = `
CREATE TABLE IF NOT EXISTS tasks (
	key          BLOB PRIMARY KEY NOT NULL,
	partition    BLOB NOT NULL,
	upstream     TEXT NOT NULL,
	provider     TEXT NOT NULL,
	task_id      TEXT NOT NULL,
	status       TEXT NOT NULL,
	terminal     INTEGER NOT NULL,
	frozen       INTEGER NOT NULL,
	created_at   INTEGER,
	completed_at INTEGER,
	updated_at   INTEGER,
	first_seen   INTEGER,
	observed_at  INTEGER,
	value        BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS tasks_observed_at ON tasks (observed_at);
CREATE TABLE IF NOT EXISTS partitions (
	id           BLOB PRIMARY KEY NOT NULL,
	upstream     TEXT NOT NULL,
	last_success INTEGER,
	suspended    INTEGER NOT NULL,
	value        BLOB NOT NULL
) STRICT;
` + indexSchema + outboxSchema

const (
	// A frozen row only gives way to a frozen one; then no row is affected.
	sqlPut = `INSERT INTO tasks (key, partition, upstream, provider, task_id, status, terminal, frozen,
	created_at, completed_at, updated_at, first_seen, observed_at, value)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
ON CONFLICT (key) DO UPDATE SET partition = ?2, upstream = ?3, provider = ?4, task_id = ?5, status = ?6,
	terminal = ?7, frozen = ?8, created_at = ?9, completed_at = ?10, updated_at = ?11, first_seen = ?12,
	observed_at = ?13, value = ?14
WHERE tasks.frozen = 0 OR excluded.frozen = 1`
	sqlGet          = `SELECT partition, value FROM tasks WHERE key = ?1`
	sqlCounted      = `SELECT partition, upstream, status FROM tasks WHERE key = ?1`
	sqlDelete       = `DELETE FROM tasks WHERE key = ?1`
	sqlPutPartition = `INSERT INTO partitions (id, upstream, last_success, suspended, value) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (id) DO UPDATE SET upstream = ?2, last_success = ?3, suspended = ?4, value = ?5`
	sqlGetPartition = `SELECT value FROM partitions WHERE id = ?1`
	sqlExpire       = `DELETE FROM tasks WHERE rowid IN (SELECT rowid FROM tasks WHERE observed_at < ?1 LIMIT ?2)
RETURNING partition, upstream, status`
)

// errNotOurs is the reason to move a file aside before SQLite touches it: merely
// opening somebody else's database could change it.
var errNotOurs = errors.New("not a store of this program and version")

// createFile makes an empty store at path, whole or not at all.
func createFile(ctx context.Context, path string) (err error) {
	fresh := path + ".new"
	if err := removeDatabase(fresh); err != nil {
		return err
	}
	f, err := os.OpenFile(fresh, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // SQLite gives -wal and -shm the same mode
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", dataSource(fresh, fmt.Sprintf("page_size(%d)", pageSize)))
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, fmt.Sprintf("BEGIN IMMEDIATE; %s PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT;",
		schema, applicationID, schemaVersion))
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	return renameDurably(fresh, path)
}

// checkHeader reads the file header (SQLite file format, section 1.3) and
// returns errNotOurs unless every field that is constant in our files has its
// value: SQLite would take some flips there for a read-only or foreign file.
func checkHeader(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var h [100]byte
	if _, err := io.ReadFull(f, h[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%w: too short", errNotOurs)
		}
		return err
	}
	word := func(at int) uint32 { return binary.BigEndian.Uint32(h[at:]) }
	switch {
	case string(h[:16]) != "SQLite format 3\x00":
		return fmt.Errorf("%w: not a SQLite file", errNotOurs)
	case word(68) != applicationID:
		return fmt.Errorf("%w: another program's file", errNotOurs)
	case word(60) != schemaVersion:
		return fmt.Errorf("%w: schema version %d, want %d", errNotOurs, word(60), schemaVersion)
	case binary.BigEndian.Uint16(h[16:]) != pageSize, h[18]-1 > 1, h[19]-1 > 1, h[20] != 0,
		h[21] != 64, h[22] != 32, h[23] != 32, word(44) != 4, word(56) != 1:
		return fmt.Errorf("%w: damaged header", errNotOurs)
	}
	return nil
}
