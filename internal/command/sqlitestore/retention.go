package sqlitestore

import (
	"context"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/retention"
)

const (
	cleanEvery = time.Minute
	cleanPage  = 1000 // rows that one transaction marks or removes at most
	// leastKept is longer than a turn lasts once its command is final. The turn goes with the command.
	leastKept = time.Hour
)

// What is kept for a while: commands from when they are final, and events. The id of a command that is removed is not
// known any more: it would be carried out again.
const (
	markCommands = `UPDATE commands SET kept_since = ? WHERE seq IN
		(SELECT seq FROM commands WHERE finished_at IS NOT NULL AND kept_since IS NULL LIMIT ?)`
	markEvents     = `UPDATE events SET kept_since = ? WHERE seq IN (SELECT seq FROM events WHERE kept_since IS NULL LIMIT ?)`
	removeCommands = `DELETE FROM commands WHERE seq IN (SELECT seq FROM commands WHERE kept_since <= ? LIMIT ?)`
	removeEvents   = `DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE kept_since <= ? LIMIT ?)`
)

// clean marks what has become final, and removes what has been kept for long enough. It always writes something, which
// proves that the file can be written.
func (s *Store) clean(ctx context.Context) error {
	for _, mark := range []string{markCommands, markEvents} {
		if err := s.inPages(ctx, mark, 0); err != nil {
			return err
		}
	}
	if s.retention == 0 {
		return nil
	}
	for _, remove := range []string{removeCommands, removeEvents} {
		if err := s.inPages(ctx, remove, max(s.retention, leastKept)); err != nil {
			return err
		}
	}
	return nil
}

// inPages changes the rows that are of that age, a page in each transaction.
func (s *Store) inPages(ctx context.Context, query string, age time.Duration) error {
	for {
		changed, err := transact(ctx, s, func(tx *transaction) (int64, error) {
			now, err := s.advance(tx)
			if err != nil {
				return 0, err
			}
			result, err := tx.Exec(query, now-age.Milliseconds(), cleanPage)
			if err != nil {
				return 0, err
			}
			return result.RowsAffected()
		})
		if err != nil || changed < cleanPage {
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
