package sqlitestore

import (
	"context"
	"errors"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/retention"
)

const (
	cleanEvery = time.Minute
	cleanPage  = 1000 // rows that one transaction marks or removes at most
	// leastKept is longer than a lease lasts once its command is final. The lease goes with the command.
	leastKept = time.Hour
)

// What is kept for a while: commands from when they are final, and events. The id of a command that is removed is not
// known any more: it would be carried out again.
const (
	markCommands = `UPDATE commands SET kept_since = ? WHERE seq IN
		(SELECT seq FROM commands WHERE finished_at IS NOT NULL AND kept_since IS NULL LIMIT ?)`
	markEvents = `UPDATE events SET kept_since = ? WHERE seq IN
		(SELECT seq FROM events WHERE kept_since IS NULL LIMIT ?)`
	removeCommands = `DELETE FROM commands WHERE seq IN (SELECT seq FROM commands WHERE kept_since <= ? LIMIT ?)`
	removeEvents   = `DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE kept_since <= ? LIMIT ?)`
)

// clean marks what has become final with the time that it is by the file's clock, and removes what was marked long
// enough ago. It always writes something, which proves that the file can be written.
func (s *Store) clean(ctx context.Context) error {
	done := marked{full: true}
	for done.full {
		var err error
		if done, err = s.mark(ctx); err != nil {
			return err
		}
	}
	if s.retention == 0 {
		return nil
	}
	before := done.now - max(s.retention, leastKept).Milliseconds()
	for _, query := range []string{removeCommands, removeEvents} {
		if err := s.remove(ctx, query, before); err != nil {
			return err
		}
	}
	return nil
}

// marked is the time by the file's clock, in ms, and whether there may be more to mark.
type marked struct {
	now  int64
	full bool
}

// mark marks a page of commands and one of events.
func (s *Store) mark(ctx context.Context) (marked, error) {
	return transact(ctx, s, func(tx *transaction) (done marked, err error) {
		done.now, err = s.advance(tx)
		for _, query := range []string{markCommands, markEvents} {
			changed, failed := tx.Change(query, done.now, cleanPage)
			err, done.full = errors.Join(err, failed), done.full || changed == cleanPage
		}
		return done, err
	})
}

// remove deletes the rows that were marked by then, a page in each transaction.
func (s *Store) remove(ctx context.Context, query string, before int64) error {
	for {
		removed, err := transact(ctx, s, func(tx *transaction) (int64, error) { return tx.Change(query, before, cleanPage) })
		if err != nil || removed < cleanPage {
			return err
		}
	}
}

// advance sets the file's clock forward and returns what it says, in ms.
func (s *Store) advance(tx *transaction) (now int64, err error) {
	boot, uptime := s.uptime()
	err = tx.QueryRow(retention.Advance, boot, uptime.Milliseconds()).Scan(&now)
	return now, err
}

// Prove writes to the file, as every call does that keeps something. The error says why commands cannot be kept.
func (s *Store) Prove(ctx context.Context) error {
	_, err := transact(ctx, s, s.advance)
	return err
}
