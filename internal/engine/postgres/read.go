package postgres

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// recordPage is how many records are read at once, and pageBytes about how much of them is in memory.
const recordPage = 500

const (
	selectRecords = `SELECT seq, payload::text FROM records WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3`

	selectLast = `SELECT payload::text FROM records WHERE device_id = $1 ORDER BY ts DESC, seq DESC LIMIT $2`

	replaceRecords = `UPDATE records AS r SET payload = n.now
	FROM unnest($1::bigint[], $2::text[], $3::text[]) AS t (seq, was_text, now_text),
		LATERAL (SELECT was_text::jsonb AS was, now_text::jsonb AS now) AS n
	WHERE r.seq = t.seq AND r.payload = n.was`
)

// row is a record as it is read: its seq and its payload.
type row struct {
	seq     int64
	payload []byte
}

func scanRow(r pgx.CollectableRow) (one row, err error) {
	err = r.Scan(&one.seq, &one.payload)
	one.payload = arrange(one.payload)
	return one, err
}

func scanPayload(r pgx.CollectableRow) (payload []byte, err error) {
	err = r.Scan(&payload)
	return arrange(payload), err
}

// with gives fn a connection, and makes its error an *engine.Error, unless it is ctx's.
func (e *Engine) with(ctx context.Context, fn func(c *pgxpool.Conn) error) error {
	c, err := e.pool.Acquire(ctx)
	if err == nil {
		defer c.Release()
		err = fn(c)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return classify(err)
}

// page reads the records behind one seq up to another.
func (e *Engine) page(ctx context.Context, after, last int64, n int) (rows []row, err error) {
	err = e.with(ctx, func(c *pgxpool.Conn) error {
		found, err := c.Query(ctx, selectRecords, after, last, n)
		if err == nil {
			rows, err = pgx.CollectRows(found, scanRow)
		}
		return err
	})
	return rows, err
}

// EachRecord reads the records in the order of seq, which is also their ref.
func (e *Engine) EachRecord(ctx context.Context, fn func(ref string, payload []byte) error) error {
	var last int64
	err := e.with(ctx, func(c *pgxpool.Conn) (err error) {
		last, err = recordNumbers.settled(ctx, c)
		return err
	})
	if err != nil {
		return err
	}
	for after := int64(0); after < last; {
		rows, err := e.page(ctx, after, last, recordPage)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, r := range rows {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := fn(strconv.FormatInt(r.seq, 10), r.payload); err != nil {
				return err
			}
			after = r.seq
		}
	}
	return nil
}

// LastRecords reads those with the latest timestamps, by the index.
func (e *Engine) LastRecords(ctx context.Context, deviceID string, n int) (newest [][]byte, whole bool, err error) {
	err = e.with(ctx, func(c *pgxpool.Conn) error {
		found, err := c.Query(ctx, selectLast, deviceID, n)
		if err == nil {
			newest, err = pgx.CollectRows(found, scanPayload)
		}
		return err
	})
	return newest, err == nil, err
}

// ReplaceRecords is one statement. A payload is what it was if it means the same.
func (e *Engine) ReplaceRecords(ctx context.Context, replacements []engine.Replacement) (replaced int, err error) {
	seqs := make([]int64, len(replacements))
	was, now := make([]string, len(replacements)), make([]string, len(replacements))
	for i, r := range replacements {
		if seqs[i], err = parseRef(r.Ref, "record"); err != nil {
			return 0, err
		}
		was[i], now[i] = string(r.Was), string(appendDocument(nil, r.Now))
	}
	err = e.with(ctx, func(c *pgxpool.Conn) error {
		tag, err := c.Exec(ctx, replaceRecords, seqs, was, now)
		replaced = int(tag.RowsAffected())
		return err
	})
	return replaced, err
}

func parseRef(ref, what string) (int64, error) {
	seq, err := strconv.ParseInt(ref, 10, 64)
	if err != nil || seq < 1 {
		return 0, &engine.Error{Err: fmt.Errorf("%q is no %s's reference, which is a number from 1", ref, what)}
	}
	return seq, nil
}
