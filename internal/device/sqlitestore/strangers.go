package sqlitestore

import (
	"context"
	"errors"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/sqlitefile"
)

// strangersSchema is the table of strangers; last_at is in ms since 1970 UTC.
const strangersSchema = `
CREATE TABLE strangers (id TEXT PRIMARY KEY, last_at INTEGER NOT NULL, json TEXT NOT NULL) WITHOUT ROWID;`

const (
	selectStrangers = `SELECT id, last_at, json FROM strangers ORDER BY last_at DESC, id LIMIT ?`
	upsertStranger  = `INSERT INTO strangers VALUES (?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET last_at = excluded.last_at, json = excluded.json`
	removeStranger      = `DELETE FROM strangers WHERE id = ?`
	removeMostStrangers = `DELETE FROM strangers WHERE id IN
		(SELECT id FROM strangers ORDER BY last_at, id LIMIT max(0, (SELECT count(*) FROM strangers) - ?))`
)

var _ stranger.Store = (*Store)(nil)

// SaveStrangers implements stranger.Store.
func (s *Store) SaveStrangers(ctx context.Context, changed []stranger.Kept, gone []string) error {
	_, err := sqlitefile.Transact(ctx, s.database, func(tx *sqlitefile.Tx) (none struct{}, err error) {
		for _, id := range gone {
			err = errors.Join(err, tx.Do(removeStranger, id))
		}
		for _, k := range changed {
			err = errors.Join(err, tx.Do(upsertStranger, k.ID, k.At.UnixMilli(), string(k.JSON)))
		}
		return none, errors.Join(err, tx.Do(removeMostStrangers, stranger.Size))
	})
	return err
}

// LoadStrangers implements stranger.Store.
func (s *Store) LoadStrangers(ctx context.Context) ([]stranger.Kept, error) {
	return sqlitefile.Transact(ctx, s.database, func(tx *sqlitefile.Tx) (all []stranger.Kept, err error) {
		rows, err := tx.Query(selectStrangers, stranger.Size)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			var k stranger.Kept
			var at int64
			if err := rows.Scan(&k.ID, &at, &k.JSON); err != nil {
				return nil, err
			}
			k.At = time.UnixMilli(at)
			all = append(all, k)
		}
		return all, rows.Err()
	})
}
