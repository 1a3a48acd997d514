package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strconv"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// EachRecord reads the records in the order of seq, which is also their ref. It fails when the file is replaced
// meanwhile.
func (e *Engine) EachRecord(ctx context.Context, fn func(ref string, payload []byte) error) error {
	end, err := records.start(ctx, e, false)
	if err != nil {
		return err
	}
	var payload []byte
	for at := (place{replace: end.replace}); at.seq < end.seq; {
		page, err := records.read(ctx, e, at)
		if err != nil {
			return err
		}
		if page.next.replace != end.replace {
			return &engine.Error{Transient: true, Err: errMoved}
		}
		if len(page.rows) == 0 {
			return nil
		}
		for _, row := range page.rows {
			if err := ctx.Err(); err != nil {
				return err
			}
			if row.seq > end.seq {
				return nil
			}
			payload = append(payload[:0], row.value...)
			if err := fn(strconv.FormatInt(row.seq, 10), payload); err != nil {
				return err
			}
		}
		at = page.next
	}
	return nil
}

// ReplaceRecords is one transaction.
func (e *Engine) ReplaceRecords(ctx context.Context, replacements []engine.Replacement) (replaced int, err error) {
	values := make([][3]driver.Value, len(replacements)) // copies: the work may be left behind
	for i, r := range replacements {
		seq, err := strconv.ParseInt(r.Ref, 10, 64)
		if err != nil || seq < 1 {
			return 0, &engine.Error{Err: fmt.Errorf("%q is no record's reference, which is a number from 1", r.Ref)}
		}
		values[i] = [3]driver.Value{string(r.Now), seq, string(r.Was)}
	}
	return inTurn(ctx, e, func(w *writer) (int, error) { return w.replaceRecords(ctx, e.lockWait, values) })
}

func (w *writer) replaceRecords(ctx context.Context, wait time.Duration, values [][3]driver.Value) (int, error) {
	if err := w.begin(ctx, wait); err != nil {
		return 0, err
	}
	replaced := 0
	for _, v := range values {
		n, err := w.db.exec("UPDATE records SET payload = ? WHERE seq = ? AND payload = ?", v[:]...)
		if err != nil {
			return 0, w.giveUp(err)
		}
		replaced += int(n)
	}
	if replaced == 0 {
		return 0, w.cancel()
	}
	return replaced, w.commit()
}
