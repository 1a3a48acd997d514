package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
)

// A row gets its seq before its transaction is committed, so a row may appear below others that are there already. Who
// writes to a table holds its lock in the mode ROW EXCLUSIVE from before the first seq to the end of the transaction,
// whatever program it is. So what readers do is what CREATE INDEX CONCURRENTLY does: they note the highest seq that was
// given, and then who holds such a lock; when all of these have ended, nothing more comes up to that seq. Transactions
// on other tables hold up nobody, and nothing of this depends on numbers that a restored database would give again.

const (
	// newestSeq is 0 where none has been given.
	newestSeq = `SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM %s`

	// writers are the transactions that write to a table, except for this one's.
	writers = `SELECT coalesce(array_agg(DISTINCT l.virtualtransaction), '{}') FROM pg_locks AS l
	WHERE l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.granted
	AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
	AND l.relation = $1::regclass AND l.pid IS DISTINCT FROM pg_backend_pid()`

	// holders are some of their processes.
	holders = `SELECT coalesce(left(string_agg(DISTINCT pid || ' ' || coalesce(a.application_name, ''), ', '), 200), '')
	FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
	WHERE l.relation = $1::regclass AND l.virtualtransaction = ANY ($2)`

	// awaited are those of them that still are.
	awaited = writers + ` AND l.virtualtransaction = ANY ($2)`
)

// The pause between two looks at who still writes.
const (
	firstLook = 2 * time.Millisecond
	lastLook  = 50 * time.Millisecond
)

// asker is a connection, of the pool or not.
type asker interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// numbering is a table that is read in the order of its seq.
type numbering struct{ table, sequence string }

var (
	recordNumbers  = numbering{"records", "records_seq"}
	messageNumbers = numbering{"messages", "messages_seq_seq"}
)

// horizon is how far a table can be read for certain. It remembers what it knows, and for whom it waits.
type horizon struct {
	numbering
	settled int64     // of every seq up to it is known whether there is a row
	newest  int64     // what it becomes when those that write have ended
	writing []string  // their transactions
	since   time.Time // when they were noted
}

// await asks until those have ended that write, or until the time is over.
func (h *horizon) await(ctx context.Context, c asker, until time.Time) error {
	wait := backoff.Backoff{First: firstLook, Max: lastLook}
	for {
		if err := h.ask(ctx, c); err != nil || !h.waits() {
			return err
		}
		left := time.Until(until)
		if left <= 0 {
			return nil
		}
		if !backoff.Pause(ctx, min(wait.Next(), left)) {
			return ctx.Err()
		}
	}
}

func (h *horizon) waits() bool { return len(h.writing) > 0 }

// ask asks once.
func (h *horizon) ask(ctx context.Context, c asker) (err error) {
	var writing []string
	if h.waits() {
		err = c.QueryRow(ctx, awaited, h.table, h.writing).Scan(&writing)
	} else {
		h.since = time.Now()
		err = c.QueryRow(ctx, fmt.Sprintf(newestSeq, h.sequence)).Scan(&h.newest)
		if err == nil {
			err = c.QueryRow(ctx, writers, h.table).Scan(&writing)
		}
	}
	if err != nil {
		return err
	}
	if h.writing = writing; !h.waits() {
		h.settled = h.newest
	}
	return nil
}

// who are the server's processes that are waited for, and the names of their programs.
func (h *horizon) who(ctx context.Context, c asker) (names string) {
	if err := c.QueryRow(ctx, holders, h.table, h.writing).Scan(&names); err != nil {
		return err.Error()
	}
	return names
}

// settled waits until it is known of every seq up to the newest one whether there is a row, and returns that one.
func (n numbering) settled(ctx context.Context, c asker) (newest int64, err error) {
	h := horizon{numbering: n}
	for err == nil && (h.since.IsZero() || h.waits()) {
		err = h.await(ctx, c, time.Now().Add(time.Minute))
	}
	return h.settled, err
}
