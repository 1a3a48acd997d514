package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// tailInterval is the pause between two looks when there was nothing new.
const tailInterval = 200 * time.Millisecond

const (
	messagePage    = 100
	selectMessages = `SELECT seq, ts, device_id, codec, type, sent, decode(payload, 'hex') FROM messages
	WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3`
)

// Tail shows the records.
func (e *Engine) Tail(ctx context.Context, fromStart bool, fn func(payload []byte) error) error {
	records := followed[row]{recordNumbers, selectRecords, recordPage, scanRow, func(r row) int64 { return r.seq }}
	return follow(ctx, e, records, fromStart, func(r row) error { return fn(r.payload) })
}

// numberedMessage is a message with its seq.
type numberedMessage struct {
	seq int64
	engine.Message
}

// TailMessages shows the messages.
func (e *Engine) TailMessages(ctx context.Context, fromStart bool, fn func(m engine.Message) error) error {
	messages := followed[numberedMessage]{messageNumbers, selectMessages, messagePage, scanMessage,
		func(m numberedMessage) int64 { return m.seq }}
	return follow(ctx, e, messages, fromStart, func(m numberedMessage) error { return fn(m.Message) })
}

func scanMessage(r pgx.CollectableRow) (m numberedMessage, err error) {
	var received int64
	var sent *int64
	var kind int16
	err = r.Scan(&m.seq, &received, &m.DeviceID, &m.Codec, &kind, &sent, &m.Payload)
	m.Received, m.Type = time.UnixMilli(received).UTC(), byte(kind)
	if sent != nil {
		m.Sent = time.UnixMilli(*sent).UTC()
	}
	return m, err
}

// followed is a table that is read while it grows: the statement that reads a page of it, and how.
type followed[T any] struct {
	numbering
	page  string
	rows  int
	parse pgx.RowToFunc[T]
	seq   func(T) int64
}

// start is the place behind which the rows are shown.
func (f followed[T]) start(ctx context.Context, e *Engine, fromStart bool) (at int64, err error) {
	err = e.with(ctx, func(c *pgxpool.Conn) (err error) {
		if at, err = f.settled(ctx, c); fromStart {
			at = 0
		}
		return err
	})
	return at, err
}

// read reads the page behind a place.
func (f followed[T]) read(ctx context.Context, e *Engine, at int64) (rows []T, err error) {
	err = e.with(ctx, func(c *pgxpool.Conn) error {
		last, err := f.settled(ctx, c)
		if err != nil || last <= at {
			return err
		}
		found, err := c.Query(ctx, f.page, at, last, f.rows)
		if err == nil {
			rows, err = pgx.CollectRows(found, f.parse)
		}
		return err
	})
	return rows, err
}

// follow looks for new rows a few times a second. It outlasts faults of the server once it has started.
func follow[T any](ctx context.Context, e *Engine, f followed[T], fromStart bool, fn func(T) error) error {
	at, err := f.start(ctx, e, fromStart)
	if err != nil {
		return err
	}
	for working := true; ; {
		rows, err := f.read(ctx, e, at)
		if failing := err != nil; failing == working && ctx.Err() == nil {
			working = !failing
			e.logTail(err)
		}
		for _, r := range rows {
			if err := fn(r); err != nil {
				return err
			}
			at = f.seq(r)
		}
		if len(rows) == f.rows && ctx.Err() == nil {
			continue
		}
		if !backoff.Pause(ctx, tailInterval) {
			return ctx.Err()
		}
	}
}

func (e *Engine) logTail(err error) {
	if err != nil {
		e.log.Warn("stored records cannot be read, trying again", "error", err)
		return
	}
	e.log.Info("stored records can be read again")
}
