package sqlite

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/sqlitefile"
)

// writer is the engine's one connection, and what it needs to get it back after a fault. Whoever
// has taken the engine's turn may use it.
type writer struct {
	path     string
	beside   bool // see Options
	log      *slog.Logger
	db       *database // nil while closed
	staged   staged
	proven   time.Time // when something was last written to this file; zero before that, and after a failure
	dead     room
	messages room
	replace  int    // how often the file was found moved, so that a tail starts again
	epoch    uint64 // changes when it is no longer certain that the file has all that was written
	buried   uint64 // changes when the engine itself has removed dead letters
	version  int64  // the file's data_version: another connection's write changes it

	announced bool // that this file is open
}

// open makes sure that the connection is to the file that is at the path now.
func (w *writer) open() error {
	if w.db != nil && w.db.moved() {
		if err := w.abandonMoved(); err != nil {
			return err
		}
	}
	if w.db != nil {
		return nil
	}
	open := openDatabase
	if w.beside {
		open = openBeside
	}
	db, err := open(w.path)
	if err != nil {
		return err
	}
	w.db = db
	w.epoch++
	if w.version, err = db.dataVersion.number(); err != nil {
		return w.giveUp(err)
	}
	w.announce()
	return nil
}

// announce says that the file is open, and who else may read it. It is not said again at every attempt while the disk
// is full.
func (w *writer) announce() {
	var err error
	if !w.beside {
		err = sqlitefile.Tighten(w.path)
	}
	if w.announced {
		return
	}
	w.announced = true
	w.log.Info("database opened", "path", w.path)
	if err != nil {
		w.log.Warn("database is open to other users, its owner must restrict it", "path", w.path, "error", err)
	}
}

// abandonMoved lets go of a file that is no longer at its path, unless another client reads it.
func (w *writer) abandonMoved() error {
	err := w.db.abandon(false)
	if errors.Is(err, errMovedInUse) {
		return err
	}
	w.log.Warn("database file was removed or replaced while open, opening the path again", "path", w.path, "error", err)
	w.db = nil
	w.proven = time.Time{}
	w.replace++
	w.announced = false
	return nil
}

// begin starts a write transaction, opening the file if need be. It waits for another process's
// lock, at most for the given time and never beyond ctx.
func (w *writer) begin(ctx context.Context, wait time.Duration) error {
	deadline := time.Now().Add(wait)
	for pause := time.Millisecond; ; pause = min(2*pause, 25*time.Millisecond) {
		err := w.open()
		if err == nil {
			_, err = w.db.begin.exec()
		}
		if err == nil {
			return nil
		}
		if !isBusy(err) {
			return w.giveUp(err)
		}
		if time.Now().After(deadline) {
			return w.unproven(err)
		}
		select {
		case <-ctx.Done():
			return w.unproven(errors.Join(err, context.Cause(ctx)))
		case <-time.After(pause):
		}
	}
}

// commit stores the transaction. A failure leaves open whether it is stored: its last page may
// have reached the disk although the sync failed, and a moved file may be put back.
func (w *writer) commit() error {
	_, err := w.db.commit.exec()
	var failed *engine.Error
	switch {
	case err != nil:
		failed = w.giveUp(err)
	case w.db.moved():
		failed = w.unproven(errMoved) // the next use opens the path again
	default:
		w.proven = time.Now()
		return nil
	}
	failed.Ambiguous = true
	return failed
}

// unproven classifies a failure, after which nothing counts as working before something has been written.
func (w *writer) unproven(err error) *engine.Error {
	w.proven = time.Time{}
	return classify(w.path, err)
}

// cancel ends a transaction that changed nothing.
func (w *writer) cancel() error {
	if _, err := w.db.rollback.exec(); err != nil {
		return w.giveUp(err)
	}
	return nil
}

// giveUp closes the connection, which undoes an open transaction, so that the next use opens the
// file anew: it may be another one by then.
func (w *writer) giveUp(err error) *engine.Error {
	failed := w.unproven(err)
	if closing := w.close(); closing != nil {
		w.log.Debug("database did not close cleanly", "path", w.path, "error", closing)
	}
	return failed
}

func (w *writer) close() error {
	if w.db == nil {
		return nil
	}
	db := w.db
	w.db = nil
	if db.moved() {
		return db.abandon(true)
	}
	return db.close()
}
