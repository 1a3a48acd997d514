package sqlite

import (
	"context"
	"database/sql/driver"
	"time"
)

// How a tail reads: little at a time, because it shares the connection with Store.
const (
	tailInterval = 200 * time.Millisecond
	tailPage     = 200 // records
)

// Tail looks for new records a few times a second. When the file is replaced it starts again
// with the oldest record of the new one. It outlasts faults of the store once it has started.
func (e *Engine) Tail(ctx context.Context, fromStart bool, fn func(payload []byte) error) error {
	at, err := e.tailStart(ctx, fromStart)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(tailInterval)
	defer ticker.Stop()
	var payload []byte
	for working := true; ; {
		page, err := e.readPage(ctx, at)
		if failing := err != nil; failing == working && ctx.Err() == nil {
			working = !failing
			e.logTail(err)
		}
		for _, text := range page.payloads {
			payload = append(payload[:0], text...)
			if err := fn(payload); err != nil {
				return err
			}
		}
		if err == nil {
			at = page.next
		}
		if len(page.payloads) == tailPage && ctx.Err() == nil {
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

// page is a run of payloads, and the place behind them.
type page struct {
	payloads []string
	next     place
}

func (e *Engine) tailStart(ctx context.Context, fromStart bool) (place, error) {
	return inTurn(ctx, e, func(w *writer) (place, error) {
		if err := w.open(); err != nil {
			return place{}, classify(w.path, err)
		}
		newest, err := w.db.newest.number()
		if err != nil {
			return place{}, w.giveUp(err)
		}
		if fromStart {
			newest = 0
		}
		return place{seq: newest, replace: w.replace}, nil
	})
}

func (e *Engine) readPage(ctx context.Context, at place) (page, error) {
	return inTurn(ctx, e, func(w *writer) (page, error) {
		if err := w.open(); err != nil {
			return page{}, classify(w.path, err)
		}
		p, err := w.readPage(at)
		if err != nil {
			return page{}, w.giveUp(err)
		}
		return p, nil
	})
}

// readPage also starts again when the newest record lies behind the place: a file that failed
// and was closed may have been replaced as well.
func (w *writer) readPage(at place) (page, error) {
	newest, err := w.db.newest.number()
	if err != nil {
		return page{}, err
	}
	if at.replace != w.replace || newest < at.seq {
		at = place{replace: w.replace}
	}
	p := page{next: at}
	w.db.page.bind(at.seq, int64(tailPage))
	err = w.db.page.each(func(row []driver.Value) error {
		p.next.seq = row[0].(int64)
		payload, _ := row[1].(string)
		p.payloads = append(p.payloads, payload)
		return nil
	})
	return p, err
}
