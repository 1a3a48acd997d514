// Package sqlitestore keeps devices for one process: a SQLite file, devices.db, in the data directory. Any SQLite
// client may read it while the process runs.
//
// It is nobody else's file. SQLite has one writer at a time, so whoever stores records would have to wait for whoever
// keeps a device.
package sqlitestore

import (
	"context"
	"database/sql"
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
// was saved. proven is 0 for a device that has only logged in. presence is JSON, state connected or gone; a row of both
// is too long for a table without a rowid. heard_at is when a process last said that it lives, in ms since 1970 UTC.
var steps = []string{retention.Schema + `
CREATE TABLE devices (
	imei TEXT PRIMARY KEY, evidence BLOB NOT NULL, model TEXT NOT NULL, firmware TEXT NOT NULL, asked INTEGER NOT NULL,
	saved_at INTEGER NOT NULL, kept_since INTEGER NOT NULL, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX devices_seq ON devices (seq);`, strangersSchema, `
ALTER TABLE devices ADD COLUMN proven INTEGER NOT NULL DEFAULT 1;
CREATE INDEX devices_proven ON devices (proven, seq);
CREATE TABLE presences (imei TEXT PRIMARY KEY, state TEXT NOT NULL, presence TEXT NOT NULL);
CREATE INDEX presences_state ON presences (state, imei);
CREATE TRIGGER devices_removed AFTER DELETE ON devices BEGIN DELETE FROM presences WHERE imei = OLD.imei; END;
CREATE TABLE runs (run TEXT PRIMARY KEY, heard_at INTEGER NOT NULL) WITHOUT ROWID;`}

const (
	columns       = `SELECT d.imei, evidence, model, firmware, asked, presence `
	selectDevices = columns + `FROM devices d LEFT JOIN presences p ON p.imei = d.imei
		WHERE d.imei IN (SELECT value FROM json_each(?))`
	fromPresences = columns + `FROM presences p JOIN devices d ON d.imei = p.imei `
	listAll       = fromPresences + `WHERE p.imei > ?2 AND ?1 != '' ORDER BY p.imei LIMIT ?3`
	listState     = fromPresences + `WHERE state = ?1 AND p.imei > ?2 ORDER BY p.imei LIMIT ?3`
	upsertDevice  = `INSERT INTO devices (imei, evidence, model, firmware, asked, proven, saved_at, kept_since, seq)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, (SELECT ifnull(max(seq), 0) + 1 FROM devices))
		ON CONFLICT (imei) DO UPDATE SET evidence = excluded.evidence, model = excluded.model,
			firmware = excluded.firmware, asked = excluded.asked, proven = excluded.proven, saved_at = excluded.saved_at,
			kept_since = excluded.kept_since, seq = excluded.seq`
	upsertPresence = `INSERT INTO presences VALUES (?, ?, ?)
		ON CONFLICT (imei) DO UPDATE SET state = excluded.state, presence = excluded.presence`
	// What is saved later has been kept since later, so those to be removed are the first ones.
	removeOld = `DELETE FROM devices WHERE imei IN (SELECT imei FROM
		(SELECT imei, kept_since FROM devices WHERE proven = ? ORDER BY seq LIMIT ?) WHERE kept_since <= ?)`
	removeMost = `DELETE FROM devices WHERE imei IN (SELECT imei FROM devices ORDER BY proven, seq
		LIMIT max(0, min(?, (SELECT count(*) FROM devices) - ?)))`
	upsertRun  = `INSERT INTO runs VALUES (?, ?) ON CONFLICT (run) DO UPDATE SET heard_at = excluded.heard_at`
	removeRuns = `DELETE FROM runs WHERE run IN (SELECT run FROM runs ORDER BY heard_at DESC LIMIT -1 OFFSET ?)`
	selectRuns = `SELECT run, heard_at FROM runs`
	forgetRuns = `DELETE FROM runs WHERE run IN (SELECT value FROM json_each(?))`
)

// maxRuns is how many processes are remembered.
const maxRuns = 100

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
	return s.selectDevices(ctx, selectDevices, string(wanted))
}

