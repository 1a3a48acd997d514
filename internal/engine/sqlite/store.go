package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Store writes the batch as one transaction. It waits a few seconds for another process's lock;
// an I/O error while committing is ambiguous, every other failure leaves nothing of the batch.
func (e *Engine) Store(ctx context.Context, _ int, b *engine.Batch) error {
	if b.Len() == 0 && b.Known == [engine.Kinds]bool{} {
		return nil
	}
	w, err := e.acquire(ctx)
	if err != nil {
		return err
	}
	w.staged.copy(b)
	done, err := run(ctx, e, w, func(w *writer) (stored, error) { return w.store(ctx, e.lockWait) })
	if err != nil {
		return err
	}
	for i, duplicate := range done.duplicates {
		b.Results[i].Duplicate = duplicate
	}
	b.Epochs = done.epochs
	return nil
}

// RecognisesRecords is true: their ids are unique in the table.
func (e *Engine) RecognisesRecords() bool { return true }

// stored is what became of a batch.
type stored struct {
	duplicates []bool // which items were stored before
	epochs     [engine.Kinds]uint64
}

// store writes what is staged.
func (w *writer) store(ctx context.Context, wait time.Duration) (done stored, err error) {
	if err := w.begin(ctx, wait); err != nil {
		return done, err
	}
	w.dead.removed, w.messages.removed = 0, 0
	done.duplicates = make([]bool, w.staged.items())
	if err := w.insert(done.duplicates); err != nil {
		return done, w.giveUp(err)
	}
	if w.staged.known {
		if err := w.checkEpoch(); err != nil {
			return done, w.giveUp(err)
		}
	}
	done.epochs = w.epochs()
	if !slices.Contains(done.duplicates, false) {
		return done, w.leave()
	}
	if err := w.commit(); err != nil {
		return done, err
	}
	w.noteRemoved()
	return done, nil
}

// epochs are those that the write at hand reports. When it has removed dead letters, some of its own may be among them,
// which the caller remembers; so the next write reports another one.
func (w *writer) epochs() [engine.Kinds]uint64 {
	if w.dead.removed > 0 {
		w.buried++
		defer func() { w.buried++ }()
	}
	return [engine.Kinds]uint64{engine.KindDeadLetter: w.epoch + w.buried, engine.KindMessage: w.epoch}
}

// leave ends a transaction that found everything stored: it proves nothing about writing. What it found is no use in a
// file that is no longer at the path.
func (w *writer) leave() error {
	if err := w.cancel(); err != nil {
		return err
	}
	if w.db.moved() {
		return w.unproven(errMoved)
	}
	return nil
}

// checkEpoch begins another epoch if another connection has written to the file: it may have removed something.
func (w *writer) checkEpoch() error {
	version, err := w.db.dataVersion.number()
	if err == nil && version != w.version {
		w.version = version
		w.epoch++
	}
	return err
}

func (w *writer) insert(duplicates []bool) error {
	records := w.staged.records
	if err := w.insertRecords(duplicates[:len(records)]); err != nil {
		return err
	}
	deadLetters := len(w.staged.deadLetters)
	duplicates = duplicates[len(records):]
	if err := w.insertDeadLetters(duplicates[:deadLetters]); err != nil {
		return err
	}
	return w.insertMessages(duplicates[deadLetters:])
}

// insertRecords writes the records, one by one as long as the newest one is not there. Few are written one by one in
// any case, which needs no questions: a device's frame at a quiet time is mostly one record.
func (w *writer) insertRecords(duplicates []bool) error {
	records := w.staged.records
	var newest, given int64
	var err error
	if len(records) >= rowsPerInsert {
		if newest, given, err = w.newestSeqs(); err != nil {
			return err
		}
	}
	for i := 0; i < len(records); {
		statement, count := w.db.insertMany, rowsPerInsert
		if newest < given || len(records)-i < count {
			statement, count = w.db.insertOne, 1
		}
		newest, err = w.insertRows(statement, records[i:i+count], duplicates[i:i+count], newest)
		if err != nil {
			return err
		}
		i += count
	}
	return nil
}

// insertRows writes the rows with one statement that takes as many. newest is the highest seq before it, which a
// single row does not need; insertRows returns the highest after it.
func (w *writer) insertRows(s *statement, rows []row, duplicates []bool, newest int64) (int64, error) {
	const columns = 5
	s.size(columns * len(rows))
	for i := range rows {
		args := s.args[columns*i : columns*(i+1)]
		args[0].Value = rows[i].id
		args[1].Value = rows[i].device
		args[2].Value = rows[i].timestamp
		args[3].Value = rows[i].codec
		args[4].Value = rows[i].payload
	}
	result, err := s.exec()
	if err != nil {
		return newest, err
	}
	inserted, err := result.RowsAffected()
	if err != nil {
		return newest, err
	}
	if inserted == 0 {
		for i := range duplicates {
			duplicates[i] = true
		}
		return newest, nil
	}
	if int(inserted) < len(rows) {
		if err := w.findDuplicates(rows, duplicates, newest); err != nil {
			return newest, err
		}
	}
	return result.LastInsertId()
}

// findDuplicates marks the rows that a statement left out: those written by it lie above newest,
// in the statement's order.
func (w *writer) findDuplicates(rows []row, duplicates []bool, newest int64) error {
	for i := range duplicates {
		duplicates[i] = true
	}
	next := 0
	w.db.newIDs.bind(newest)
	return w.db.newIDs.each(func(found []driver.Value) error {
		id, _ := found[0].(string)
		for next < len(rows) && rows[next].id != id {
			next++
		}
		if next == len(rows) {
			return fmt.Errorf("stored id %q is not among those just written", id)
		}
		duplicates[next] = false
		next++
		return nil
	})
}

// insertDeadLetters writes the dead letters. They have no id, so after an ambiguous failure each
// is looked for among the newest ones first.
func (w *writer) insertDeadLetters(duplicates []bool) error {
	for i := range w.staged.deadLetters {
		d := &w.staged.deadLetters[i]
		if w.staged.again {
			w.db.findDead.bind(d.received, d.device, d.reason, d.codec, d.frame, d.transport)
			count, err := w.db.findDead.number()
			if err != nil {
				return err
			}
			if duplicates[i] = count > 0; duplicates[i] {
				continue
			}
		}
		if err := w.dead.make(d.frame, w.db.deadBytes, w.db.removeFirst); err != nil {
			return err
		}
		w.db.insertDead.bind(d.received, d.device, d.reason, d.codec, d.frame, d.transport)
		if _, err := w.db.insertDead.exec(); err != nil {
			return err
		}
	}
	return nil
}
