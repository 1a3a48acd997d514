package sqlitefile

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	_ "modernc.org/sqlite" // the driver
)

// DatabaseOptions say what a Database is. All fields are needed, but Reopened and IsAnswer.
type DatabaseOptions struct {
	Path  string
	Steps []string // make the file of version n one of version n+1; the version is kept in the file's user_version
	// Opened is told, the first time, that the file is open, and why others may read it, if they may.
	Opened func(open error)
	// Reopened is told each time: it may be another file than before.
	Reopened func()
	// Classify says in an error what an operator should do.
	Classify func(error) error
	// IsAnswer reports whether an error of work says nothing against the file.
	IsAnswer func(error) bool
}

// Database is a file that one process works with, one transaction after the other. It is opened by the first one that
// needs it, and again after a fault. Only its owner may read a new one.
type Database struct {
	DatabaseOptions
	turns *Turns[*connection]
	first sync.Once
}

// NewDatabase returns a database that is not open.
func NewDatabase(o DatabaseOptions) *Database {
	return &Database{DatabaseOptions: o, turns: NewTurns(o.Path, &connection{})}
}

// Tx is what work is done in. Its errors are SQLite's.
type Tx struct{ *sql.Tx }

// Do runs SQL that returns nothing of interest.
func (tx *Tx) Do(query string, args ...any) error {
	_, err := tx.Exec(query, args...)
	return err
}

// Change runs SQL and returns how many rows it changed.
func (tx *Tx) Change(query string, args ...any) (int64, error) {
	result, err := tx.Exec(query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Transact runs work as one transaction. When ctx ends it leaves the work behind; so work uses only what never changes.
// Work that fails changes nothing.
func Transact[T any](ctx context.Context, d *Database, work func(tx *Tx) (T, error)) (T, error) {
	c, err := d.turns.Take(ctx)
	if err != nil {
		var none T
		return none, err
	}
	return Use(ctx, d.turns, c, func(c *connection) (T, error) { return inDatabase(d, c, work) })
}

// Close closes the file. It waits a few seconds for a transaction that is still running, and leaves it behind if the
// disk does not answer.
func (d *Database) Close() error { return d.turns.Close((*connection).close) }

// inDatabase opens the file if need be and runs work. After a fault it closes the file, so that the next use opens it
// anew.
func inDatabase[T any](d *Database, c *connection, work func(tx *Tx) (T, error)) (value T, err error) {
	if c.pool == nil {
		if err = c.open(d.Path, d.Steps); err != nil {
			return value, d.Classify(err)
		}
		d.announce()
	}
	value, err = inTransaction(c.pool, work)
	switch {
	case err == nil || d.IsAnswer != nil && d.IsAnswer(err):
		return value, err
	case CauseOf(err) == Locked:
		return value, d.Classify(err)
	}
	_ = c.close() // which may fail after a fault
	return value, d.Classify(err)
}

func (d *Database) announce() {
	open := Tighten(d.Path)
	d.first.Do(func() { d.Opened(open) })
	if d.Reopened != nil {
		d.Reopened()
	}
}

// connection is to the file, or to none.
type connection struct{ pool *sql.DB }

// open opens or creates the file.
func (c *connection) open(path string, steps []string) error {
	if err := Create(path, 0o600); err != nil {
		return err
	}
	const lockWait = "busy_timeout = 5000" // for another process's write lock, in ms
	settings := url.Values{"_txlock": {"immediate"}, "_pragma": append([]string{lockWait}, Pragmas...)}
	name := url.URL{Scheme: "file", Path: path, RawQuery: settings.Encode()}
	pool, err := sql.Open("sqlite", name.String())
	if err != nil {
		return err
	}
	pool.SetMaxOpenConns(1)
	if err := createSchema(pool, steps); err != nil {
		return errors.Join(err, pool.Close())
	}
	c.pool = pool
	return nil
}

func (c *connection) close() error {
	if c.pool == nil {
		return nil
	}
	pool := c.pool
	c.pool = nil
	return pool.Close()
}

// createSchema writes only to a file that is new, or was made by an older version of this program.
func createSchema(pool *sql.DB, steps []string) error {
	_, err := inTransaction(pool, func(tx *Tx) (struct{}, error) {
		var found int
		if err := tx.QueryRow("PRAGMA user_version").Scan(&found); err != nil {
			return struct{}{}, err
		}
		switch {
		case found == len(steps):
			return struct{}{}, nil
		case found > len(steps):
			return struct{}{}, NewerSchema(found, len(steps))
		}
		return struct{}{}, tx.Do(fmt.Sprintf("%s PRAGMA user_version = %d", strings.Join(steps[found:], ""), len(steps)))
	})
	return err
}

// inTransaction commits what work did, unless it fails.
func inTransaction[T any](pool *sql.DB, work func(tx *Tx) (T, error)) (value T, err error) {
	tx, err := pool.BeginTx(context.Background(), nil)
	if err != nil {
		return value, err
	}
	if value, err = work(&Tx{tx}); err == nil {
		err = tx.Commit()
	}
	if err != nil {
		_ = tx.Rollback() // fails when the commit has ended it
	}
	return value, err
}
