// Package sqlite is the embedded engine: records, dead letters and messages in one SQLite file, each batch
// one transaction that is fsynced before it counts as stored. It needs no server, recognises
// resent records by their id, and any SQLite client may read the file while it is written.
//
// One connection does everything, in turns. SQLite has one writer at a time anyway, and a second
// connection of the same process would have to be closed together with the first whenever the
// file is replaced.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/retention"
)

// FileName is the database's name in Options.Dir. SQLite keeps two files of the same name with
// the endings -wal and -shm beside it while it is open.
const FileName = "telemetry.db"

// How long the engine waits before it gives up for this time.
const (
	lockWait  = 5 * time.Second        // for another process's write lock
	closeWait = 5 * time.Second        // for a write that is still running at Close
	lastWord  = 100 * time.Millisecond // for a write's own answer once its context has ended
)

// Options configure the engine.
type Options struct {
	Dir       string        // holds the database; created if missing
	Retention time.Duration // how long everything is kept; 0 = for ever
	Logger    *slog.Logger  // nil = slog.Default

	// DeadLetterMaxBytes bounds what all dead letters take: for new ones the oldest are removed, those of devices that
	// had no record here first. 0 = no bound
	DeadLetterMaxBytes int64
}

// Engine is the embedded engine.
type Engine struct {
	path      string
	retention time.Duration
	lockWait  time.Duration
	log       *slog.Logger
	uptime    func() (boot string, uptime time.Duration) // what the ages of rows are counted by

	turn       chan *writer // holds the writer while nobody works with it
	stop       context.CancelFunc
	background sync.WaitGroup
}

var _ interface {
	engine.Engine
	engine.Recogniser
	engine.Inspector
	engine.Tailer
	engine.DeadLetterStore
} = (*Engine)(nil)

// New returns an engine on the directory's database. It fails only on options that cannot work:
// the file is opened by the first call that needs it, and again after a fault.
func New(options Options) (*Engine, error) {
	if options.Dir == "" {
		return nil, errors.New("no data directory given")
	}
	if options.Retention < 0 {
		return nil, fmt.Errorf("retention %v is negative", options.Retention)
	}
	dir, err := filepath.Abs(options.Dir)
	if err != nil {
		return nil, fmt.Errorf("data directory %q: %w", options.Dir, err)
	}
	e := newEngine(filepath.Join(dir, FileName), options)
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
		turn:      make(chan *writer, 1),
		stop:      func() {},
	}
	if e.log == nil {
		e.log = slog.Default()
	}
	e.turn <- &writer{path: path, log: e.log, maxDead: options.DeadLetterMaxBytes}
	return e
}

// Lanes is 1: SQLite has one writer at a time.
func (e *Engine) Lanes() int { return 1 }

// Close ends the background work and closes the database. It waits a few seconds for a write
// that is still running, and leaves it behind if the disk does not answer.
func (e *Engine) Close() error {
	e.stop()
	e.background.Wait()
	select {
	case w := <-e.turn:
		return w.close()
	case <-time.After(closeWait):
		return fmt.Errorf("close %s: a write has not ended within %v", e.path, closeWait)
	}
}

// acquire takes the writer for one piece of work, which ends with run.
func (e *Engine) acquire(ctx context.Context) (*writer, error) {
	if ctx.Err() == nil {
		select {
		case w := <-e.turn:
			return w, nil
		case <-ctx.Done():
		}
	}
	return nil, &engine.Error{Transient: true,
		Err: fmt.Errorf("%s: an earlier write is still running: %w", e.path, context.Cause(ctx))}
}

// run does the work and gives the writer back. It leaves the work behind when ctx ends, because a
// disk that hangs cannot be interrupted; so work must not use its caller's memory.
func run[T any](ctx context.Context, e *Engine, w *writer, work func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := work()
		e.turn <- w
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
	}
	select {
	case o := <-done:
		return o.value, o.err
	case <-time.After(lastWord):
		var none T
		return none, &engine.Error{Transient: true, Ambiguous: true,
			Err: fmt.Errorf("%s: no answer from the disk: %w", e.path, context.Cause(ctx))}
	}
}

// inTurn acquires the writer and runs work with it.
func inTurn[T any](ctx context.Context, e *Engine, work func(*writer) (T, error)) (T, error) {
	w, err := e.acquire(ctx)
	if err != nil {
		var none T
		return none, err
	}
	return run(ctx, e, w, func() (T, error) { return work(w) })
}
