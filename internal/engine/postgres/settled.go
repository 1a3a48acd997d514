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

// settled waits until it is known of every seq up to the newest one whether there is a row, and returns that one.
func (n numbering) settled(ctx context.Context, c asker) (newest int64, err error) {
	if err := c.QueryRow(ctx, fmt.Sprintf(newestSeq, n.sequence)).Scan(&newest); err != nil {
		return 0, err
	}
	var writing []string
	err = c.QueryRow(ctx, writers, n.table).Scan(&writing)
	wait := backoff.Backoff{First: firstLook, Max: lastLook}
	for err == nil && len(writing) > 0 {
		if !wait.Wait(ctx) {
			return 0, ctx.Err()
		}
		err = c.QueryRow(ctx, awaited, n.table, writing).Scan(&writing)
	}
	return newest, err
}
