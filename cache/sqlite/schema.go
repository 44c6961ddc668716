package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"pollux/cache/sqlindex"
)

const (
	// applicationID marks our files ("Pllx"), schemaVersion the meaning of
	// their tables. An older version is migrated, any other moved aside; an
	// index that is added to schema needs no new one.
	applicationID = 0x506c6c78
	schemaVersion = 2

	pageSize = 4096
)

// schema is what a file holds. What lists show of a task stands apart from its
// bodies, which no list reads. Times are microseconds since 1970 UTC. Only head
// and value can be believed, since they are sealed: the other columns are there
// to find rows by, as sqlindex describes them.
var schema = `
CREATE TABLE IF NOT EXISTS tasks (
	seq          INTEGER PRIMARY KEY,
	key          BLOB NOT NULL UNIQUE,
	partition    BLOB NOT NULL,
	upstream     TEXT NOT NULL,
	status       TEXT NOT NULL,
	task_id      BLOB NOT NULL,
	model        BLOB NOT NULL,
	error_code   BLOB NOT NULL,
	frozen       INTEGER NOT NULL,
	generation   INTEGER NOT NULL,
	version      INTEGER NOT NULL,
	created_at   INTEGER NOT NULL,
	updated_at   INTEGER NOT NULL,
	completed_at INTEGER NOT NULL,
	observed_at  INTEGER NOT NULL,
	head         BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS bodies (
	seq   INTEGER PRIMARY KEY,
	value BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS partitions (
	id         BLOB PRIMARY KEY NOT NULL,
	touched_at INTEGER NOT NULL,
	value      BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS versions (
	only INTEGER PRIMARY KEY CHECK (only = 0),
	last INTEGER NOT NULL
) STRICT;
` + sqlindex.Schema + outboxSchema

const (
	sqlInsert = `INSERT INTO tasks (key, partition, upstream, status, task_id, model, error_code, frozen,
	generation, version, created_at, updated_at, completed_at, observed_at, head)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)`
	sqlUpdate = `UPDATE tasks SET partition = ?2, upstream = ?3, status = ?4, task_id = ?5, model = ?6, error_code = ?7, frozen = ?8,
	generation = ?9, version = ?10, created_at = ?11, updated_at = ?12, completed_at = ?13, observed_at = ?14, head = ?15
WHERE key = ?1`
	// sqlConfirm touches no index.
	sqlConfirm  = `UPDATE tasks SET frozen = ?2, generation = ?3, version = ?4, observed_at = ?5, head = ?6 WHERE key = ?1`
	sqlPutBody  = `INSERT INTO bodies (seq, value) VALUES (?1, ?2) ON CONFLICT (seq) DO UPDATE SET value = ?2`
	sqlStanding = `SELECT seq, partition, upstream, status, task_id, model, error_code, frozen, generation, version,
	created_at, updated_at, completed_at FROM tasks WHERE key = ?1`
	sqlGet          = `SELECT partition, value FROM tasks JOIN bodies USING (seq) WHERE key = ?1`
	sqlDelete       = `DELETE FROM tasks WHERE seq = ?1`
	sqlDeleteBody   = `DELETE FROM bodies WHERE seq = ?1`
	sqlPutPartition = `INSERT INTO partitions (id, touched_at, value) VALUES (?1, ?2, ?3)
ON CONFLICT (id) DO UPDATE SET touched_at = ?2, value = ?3`
	sqlGetPartition = `SELECT value FROM partitions WHERE id = ?1`
	sqlPutVersion   = `INSERT INTO versions (only, last) VALUES (0, ?1) ON CONFLICT (only) DO UPDATE SET last = max(last, ?1)`
	sqlLastVersion  = `SELECT last FROM versions`
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
// It returns the version of the schema.
func checkHeader(path string) (version int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var h [100]byte
	if _, err := io.ReadFull(f, h[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, fmt.Errorf("%w: too short", errNotOurs)
		}
		return 0, err
	}
	word := func(at int) uint32 { return binary.BigEndian.Uint32(h[at:]) }
	switch {
	case string(h[:16]) != "SQLite format 3\x00":
		return 0, fmt.Errorf("%w: not a SQLite file", errNotOurs)
	case word(68) != applicationID:
		return 0, fmt.Errorf("%w: another program's file", errNotOurs)
	case word(60) == 0 || word(60) > schemaVersion+1: // the next one keeps to what this program needs
		return 0, fmt.Errorf("%w: schema version %d, want %d", errNotOurs, word(60), schemaVersion)
	case binary.BigEndian.Uint16(h[16:]) != pageSize, h[18]-1 > 1, h[19]-1 > 1, h[20] != 0,
		h[21] != 64, h[22] != 32, h[23] != 32, word(44) != 4, word(56) != 1:
		return 0, fmt.Errorf("%w: damaged header", errNotOurs)
	}
	return int(word(60)), nil
}
