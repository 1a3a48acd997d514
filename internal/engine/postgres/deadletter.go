package postgres

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Dead letters are few and may be large, so they are read few at a time.
const deadPage = 16

const selectDeadLetters = `SELECT seq, ts, device_id, reason, codec, decode(frame, 'hex'), transport FROM dead_letters
	WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3`

// numberedDeadLetter is a dead letter with its seq.
type numberedDeadLetter struct {
	seq int64
	engine.DeadLetter
}

func scanDeadLetter(r pgx.CollectableRow) (d numberedDeadLetter, err error) {
	var received int64
	err = r.Scan(&d.seq, &received, &d.DeviceID, &d.Reason, &d.Codec, &d.Frame, &d.Transport)
	d.Received = time.UnixMilli(received).UTC()
	return d, err
}

// EachDeadLetter reads the dead letters in the order of seq, which is also their ref.
func (e *Engine) EachDeadLetter(ctx context.Context, fn func(ref string, d engine.DeadLetter) error) error {
	var last int64
	err := e.with(ctx, func(c *pgxpool.Conn) error {
		return c.QueryRow(ctx, "SELECT coalesce(max(seq), 0) FROM dead_letters").Scan(&last)
	})
	if err != nil {
		return err
	}
	for after := int64(0); after < last; {
		page, err := e.deadLetters(ctx, after, last)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, d := range page {
			after = d.seq
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := fn(strconv.FormatInt(d.seq, 10), d.DeadLetter); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *Engine) deadLetters(ctx context.Context, after, last int64) (page []numberedDeadLetter, err error) {
	err = e.with(ctx, func(c *pgxpool.Conn) error {
		found, err := c.Query(ctx, selectDeadLetters, after, last, deadPage)
		if err == nil {
			page, err = pgx.CollectRows(found, scanDeadLetter)
		}
		return err
	})
	return page, err
}

// RemoveDeadLetters deletes the rows with these seqs.
func (e *Engine) RemoveDeadLetters(ctx context.Context, refs []string) error {
	seqs := make([]int64, len(refs))
	for i, ref := range refs {
		seq, err := parseRef(ref, "dead letter")
		if err != nil {
			return err
		}
		seqs[i] = seq
	}
	if len(seqs) == 0 {
		return nil
	}
	return e.with(ctx, func(c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, "DELETE FROM dead_letters WHERE seq = ANY ($1)", seqs)
		return err
	})
}