// List implements device.Store.
func (s *Store) List(ctx context.Context, state device.State, after string, limit int) ([]device.Kept, error) {
	query := listState
	if state == device.StateAll {
		query = listAll
	}
	return s.selectDevices(ctx, query, string(state), after, limit)
}

func (s *Store) selectDevices(ctx context.Context, query string, args ...any) ([]device.Kept, error) {
	return sqlitefile.Transact(ctx, s.database, func(tx *sqlitefile.Tx) (all []device.Kept, err error) {
		rows, err := tx.Query(query, args...)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			var k device.Kept
			var presence sql.NullString
			if err := rows.Scan(&k.IMEI, &k.Evidence, &k.Model, &k.Firmware, &k.Asked, &presence); err != nil {
				return nil, err
			}
			k.Presence = device.DecodePresence(presence.String)
			all = append(all, k)
		}
		return all, rows.Err()
	})
}

// Beat implements device.Store.
func (s *Store) Beat(ctx context.Context, run string) error {
	_, err := sqlitefile.Transact(ctx, s.database, func(tx *sqlitefile.Tx) (none struct{}, err error) {
		return none, errors.Join(tx.Do(upsertRun, run, time.Now().UnixMilli()), tx.Do(removeRuns, maxRuns))
	})
	return err
}

// Heard implements device.Store.
func (s *Store) Heard(ctx context.Context) (map[string]time.Duration, error) {
	return sqlitefile.Transact(ctx, s.database, func(tx *sqlitefile.Tx) (map[string]time.Duration, error) {
		rows, err := tx.Query(selectRuns)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		heard := make(map[string]time.Duration)
		for rows.Next() {
			var run string
			var ms int64
			if err := rows.Scan(&run, &ms); err != nil {
				return nil, err
			}
			heard[run] = time.Since(time.UnixMilli(ms))
		}
		return heard, rows.Err()
	})
}

// Forget implements device.Store.
func (s *Store) Forget(ctx context.Context, runs []string) error {
	forgotten, err := json.Marshal(runs)
	if err != nil {
		return err
	}
	_, err = sqlitefile.Transact(ctx, s.database, func(tx *sqlitefile.Tx) (none struct{}, err error) {
		return none, tx.Do(forgetRuns, string(forgotten))
	})
	return err
}

// Save implements device.Store. It also removes devices that nothing was saved of for device.MaxKeep, or
// device.KeepUnproven, and those above device.MaxKept.
func (s *Store) Save(ctx context.Context, devices []device.Kept) error {
	_, err := sqlitefile.Transact(ctx, s.database, func(tx *sqlitefile.Tx) (none struct{}, err error) {
		boot, uptime := s.uptime()
		var now int64
		if err := tx.QueryRow(retention.Advance, boot, uptime.Milliseconds()).Scan(&now); err != nil {
			return none, err
		}
		if err := insert(tx, devices, now); err != nil {
			return none, err
		}
		return none, errors.Join(
			tx.Do(removeOld, true, cleanPage, now-device.MaxKeep.Milliseconds()),
			tx.Do(removeOld, false, cleanPage, now-device.KeepUnproven.Milliseconds()),
			tx.Do(removeMost, cleanPage, s.most))
	})
	return err
}

// insert keeps the devices as they are now.
func insert(tx *sqlitefile.Tx, devices []device.Kept, now int64) error {
	known, err := tx.Prepare(upsertDevice)
	if err != nil {
		return err
	}
	defer known.Close()
	present, err := tx.Prepare(upsertPresence)
	if err != nil {
		return err
	}
	defer present.Close()
	savedAt := time.Now().UnixMilli()
	for i := range devices {
		k := &devices[i]
		_, err := known.Exec(k.IMEI, blob(k.Evidence), k.Model, k.Firmware, k.Asked, k.Proven(), savedAt, now)
		if err != nil {
			return err
		}
		if k.Presence == nil {
			continue
		}
		presence, err := device.EncodePresence(k.Presence)
		if err != nil {
			return err
		}
		if _, err := present.Exec(k.IMEI, string(k.State()), presence); err != nil {
			return err
		}
	}
	return nil
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
