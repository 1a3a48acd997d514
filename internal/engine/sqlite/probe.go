package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// reserve is the free disk space below which the engine counts as failing, in bytes: there is
// still room then for what a drain stores, and for deleting old records.
const reserve = 16 << 20

// provenFor is how long a write that succeeded proves that the next one will.
const provenFor = time.Minute

// Probe takes the write lock and lets go of it again, which needs no sync. It writes for real where that proves
// nothing: in a file that was just opened, because SQLite lets a file that is read-only be locked like any other; after
// a failure, because a full or failing disk shows only then; and when nothing has been written for a while. Length is
// the distance from the oldest to the newest record: exact as long as nobody deletes from the middle.
func (e *Engine) Probe(ctx context.Context) (engine.Status, error) {
	return inTurn(ctx, e, func(w *writer) (engine.Status, error) { return w.probe(ctx, e) })
}

func (w *writer) probe(ctx context.Context, e *Engine) (engine.Status, error) {
	if err := w.begin(ctx, e.lockWait); err != nil {
		return engine.Status{}, err
	}
	if err := w.checkSpace(); err != nil {
		return engine.Status{}, err
	}
	length, err := w.db.length.number()
	if err != nil {
		return engine.Status{}, w.giveUp(err)
	}
	dead, err := w.db.deadBytes.number()
	if err != nil {
		return engine.Status{}, w.giveUp(err)
	}
	messages, err := w.db.messageBytes.number()
	if err != nil {
		return engine.Status{}, w.giveUp(err)
	}
	return engine.Status{Known: true, Length: length, DeadLetterBytes: dead, DeadLetterLimit: w.dead.limit,
		MessageBytes: messages, MessageLimit: w.messages.limit, MessagesRemoved: w.messages.total}, w.endProbe()
}

// checkSpace ends the transaction when the disk is nearly full.
func (w *writer) checkSpace() error {
	dir := filepath.Dir(w.path)
	free, known := freeSpace(dir)
	if !known || free >= reserve {
		return nil
	}
	if err := w.cancel(); err != nil {
		return err
	}
	return &engine.Error{Transient: true, Err: fmt.Errorf(
		"%w: %d MiB are left in %s, %d are needed: free some space or keep records for a shorter time",
		errLowSpace, free>>20, dir, reserve>>20)}
}

// endProbe ends the transaction, with a write if one is due: the file's version number, unchanged, which costs one
// page.
func (w *writer) endProbe() error {
	if time.Since(w.proven) < provenFor {
		return w.cancel()
	}
	if _, err := w.db.touch.exec(); err != nil {
		return w.giveUp(err)
	}
	return w.commit()
}
