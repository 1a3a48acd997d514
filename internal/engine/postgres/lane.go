package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// lane is a connection that writes batches, one after the other.
type lane struct {
	e          *Engine
	number     int
	connection *pgconn.Config
	conn       *pgconn.PgConn // nil while there is none
	backend    string         // the server's process of the last connection, as a condition on pg_stat_activity
	transaction

	epochs     [engine.Kinds]uint64
	generation uint64 // changes when it is no longer certain that the server has all that was written
	unnamed    uint64 // batches without an ID
}

func newLane(e *Engine, number int, connection *pgconn.Config) *lane {
	l := &lane{e: e, number: number, connection: connection}
	connection.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { l.noteWarning(n) }
	return l
}

// Store writes the batch as one transaction. A server's refusal has written nothing; where the answer is lost the
// transaction may still become part of the database. The same batch finds out: the server knows each item again.
func (e *Engine) Store(ctx context.Context, lane int, b *engine.Batch) error {
	if b.Len() == 0 && b.Known == [engine.Kinds]bool{} {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, e.patience)
	defer cancel()
	l := e.lanes[lane]
	if err := l.connect(ctx); err != nil {
		return classify(err)
	}
	l.begin(b)
	if err := l.storePart(ctx, b, 0, b.Len()); err != nil {
		return l.failed(err)
	}
	if l.written == 0 && b.Len() > 0 {
		if err := l.prove(ctx); err != nil {
			return l.failed(err)
		}
	}
	e.full.Store(false)
	b.Epochs = l.epochs
	return nil
}

// failed classifies what ended a Store. The lane begins anew with another connection, unless that is plainly as good
// as before: another server may be the one that writes by now, and another program may have changed the tables.
func (l *lane) failed(err error) *engine.Error {
	state := sqlState(err)
	if state == stateDiskFull {
		l.e.full.Store(true)
	}
	failed := classifyWrite(err)
	failed.Ambiguous = failed.Ambiguous || l.written > 0
	if !isRace(state) {
		l.disconnect()
	}
	return failed
}

// connect makes the lane's connection if there is none. It first ends the process that the server had for the former
// one, if it is still there, so that nothing is written any more by what was given up.
func (l *lane) connect(ctx context.Context) error {
	if l.conn != nil && !l.conn.IsClosed() {
		return nil
	}
	conn, err := pgconn.ConnectConfig(ctx, l.connection)
	if err != nil {
		beginWithNext(l.connection)
		return err
	}
	l.conn = conn
	l.generation++
	if err = l.takeOver(ctx); err == nil {
		err = l.prepare(ctx)
	}
	if err != nil {
		l.disconnect()
	}
	return err
}

func (l *lane) takeOver(ctx context.Context) error {
	for l.backend != "" {
		row, err := ask(ctx, l.conn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "+l.backend)
		if err != nil {
			return err
		}
		if row == nil {
			l.backend = ""
		} else if !backoff.Pause(ctx, 10*time.Millisecond) {
			return fmt.Errorf("the server still writes what was given up: %w", ctx.Err())
		}
	}
	row, err := ask(ctx, l.conn, `SELECT pid, extract(epoch FROM backend_start) FROM pg_stat_activity
		WHERE pid = pg_backend_pid()`)
	if err == nil && row != nil {
		l.backend = fmt.Sprintf("pid = %s AND extract(epoch FROM backend_start) = %s", row[0], row[1])
	}
	return err
}

func (l *lane) prepare(ctx context.Context) error {
	for _, s := range prepared {
		if _, err := l.conn.Prepare(ctx, s.name, s.sql, nil); err != nil {
			return err
		}
	}
	return nil
}

func (l *lane) disconnect() {
	if l.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_ = l.conn.Close(ctx)
	l.conn = nil
}

// prove writes something where the batch was stored before: what was found may have been committed by a transaction
// that did not wait for a standby, because it was given up. A commit waits for all that was committed before it.
func (l *lane) prove(ctx context.Context) error {
	if _, err := l.conn.Exec(ctx, proof).ReadAll(); err != nil {
		return err
	}
	if err := l.warning(); err != nil || l.e.opt.Durability != Replica {
		return err
	}
	shown, err := ask(ctx, l.conn, showDurability) // behind the commit: see checkDurability
	if err != nil {
		return err
	}
	return l.e.opt.Durability.check(shown[0], shown[1])
}

const proof = `INSERT INTO ingestion_proofs VALUES (pg_backend_pid() % 16, 1)
	ON CONFLICT (slot) DO UPDATE SET proven = ingestion_proofs.proven + 1`

// maxRaces is how often a transaction is repeated at once that another one was in the way of.
const maxRaces = 5

// isRace reports whether the server has ended a transaction in favour of another one.
func isRace(state string) bool { return state == "40001" || state == "40P01" }

// storePart writes the items from one to before another. Where the server refuses what an item holds it takes the part
// apart until that item is alone.
func (l *lane) storePart(ctx context.Context, b *engine.Batch, from, to int) error {
	err := l.write(ctx, b, from, to)
	for race := 0; isRace(sqlState(err)) && race < maxRaces; race++ {
		err = l.write(ctx, b, from, to)
	}
	if err == nil || !isDataError(err) {
		return err
	}
	if to-from == 1 {
		b.Results[from] = engine.Result{Err: &engine.Error{Err: errors.Join(engine.ErrTooLarge, err)}}
		return nil
	}
	middle := (from + to) / 2
	if err := l.storePart(ctx, b, from, middle); err != nil {
		return err
	}
	return l.storePart(ctx, b, middle, to)
}
