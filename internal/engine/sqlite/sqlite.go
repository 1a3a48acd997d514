// Package sqlite is the embedded engine: records, dead letters and messages in one SQLite file, each batch
// one transaction that is fsynced before it counts as stored. It needs no server, recognises
// resent records by their id, and any SQLite client may read the file while it is written.
// One connection does everything, in turns.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/retention"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/sqlitefile"
)

// FileName is the database's name in Options.Dir. SQLite keeps two files of the same name with
// the endings -wal and -shm beside it while it is open.
const FileName = "telemetry.db"

// lockWait is how long the engine waits for another process's write lock before it gives up for this time.
const lockWait = 5 * time.Second

// Options configure the engine.
type Options struct {
	Dir       string        // holds the database; created if missing, unless Beside
	Retention time.Duration // how long everything is kept; 0 = for ever
	Logger    *slog.Logger  // nil = slog.Default

	// Beside is for a reader beside the service: while the database is missing or of an earlier version, every call fails
	// with a transient error. It is not made, migrated, or closed to other users here.
	Beside bool

	// DeadLetterMaxBytes bounds what all dead letters take: for new ones the oldest are removed, those of devices that
	// had no record here first. 0 = no bound
	DeadLetterMaxBytes int64

	// MessageMaxBytes bounds what all messages take: for new ones the oldest are removed. 0 = no bound
	MessageMaxBytes int64
}

// Engine is the embedded engine.
type Engine struct {
	path      string
	retention time.Duration
	lockWait  time.Duration
	log       *slog.Logger
	uptime    func() (boot string, uptime time.Duration) // what the ages of rows are counted by

	turns      *sqlitefile.Turns[*writer]
	stop       context.CancelFunc
	background sync.WaitGroup
}

var _ interface {
	engine.Engine
	engine.Recogniser
	engine.Inspector
	engine.Tailer
	engine.DeadLetterStore
	engine.Migrator
	engine.RecordReader
	engine.RecordReplacer
	engine.Consumable
} = (*Engine)(nil)

// New returns an engine on the directory's database. It fails only on options that cannot work:
// the file is opened by the first call that needs it, and again after a fault.
func New(options Options) (*Engine, error) {
	if options.Retention < 0 {
		return nil, fmt.Errorf("retention %v is negative", options.Retention)
	}
	path, err := sqlitefile.Path(options.Dir, FileName)
	if err != nil {
		return nil, err
	}
	e := newEngine(path, options)
	e.startMaintenance()
	return e, nil
}

func newEngine(path string, options Options) *Engine {
	e := &Engine{
		path:      path,
		retention: options.Retention,
		lockWait:  lockWait,
		log:       options.Logger,
		uptime:    retention.Uptime,
		stop:      func() {},
	}
	if e.log == nil {
		e.log = slog.Default()
	}
	e.turns = sqlitefile.NewTurns(path, &writer{path: path, beside: options.Beside, log: e.log,
		dead: room{limit: options.DeadLetterMaxBytes}, messages: room{limit: options.MessageMaxBytes}})
	return e
}

// Lanes is 1: SQLite has one writer at a time.
func (e *Engine) Lanes() int { return 1 }

// Lane is 0.
func (e *Engine) Lane(string) int { return 0 }

// Close ends the background work and closes the database. It waits a few seconds for a write
// that is still running, and leaves it behind if the disk does not answer.
func (e *Engine) Close() error {
	e.stop()
	e.background.Wait()
	return e.turns.Close((*writer).close)
}

// acquire takes the writer for one piece of work, which ends with run.
func (e *Engine) acquire(ctx context.Context) (*writer, error) {
	w, err := e.turns.Take(ctx)
	if err != nil {
		return nil, &engine.Error{Transient: true, Err: err}
	}
	return w, nil
}

// run does the work and gives the writer back. It leaves the work behind when ctx ends; so work must not use its
// caller's memory.
func run[T any](ctx context.Context, e *Engine, w *writer, work func(*writer) (T, error)) (T, error) {
	value, err := sqlitefile.Use(ctx, e.turns, w, work)
	if errors.Is(err, sqlitefile.ErrNoAnswer) {
		err = &engine.Error{Transient: true, Ambiguous: true, Err: err}
	}
	return value, err
}

// inTurn acquires the writer and runs work with it.
func inTurn[T any](ctx context.Context, e *Engine, work func(*writer) (T, error)) (T, error) {
	w, err := e.acquire(ctx)
	if err != nil {
		var none T
		return none, err
	}
	return run(ctx, e, w, work)
}
