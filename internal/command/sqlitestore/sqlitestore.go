// Package sqlitestore keeps commands for the embedded engine: one SQLite file, commands.db, for the one process that
// has the data directory. Any SQLite client may read it while the process runs.
//
// It is not the engine's file. SQLite has one writer at a time, so whoever stores records would have to wait for
// whoever stores a command. Two files share nothing but the disk.
//
// Final states have the reasons of package command, and this process' time of day. The first 4 KiB of an event's
// payload are kept, and in the column size how long it was. The newest 10000 events are kept, for Options.Retention.
// That time is counted as package retention does: a wrong clock forgets no id.
//
// Every method is one transaction, on disk when it returns. One connection does everything, one after the other.
package sqlitestore

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/health"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/retention"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/sqlitefile"
)

// FileName is the database's name in Options.Dir. SQLite keeps two files of the same name with the endings -wal and
// -shm beside it while it is open.
const FileName = "commands.db"

const (
	defaultSweep = time.Second
	// grace is how much longer than whoever sent a command the store waits before it ends the command itself.
	grace = 2 * time.Second
)

// Options configure the store.
type Options struct {
	Dir       string        // holds the database; created if missing
	Instance  string        // the name of this process in entries
	Retention time.Duration // how long final commands and events are kept, 0 = for ever. An id is known for as long
	Logger    *slog.Logger  // nil = slog.Default
	Sweep     time.Duration // how often Run looks for commands that nobody carries out, 0 = 1 s
	MaxOpen   int           // commands without a final state, 0 = command.MaxOpen
}

// Store is the commands' store.
type Store struct {
	path      string
	instance  string
	run       string // this process among all that had the file: what another one has sent is out of anybody's hands
	retention time.Duration
	sweepTime time.Duration
	grace     time.Duration
	maxEvents int64
	maxOpen   int
	log       *slog.Logger
	now       func() time.Time
	uptime    func() (boot string, uptime time.Duration) // what commands' ages are counted by

	database *sqlitefile.Database
	devices  devices
	tokens   *command.Tokens
	health   health.Health // what Run has found out
	tried    atomic.Bool   // Run has found out something
}

var _ command.Store = (*Store)(nil)

// New returns a store on the directory's database. It fails only on options that cannot work: the file is opened by the
// first call that needs it, and again after a fault.
func New(o Options) (*Store, error) {
	switch {
	case o.Instance == "":
		return nil, errors.New("no instance given")
	case o.Retention < 0:
		return nil, fmt.Errorf("retention %v is negative", o.Retention)
	}
	path, err := sqlitefile.Path(o.Dir, FileName)
	if err != nil {
		return nil, err
	}
	s := &Store{
		path:      path,
		instance:  o.Instance,
		run:       rand.Text(),
		retention: o.Retention,
		sweepTime: o.Sweep,
		grace:     grace,
		maxEvents: maxEvents,
		maxOpen:   cmp.Or(o.MaxOpen, command.MaxOpen),
		log:       o.Logger,
		now:       time.Now,
		uptime:    retention.Uptime,
		devices:   newDevices(),
		tokens:    command.NewTokens(rand.Text()),
	}
	s.database = sqlitefile.NewDatabase(sqlitefile.DatabaseOptions{
		Path: path, Steps: steps, Opened: s.announce, Reopened: s.devices.handOutAll,
		Classify: func(err error) error { return classify(path, err) },
		IsAnswer: func(err error) bool { return errors.Is(err, command.ErrUnknown) },
	})
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.sweepTime <= 0 {
		s.sweepTime = defaultSweep
	}
	return s, nil
}

// Close closes the database. It waits a few seconds for a transaction that is still running, and leaves it behind if
// the disk does not answer.
func (s *Store) Close() error { return s.database.Close() }

// announce says that the file is open, and whether others may read it.
func (s *Store) announce(open error) {
	s.log.Info("command database opened", "path", s.path)
	if open != nil {
		s.log.Warn("database is open to other users, its owner must restrict it", "path", s.path, "error", open)
	}
}
