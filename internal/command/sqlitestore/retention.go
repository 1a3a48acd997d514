package sqlitestore

import (
	"context"
	"time"
)

const (
	cleanEvery = time.Minute
	cleanPage  = 1000 // rows that one transaction removes at most
)

// clean removes what has been kept for long enough.
func (s *Store) clean(ctx context.Context) error {
	now := s.now()
	if err := s.remove(ctx, `turns WHERE imei IN (SELECT imei FROM turns WHERE until <= ? LIMIT ?)`, now); err != nil || s.retention == 0 {
		return err
	}
	before := now.Add(-s.retention)
	if err := s.remove(ctx, `commands WHERE seq IN (SELECT seq FROM commands WHERE finished_at <= ? LIMIT ?)`, before); err != nil {
		return err
	}
	return s.remove(ctx, `events WHERE received_at <= ? AND seq IN (SELECT seq FROM events ORDER BY seq LIMIT ?)`, before)
}

// remove deletes the oldest rows of a table, a page at a time.
func (s *Store) remove(ctx context.Context, which string, before time.Time) error {
	for {
		removed, err := transact(ctx, s, func(tx *transaction) (int64, error) {
			result, err := tx.Exec(`DELETE FROM `+which, before.UnixMilli(), cleanPage)
			if err != nil {
				return 0, err
			}
			return result.RowsAffected()
		})
		if err != nil || removed < cleanPage {
			return err
		}
	}
}
