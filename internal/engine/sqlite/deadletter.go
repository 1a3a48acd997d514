package sqlite

import (
	"context"
	"database/sql/driver"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Dead letters are few and may be large, so they are read few at a time.
const deadPage = 16

// numbered is a dead letter with its seq.
type numbered struct {
	seq int64
	engine.DeadLetter
}

// EachDeadLetter reads the dead letters in the order of seq, which is also their ref. A row that
// another program wrote and that is no dead letter is left out.
func (e *Engine) EachDeadLetter(ctx context.Context, fn func(ref string, d engine.DeadLetter) error) error {
	newest, err := inTurn(ctx, e, (*writer).newestDeadLetter)
	if err != nil {
		return err
	}
	for after := int64(0); ; {
		page, err := inTurn(ctx, e, func(w *writer) ([]numbered, error) { return w.readDeadLetters(after, newest) })
		if err != nil {
			return err
		}
		for _, d := range page {
			after = d.seq
			if err := ctx.Err(); err != nil {
				return err
			}
			if d.Received.IsZero() {
				continue
			}
			if err := fn(strconv.FormatInt(d.seq, 10), d.DeadLetter); err != nil {
				return err
			}
		}
		if len(page) < deadPage {
			return nil
		}
	}
}

func (w *writer) newestDeadLetter() (int64, error) {
	if err := w.open(); err != nil {
		return 0, classify(w.path, err)
	}
	newest, err := w.db.newestDead.number()
	if err != nil {
		return 0, w.giveUp(err)
	}
	return newest, nil
}

// readDeadLetters reads the next page behind after, up to and with newest.
func (w *writer) readDeadLetters(after, newest int64) (page []numbered, err error) {
	if err := w.open(); err != nil {
		return nil, classify(w.path, err)
	}
	w.db.deadPage.bind(after, newest, int64(deadPage))
	err = w.db.deadPage.each(func(row []driver.Value) error {
		page = append(page, parseDeadLetter(row))
		return nil
	})
	if err != nil {
		return nil, w.giveUp(err)
	}
	return page, nil
}

// parseDeadLetter leaves Received zero if the row is no dead letter.
func parseDeadLetter(row []driver.Value) numbered {
	text := func(i int) string {
		value, _ := row[i].(string)
		return value
	}
	d := numbered{DeadLetter: engine.DeadLetter{DeviceID: text(2), Reason: text(3), Codec: text(4), Transport: text(6)}}
	d.seq, _ = row[0].(int64)
	received, timed := row[1].(int64)
	frame, err := hex.DecodeString(text(5))
	if timed && err == nil {
		d.Received, d.Frame = time.UnixMilli(received).UTC(), frame
	}
	return d
}

// RemoveDeadLetters deletes the rows with these seqs.
func (e *Engine) RemoveDeadLetters(ctx context.Context, refs []string) error {
	seqs := make([]int64, len(refs))
	for i, ref := range refs {
		seq, err := strconv.ParseInt(ref, 10, 64)
		if err != nil || seq < 1 {
			return &engine.Error{Err: fmt.Errorf("%q is no dead letter's reference, which is a number from 1", ref)}
		}
		seqs[i] = seq
	}
	if len(seqs) == 0 {
		return nil
	}
	_, err := inTurn(ctx, e, func(w *writer) (none struct{}, err error) {
		return none, w.removeDeadLetters(ctx, e.lockWait, seqs)
	})
	return err
}

func (w *writer) removeDeadLetters(ctx context.Context, wait time.Duration, seqs []int64) error {
	if err := w.begin(ctx, wait); err != nil {
		return err
	}
	for _, seq := range seqs {
		w.db.removeDead.bind(seq)
		if _, err := w.db.removeDead.exec(); err != nil {
			return w.giveUp(err)
		}
	}
	w.buried++
	return w.commit()
}
