package sqlitestore

import (
	"context"
	"errors"
	"slices"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

// Submit implements command.Store.
func (s *Store) Submit(ctx context.Context, c command.Command) (command.Entry, bool, error) {
	type submitted struct {
		entry   command.Entry
		created bool
	}
	e := command.Entry{Command: c, State: command.Queued}
	done, err := transact(ctx, s, func(tx *transaction) (submitted, error) {
		created, err := tx.insert(&e)
		if err != nil {
			return submitted{}, err
		}
		r, err := tx.byID(c.ID)
		return submitted{r.Entry, created}, err
	})
	if err == nil && done.created {
		s.devices.submitted(c.IMEI)
	}
	return done.entry, done.created, err
}

// Lookup implements command.Store.
func (s *Store) Lookup(ctx context.Context, id string) (command.Entry, error) {
	return transact(ctx, s, func(tx *transaction) (command.Entry, error) {
		r, err := tx.byID(id)
		return r.Entry, err
	})
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
	if _, err := tx.insert(&e); err != nil {
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
