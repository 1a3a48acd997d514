package sqlitestore

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

// Submit implements command.Store.
func (s *Store) Submit(ctx context.Context, c command.Command) (command.Entry, bool, error) {
	done, err := transact(ctx, s, func(tx *transaction) (submitted, error) { return s.submit(tx, c) })
	switch {
	case err != nil:
		return command.Entry{}, false, err
	case done.refusal != "":
		return command.Entry{}, false, command.TooMany(done.refusal)
	case done.created:
		s.devices.submitted(c.IMEI)
	}
	return s.asKnown(done.entry), done.created, nil
}

// submitted is what has become of a new command.
type submitted struct {
	entry   command.Entry
	created bool
	refusal command.Refusal // empty if it is kept
}

func (s *Store) submit(tx *transaction, c command.Command) (submitted, error) {
	if known, err := tx.byID(c.ID); !errors.Is(err, command.ErrUnknown) {
		return submitted{entry: known.Entry}, err
	}
	refusal, err := tx.crowded(c.IMEI, s.maxOpen)
	if err != nil || refusal != "" {
		return submitted{refusal: refusal}, err
	}
	e := command.Entry{Command: c, State: command.Queued}
	if err := tx.insert(&e); err != nil {
		return submitted{}, err
	}
	kept, err := tx.byID(c.ID)
	return submitted{entry: kept.Entry, created: true}, err
}

// crowded says why the device gets no further command, or nothing. There are as many open ones as may be, at most, so
// it is quick to count them.
func (tx *transaction) crowded(imei string, most int) (command.Refusal, error) {
	var device, all int
	err := tx.QueryRow(`SELECT (SELECT count(*) FROM commands WHERE imei = ? AND state IN ('queued', 'sent')),
		(SELECT count(*) FROM commands WHERE state IN ('queued', 'sent'))`, imei).Scan(&device, &all)
	switch {
	case err != nil:
		return "", err
	case device >= command.MaxOpenOfDevice:
		return command.RefusedQueue, nil
	case all >= most:
		return command.RefusedStore, nil
	}
	return "", nil
}

// asKnown says of an entry whether it waits for its device to connect.
func (s *Store) asKnown(e command.Entry) command.Entry {
	e.Parked = e.State == command.Queued && !s.devices.isConnected(e.IMEI)
	return e
}

// Lookup implements command.Store.
func (s *Store) Lookup(ctx context.Context, id string) (command.Entry, error) {
	r, err := transact(ctx, s, func(tx *transaction) (row, error) { return tx.byID(id) })
	return s.asKnown(r.Entry), err
}

// List implements command.Store.
func (s *Store) List(ctx context.Context, q command.Query) (command.Page, error) {
	p, err := transact(ctx, s, func(tx *transaction) (command.Page, error) { return tx.list(q) })
	for i := range p.Entries {
		p.Entries[i] = s.asKnown(p.Entries[i])
	}
	return p, err
}

func (tx *transaction) list(q command.Query) (p command.Page, err error) {
	condition, args := `seq < ?`, []any{cmp.Or(q.Before, math.MaxInt64)}
	if q.Open {
		condition += ` AND state IN ('queued', 'sent')`
	}
	if q.IMEI != "" {
		condition, args = condition+` AND imei = ?`, append(args, q.IMEI)
	}
	size, last := 0, int64(0)
	err = tx.each(func(r row) bool {
		if len(p.Entries) == q.Limit || size > command.PageBytes {
			p.Next = last
			return false
		}
		p.Entries = append(p.Entries, r.Entry)
		size, last = size+r.Size(), r.seq
		return true
	}, condition+` ORDER BY seq DESC LIMIT ?`, append(args, q.Limit+1)...)
	return p, err
}

// Cancel implements command.Store.
func (s *Store) Cancel(ctx context.Context, id string) (command.Entry, error) {
	return transact(ctx, s, func(tx *transaction) (command.Entry, error) {
		r, err := tx.byID(id)
		if err != nil || r.State != command.Queued {
			return r.Entry, err
		}
		s.end(&r, r.Finished(command.Cancelled, command.ReasonTakenBack, s.now()))
		return r.Entry, tx.update(&r)
	})
}

// Finish implements command.Store.
func (s *Store) Finish(ctx context.Context, e command.Entry, p command.Timeouts) (command.Entry, error) {
	if !slices.Contains(command.FinalStates, e.State) {
		return e, errNotFinal
	}
	return transact(ctx, s, func(tx *transaction) (command.Entry, error) {
		r, err := tx.byID(e.ID)
		if errors.Is(err, command.ErrUnknown) {
			return s.finishLost(tx, e, p)
		}
		if err != nil || r.State.Final() {
			return r.Entry, err
		}
		if r.State == command.Sent && r.run == s.run && e.Attempts < r.Attempts {
			if err := tx.withdraw(&r); err != nil {
				return command.Entry{}, err
			}
		}
		if r.State == command.Sent {
			if _, err := s.holdLease(tx, &r.Entry, s.now().Add(p.Quarantine)); err != nil {
				return command.Entry{}, err
			}
		}
		s.end(&r, r.Finished(e.State, e.Reason, s.now()))
		return r.Entry, tx.update(&r)
	})
}

// finishLost keeps a command that is not there, because the file was replaced perhaps.
func (s *Store) finishLost(tx *transaction, e command.Entry, p command.Timeouts) (command.Entry, error) {
	if e.FinishedAt = s.now(); e.Instance == "" {
		e.Instance = s.instance
	}
	if err := tx.insert(&e); err != nil {
		return command.Entry{}, err
	}
	if e.Attempts > 0 {
		if _, err := s.holdLease(tx, &e, s.now().Add(p.Quarantine)); err != nil {
			return command.Entry{}, err
		}
	}
	r, err := tx.byID(e.ID)
	return r.Entry, err
}

// end gives a command its final state.
func (s *Store) end(r *row, final command.Entry) {
	r.Entry = final
	if r.Instance == "" {
		r.Instance = s.instance
	}
}
