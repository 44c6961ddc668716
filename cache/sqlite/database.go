package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"pollux/cache"
)

// database is one open file: a connection that writes, some that read, and
// their statements.
type database struct {
	write, read *sql.DB

	// Of write.
	standing, getForPut, insert, update, confirm, putBody, delete, deleteBody, putPartition *sql.Stmt

	get, getPartition *sql.Stmt // of read

	keys   keys
	counts *counts
	locked bool        // when it was opened, it had tasks and the secret opened none
	info   os.FileInfo // of the file that was opened

	wal  os.FileInfo // of its write-ahead log, nil until it was seen; the writer's
	size int64       // the largest that was seen of the file; the writer's
	last uint64      // no version in the file is larger; 0: not known; the writer's

	mu     sync.RWMutex // held for reading by every use
	closed bool         // guarded by mu
}

// errAbandoned is returned by uses of a database that is being replaced.
var errAbandoned = errors.New("store file is being replaced")

// openDatabase opens a file whose header is right. Its errors satisfy damage
// when the content is to blame.
func openDatabase(ctx context.Context, path string, secret *cache.Secret) (file *database, err error) {
	file = &database{keys: newKeys()}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.closeWithin(closeTimeout))
			file = nil
		}
	}()
	err = guarded(func() error {
		if err := errors.Join(file.openWriter(ctx, path), file.openReaders(ctx, path)); err != nil {
			return err
		}
		if err := file.loadCounts(ctx, secret); err != nil {
			return err
		}
		file.info, err = os.Stat(path)
		return err
	})
	return file, err
}

func (d *database) openWriter(ctx context.Context, path string) (err error) {
	// cell_size_check looks closer at each page that is read.
	d.write, err = sql.Open("sqlite", dataSource(path, "busy_timeout(2000)", "journal_mode(WAL)", "synchronous(FULL)",
		"journal_size_limit(67108864)", "temp_store(MEMORY)", "cache_size(-8192)", "cell_size_check(ON)", "trusted_schema(OFF)"))
	if err != nil {
		return err
	}
	d.write.SetMaxOpenConns(1)
	if _, err := d.write.ExecContext(ctx, schema); err != nil {
		return asDamage(err)
	}
	return prepare(ctx, d.write, map[**sql.Stmt]string{
		&d.standing: sqlStanding, &d.getForPut: sqlGet, &d.insert: sqlInsert, &d.update: sqlUpdate, &d.confirm: sqlConfirm,
		&d.putBody: sqlPutBody, &d.delete: sqlDelete, &d.deleteBody: sqlDeleteBody, &d.putPartition: sqlPutPartition,
	})
}

func (d *database) openReaders(ctx context.Context, path string) (err error) {
	d.read, err = sql.Open("sqlite", dataSource(path, "busy_timeout(2000)", "query_only(ON)", "temp_store(MEMORY)", "cache_size(-4096)", "cell_size_check(ON)", "trusted_schema(OFF)"))
	if err != nil {
		return err
	}
	d.read.SetMaxOpenConns(readers + listReaders)
	d.read.SetMaxIdleConns(readers + listReaders)
	if err := prepare(ctx, d.read, map[**sql.Stmt]string{&d.get: sqlGet, &d.getPartition: sqlGetPartition}); err != nil {
		return err
	}
	for _, table := range [...]string{"tasks", "bodies", "partitions"} {
		var one int
		if err := d.read.QueryRowContext(ctx, "SELECT 1 FROM "+table+" LIMIT 1").Scan(&one); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return asDamage(err)
		}
	}
	return nil
}

func prepare(ctx context.Context, db *sql.DB, statements map[**sql.Stmt]string) error {
	for stmt, text := range statements {
		var err error
		if *stmt, err = db.PrepareContext(ctx, text); err != nil {
			return asDamage(err)
		}
	}
	return nil
}

// use calls f unless the database is closed, and keeps it open meanwhile. A
// panic of f is an error that satisfies fault.
func (d *database) use(f func(*database) error) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.closed {
		return errAbandoned
	}
	return guarded(func() error { return f(d) })
}

// closeWithin waits for the uses under way and closes all connections. If that
// takes too long, as on a disk that hangs, they are left behind.
func (d *database) closeWithin(limit time.Duration) error {
	done := make(chan error, 1)
	go func() {
		done <- guarded(func() error {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.closed = true
			var errs []error
			for _, db := range []*sql.DB{d.read, d.write} { // the writer last: its close empties the -wal file
				if db != nil {
					errs = append(errs, db.Close())
				}
			}
			return errors.Join(errs...)
		})
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("connections still busy after %v", limit)
	}
}

// faultError is a panic or memory fault inside SQLite, such as reading a mapped
// page of a file that was cut.
type faultError struct{ cause any }

func (e *faultError) Error() string { return fmt.Sprintf("fault in the store: %v", e.cause) }

// guarded turns a panic of f into an error.
func guarded(f func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = &faultError{cause}
		}
	}()
	return f()
}

// fault reports whether err comes from a panic, after which SQLite's locks may
// still be held, or from a memory fault that the driver caught. The connection
// is lost, the content need not be.
func fault(err error) bool {
	_, panicked := errors.AsType[*faultError](err)
	e, ok := errors.AsType[*sqlite.Error](err)
	return panicked || ok && e.Code() == sqlite3.SQLITE_IOERR_IN_PAGE
}

// damageError says that the content of the file is wrong, where SQLite's own
// code does not.
type damageError struct{ err error }

func (e *damageError) Error() string { return e.err.Error() }
func (e *damageError) Unwrap() error { return e.err }

// asDamage marks errors of statements that cannot fail on a sound file of ours,
// such as a missing table.
func asDamage(err error) error {
	if code(err) == sqlite3.SQLITE_ERROR {
		return &damageError{err}
	}
	return err
}

// damage reports whether err says that the content of the file is wrong, as
// opposed to a disk that is full or cannot be read.
func damage(err error) bool {
	_, marked := errors.AsType[*damageError](err)
	return marked || code(err) == sqlite3.SQLITE_CORRUPT || code(err) == sqlite3.SQLITE_NOTADB
}

// code returns the primary SQLite result code of err, 0 if it has none.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}
