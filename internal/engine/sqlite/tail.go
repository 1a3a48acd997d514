package sqlite

import (
	"context"
	"database/sql/driver"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// How a tail reads: little at a time, because it shares the connection with Store.
const (
	tailInterval = 200 * time.Millisecond
	tailPage     = 200 // rows
)

// Tail shows the records.
func (e *Engine) Tail(ctx context.Context, fromStart bool, fn func(payload []byte) error) error {
	var payload []byte
	return tail(ctx, e, records, fromStart, func(text string) error {
		payload = append(payload[:0], text...)
		return fn(payload)
	})
}

// records is the table of records, of which the payload is read.
var records = tailed[string]{
	newest: func(db *database) *statement { return db.newest },
	page:   func(db *database) *statement { return db.page },
	parse: func(row []driver.Value) string {
		payload, _ := row[0].(string)
		return payload
	},
}

// TailMessages shows the messages. A row that another program wrote and that is no message is left out.
func (e *Engine) TailMessages(ctx context.Context, fromStart bool, fn func(m engine.Message) error) error {
	messages := tailed[messageRow]{
		newest: func(db *database) *statement { return db.newestMessage },
		page:   func(db *database) *statement { return db.messagePage },
		parse:  parseMessageRow,
	}
	return tail(ctx, e, messages, fromStart, func(row messageRow) error {
		m, err := row.message()
		if err != nil {
			return nil
		}
		return fn(m)
	})
}

// tailed is a table that can be followed: its statements, and how a row is read from behind its seq.
type tailed[T any] struct {
	newest, page func(*database) *statement
	parse        func(row []driver.Value) T
}

// tail looks for new rows a few times a second. When the file is replaced it starts again
// with the oldest row of the new one. It outlasts faults of the store once it has started.
func tail[T any](ctx context.Context, e *Engine, table tailed[T], fromStart bool, fn func(T) error) error {
	at, err := table.start(ctx, e, fromStart)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(tailInterval)
	defer ticker.Stop()
	for working := true; ; {
		page, err := table.read(ctx, e, at)
		if failing := err != nil; failing == working && ctx.Err() == nil {
			working = !failing
			e.logTail(err)
		}
		for _, row := range page.rows {
			if err := fn(row.value); err != nil {
				return err
			}
		}
		if err == nil {
			at = page.next
		}
		if len(page.rows) == tailPage && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
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

// place is how far a tail has come, and in which of the files that were at the path.
type place struct {
	seq     int64
	replace int
}

// page is a run of rows, and the place behind them.
type page[T any] struct {
	rows []placed[T]
	next place
}

// placed is a row and its seq.
type placed[T any] struct {
	seq   int64
	value T
}

func (t tailed[T]) start(ctx context.Context, e *Engine, fromStart bool) (place, error) {
	return inTurn(ctx, e, func(w *writer) (place, error) {
		if err := w.open(); err != nil {
			return place{}, classify(w.path, err)
		}
		newest, err := t.newest(w.db).number()
		if err != nil {
			return place{}, w.giveUp(err)
		}
		if fromStart {
			newest = 0
		}
		return place{seq: newest, replace: w.replace}, nil
	})
}

func (t tailed[T]) read(ctx context.Context, e *Engine, at place) (page[T], error) {
	return inTurn(ctx, e, func(w *writer) (page[T], error) {
		if err := w.open(); err != nil {
			return page[T]{}, classify(w.path, err)
		}
		p, err := t.readWith(w, at)
		if err != nil {
			return page[T]{}, w.giveUp(err)
		}
		return p, nil
	})
}

// readWith also starts again when the newest row lies behind the place: a file that failed
// and was closed may have been replaced as well.
func (t tailed[T]) readWith(w *writer, at place) (page[T], error) {
	newest, err := t.newest(w.db).number()
	if err != nil {
		return page[T]{}, err
	}
	if at.replace != w.replace || newest < at.seq {
		at = place{replace: w.replace}
	}
	p := page[T]{next: at}
	statement := t.page(w.db)
	statement.bind(at.seq, int64(tailPage))
	err = statement.each(func(row []driver.Value) error {
		p.next.seq = row[0].(int64)
		p.rows = append(p.rows, placed[T]{p.next.seq, t.parse(row[1:])})
		return nil
	})
	return p, err
}
