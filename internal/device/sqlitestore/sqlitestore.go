// Package sqlitestore keeps devices for one process: a SQLite file, devices.db, in the data directory. Any SQLite
// client may read it while the process runs.
//
// It is nobody else's file. SQLite has one writer at a time, so whoever stores records would have to wait for whoever
// keeps a device.
package sqlitestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/retention"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/sqlitefile"
)

// FileName is the database's name in the data directory. SQLite keeps two files of the same name with the endings -wal
// and -shm beside it while it is open.
const FileName = "devices.db"

// steps make the file of version n one of version n+1; columns are only ever added. saved_at is in ms since 1970 UTC,
// and for people; kept_since is in ms by the file's own clock, see package retention. seq is greater the later a device
// was saved.
var steps = []string{retention.Schema + `
CREATE TABLE devices (
	imei TEXT PRIMARY KEY, evidence BLOB NOT NULL, model TEXT NOT NULL, firmware TEXT NOT NULL, asked INTEGER NOT NULL,
	saved_at INTEGER NOT NULL, kept_since INTEGER NOT NULL, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX devices_seq ON devices (seq);`, strangersSchema}

const (
	selectDevices = `SELECT imei, evidence, model, firmware, asked FROM devices
		WHERE imei IN (SELECT value FROM json_each(?))`
	upsertDevice = `INSERT INTO devices VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT ifnull(max(seq), 0) + 1 FROM devices))
		ON CONFLICT (imei) DO UPDATE SET evidence = excluded.evidence, model = excluded.model,
			firmware = excluded.firmware, asked = excluded.asked, saved_at = excluded.saved_at,
			kept_since = excluded.kept_since, seq = excluded.seq`
	// What is saved later has been kept since later, so those to be removed are the first ones.
	removeOld = `DELETE FROM devices WHERE imei IN
		(SELECT imei FROM (SELECT imei, kept_since FROM devices ORDER BY seq LIMIT ?) WHERE kept_since <= ?)`
	removeMost = `DELETE FROM devices WHERE imei IN (SELECT imei FROM devices ORDER BY seq
		LIMIT max(0, min(?, (SELECT count(*) FROM devices) - ?)))`
)

// cleanPage is how many devices one Save removes at most.
const cleanPage = 1000

// Store is a device.Store.
type Store struct {
	path     string
	log      *slog.Logger
	database *sqlitefile.Database
	most     int                                        // devices
	uptime   func() (boot string, uptime time.Duration) // what their ages are counted by
}

var _ device.Store = (*Store)(nil)

// New returns a store on the directory's database. It fails only on a directory that cannot be: the file is opened by
// the first call that needs it.
func New(dir string, logger *slog.Logger) (*Store, error) {
	path, err := sqlitefile.Path(dir, FileName)
	if err != nil {
		return nil, err
	}
	s := &Store{path: path, log: logger, most: device.MaxKept, uptime: retention.Uptime}
	s.database = sqlitefile.NewDatabase(sqlitefile.DatabaseOptions{
		Path: path, Steps: steps, Opened: s.announce, Classify: s.classify,
	})
	return s, nil
}

// classify says in the error what an operator should do: nothing in the file is missed for long.
func (s *Store) classify(err error) error {
	cause := sqlitefile.CauseOf(err)
	if cause == sqlitefile.Damaged {
		return fmt.Errorf("%s: damaged: stop the service and remove the file and its -wal and -shm files: %w", s.path, err)
	}
	return cause.Explain(s.path, err)
}

func (s *Store) announce(open error) {
	s.log.Info("device database opened", "path", s.path)
	if open != nil {
		s.log.Warn("database is open to other users, its owner must restrict it", "path", s.path, "error", open)
	}
}

// Load implements device.Store.
func (s *Store) Load(ctx context.Context, imeis []string) ([]device.Kept, error) {
	wanted, err := json.Marshal(imeis)
	if err != nil {
		return nil, err
	}
	return sqlitefile.Transact(ctx, s.database, func(tx *sqlitefile.Tx) (all []device.Kept, err error) {
		rows, err := tx.Query(selectDevices, string(wanted))
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			var k device.Kept
			if err := rows.Scan(&k.IMEI, &k.Evidence, &k.Model, &k.Firmware, &k.Asked); err != nil {
				return nil, err
			}
			all = append(all, k)
		}
		return all, rows.Err()
	})
}

// Save implements device.Store. It also removes devices that nothing was saved of for device.MaxKeep, and those above
// device.MaxKept.
func (s *Store) Save(ctx context.Context, devices []device.Kept) error {
	_, err := sqlitefile.Transact(ctx, s.database, func(tx *sqlitefile.Tx) (none struct{}, err error) {
		boot, uptime := s.uptime()
		var now int64
		if err := tx.QueryRow(retention.Advance, boot, uptime.Milliseconds()).Scan(&now); err != nil {
			return none, err
		}
		insert, err := tx.Prepare(upsertDevice)
		if err != nil {
			return none, err
		}
		defer insert.Close()
		savedAt := time.Now().UnixMilli()
		for _, k := range devices {
			if _, err := insert.Exec(k.IMEI, blob(k.Evidence), k.Model, k.Firmware, k.Asked, savedAt, now); err != nil {
				return none, err
			}
		}
		return none, errors.Join(
			tx.Do(removeOld, cleanPage, now-device.MaxKeep.Milliseconds()),
			tx.Do(removeMost, cleanPage, s.most))
	})
	return err
}

// blob is b, which must not be NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Shared implements device.Store. One process has the file.
func (s *Store) Shared() bool { return false }

// Close implements device.Store.
func (s *Store) Close() error { return s.database.Close() }
