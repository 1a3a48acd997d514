// Package postgres keeps records, dead letters and messages in three tables of a PostgreSQL database, each batch one
// transaction. A record's device, time and hash, of which its id is made, are unique in the table: so a record that
// comes again, in whatever batch or process or at whatever instance, is recognised by the database itself.
package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/retention"
)

// Options are the settings of an Engine.
type Options struct {
	// URL is where the database is, as libpq knows it. Of several hosts it is the one that writes.
	URL string
	// Durability says what a confirmed transaction has to mean.
	Durability Durability
	// Retention is how long everything is kept; 0 = for ever, Elsewhere = what another process says, which also makes the
	// partitions.
	Retention time.Duration
	// DeadLetterMaxBytes and MessageMaxBytes bound what all dead letters and all messages take. Above it the oldest are
	// removed. 0 = no bound.
	DeadLetterMaxBytes, MessageMaxBytes int64
	// Lanes is how many batches are written at once, each by a connection of its own; 4 if 0.
	Lanes int
	// Name is what the server calls this process; "tcp-ingestion" if empty.
	Name string
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
}

// Elsewhere is the retention of a process that leaves it to another one.
const Elsewhere time.Duration = -1

// Durability is what the server has to promise.
type Durability string

// The durabilities.
const (
	// Commit is a transaction that the server has flushed to its disk.
	Commit Durability = "commit"
	// Replica is one that a synchronous standby has too.
	Replica Durability = "replica"
)

const (
	defaultLanes = 4

	// answerPatience is how long Store waits for the server. It is shorter than what /readyz may take to show a failure:
	// what becomes of the transaction is found out by the next Store.
	answerPatience = 6 * time.Second

	// greetPatience is how long a new connection may take to be made ready.
	greetPatience = 3 * time.Second
)

// Engine is a store in PostgreSQL. It implements engine.Engine.
type Engine struct {
	opt      Options
	lanes    []*lane
	pool     *pgxpool.Pool // for all but Store
	secret   maphash.Seed  // of the lanes' choice
	process  string        // names this engine in the keys of its dead letters and messages
	log      *slog.Logger
	patience time.Duration
	uptime   func() (boot string, uptime time.Duration) // what the ages of rows are counted by

	full  atomic.Bool // the disk was full when something was last stored
	rooms [engine.Kinds]room

	stop    context.CancelFunc
	running sync.WaitGroup
}

var _ interface {
	engine.Engine
	engine.Recogniser
	engine.Inspector
	engine.Tailer
	engine.RecordReader
	engine.DeviceReader
	engine.RecordReplacer
	engine.DeadLetterStore
	engine.Consumable
} = (*Engine)(nil)

// New returns an engine that connects when it is used. It fails only on settings that can never work.
func New(opt Options) (*Engine, error) {
	if err := opt.complete(); err != nil {
		return nil, err
	}
	e := &Engine{
		opt: opt, secret: maphash.MakeSeed(), process: rand.Text()[:13], log: opt.Logger.With("engine", "postgres"),
		patience: answerPatience, uptime: retention.Uptime, stop: func() {},
	}
	connection, err := e.connection()
	if err != nil {
		return nil, err
	}
	if e.pool, err = e.newPool(); err != nil {
		return nil, err
	}
	for n := range opt.Lanes {
		e.lanes = append(e.lanes, newLane(e, n, connection.Copy()))
	}
	if opt.Retention != Elsewhere {
		var caring context.Context
		caring, e.stop = context.WithCancel(context.Background())
		e.running.Go(func() { e.takeCare(caring) })
	}
	return e, nil
}

func (o *Options) complete() error {
	var problems []error
	if o.Durability != Commit && o.Durability != Replica {
		problems = append(problems, fmt.Errorf("the durability %q is neither %s nor %s", o.Durability, Commit, Replica))
	}
	if o.Retention < 0 && o.Retention != Elsewhere {
		problems = append(problems, fmt.Errorf("retention %v is negative", o.Retention))
	}
	if o.Lanes == 0 {
		o.Lanes = defaultLanes
	}
	if o.Name == "" {
		o.Name = "tcp-ingestion"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return errors.Join(problems...)
}

// Lanes is how many connections write.
func (e *Engine) Lanes() int { return len(e.lanes) }

// Lane follows from a secret of this engine, so that nobody can choose devices that all belong to one lane.
func (e *Engine) Lane(deviceID string) int {
	return int(maphash.String(e.secret, deviceID) % uint64(len(e.lanes)))
}

// RecognisesRecords is true: a record is unique in the table by what its id is made of.
func (e *Engine) RecognisesRecords() bool { return true }

// Close ends the background work and closes the connections. A server that does not answer is left behind.
func (e *Engine) Close() error {
	e.stop()
	e.running.Wait()
	var closing []*pgconn.PgConn
	for _, l := range e.lanes {
		if l.conn != nil {
			closing = append(closing, l.conn)
		}
		l.disconnect()
	}
	e.pool.Close()
	patience := time.After(time.Second)
	for _, c := range closing {
		select {
		case <-c.CleanupDone():
		case <-patience:
			return nil
		}
	}
	return nil
}
