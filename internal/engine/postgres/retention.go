package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/health"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/retention"
)

// The rhythm of the background work.
const (
	firstCare   = 5 * time.Second
	careEvery   = time.Minute
	careLimit   = 30 * time.Second // for one round, but for its partitions
	makingLimit = time.Hour        // for one partition, to which much may have to be moved
	deleteChunk = 5000             // rows deleted in one transaction
	careWarned  = 10 * time.Minute // how often a failure that goes on is logged
	skipCounted = 10_000           // records counted that a group has not read of a partition
)

// clock is what the ages of rows are counted by, and the marks say which numbers had been given when it said what. See
// package retention.
const clock = `
CREATE TABLE IF NOT EXISTS ingestion_clock (in_use_ms bigint NOT NULL, boot text NOT NULL, uptime_ms bigint NOT NULL);
INSERT INTO ingestion_clock SELECT 0, '', 0 WHERE NOT EXISTS (SELECT FROM ingestion_clock);
CREATE TABLE IF NOT EXISTS ingestion_marks (
	in_use_ms bigint NOT NULL, records bigint NOT NULL, dead_letters bigint NOT NULL, messages bigint NOT NULL);`

const (
	advance = `UPDATE ingestion_clock SET boot = $1::text,
	uptime_ms = CASE boot WHEN $1 THEN greatest(uptime_ms, $2::bigint) ELSE $2 END,
	in_use_ms = in_use_ms + CASE boot WHEN $1 THEN greatest(0, least($2 - uptime_ms, $3::bigint)) ELSE 0 END
	RETURNING in_use_ms`

	mark = `INSERT INTO ingestion_marks SELECT $1::bigint, $2::bigint, (SELECT coalesce(max(seq), 0) FROM dead_letters),
	$3::bigint WHERE NOT EXISTS (SELECT FROM ingestion_marks WHERE in_use_ms > $1 - $4::bigint)`

	// expired is the newest mark that is old enough. Those before it say nothing more.
	expired = `SELECT in_use_ms, records, dead_letters, messages FROM ingestion_marks WHERE in_use_ms <= $1
	ORDER BY in_use_ms DESC LIMIT 1`
	forget = `DELETE FROM ingestion_marks WHERE in_use_ms < $1`

	// past are the partitions of a time that is over. One that is empty is of no use once it is older than the retention.
	past = `SELECT name FROM ingestion_bounds, (SELECT (extract(epoch FROM now()) * 1000)::bigint AS now) AS t
	WHERE high <= now ORDER BY low`
)

// mark is what was stored when the clock said so.
type markRow struct{ at, records, deadLetters, messages int64 }

// takeCare makes partitions and deletes what is old until ctx ends, as long as no other process does: whoever has the
// lock does it, and has it until its connection ends.
func (e *Engine) takeCare(ctx context.Context) {
	var c *pgx.Conn
	defer func() { hangUp(c) }()
	timer := time.NewTimer(firstCare)
	defer timer.Stop()
	failing := health.Health{Every: careWarned}
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		err := e.careRound(ctx, &c)
		if err == nil {
			failing.Worked()
		} else if _, due := failing.Failed(err); due && ctx.Err() == nil {
			e.log.Warn("partitions cannot be made or dropped, trying again", "error", err)
		}
		timer.Reset(careEvery)
	}
}

// hangUp closes a connection, also to a server that does not answer.
func hangUp(c *pgx.Conn) {
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_ = c.Close(ctx)
}

// careRound does one round, if this process has the lock or can have it.
func (e *Engine) careRound(ctx context.Context, held **pgx.Conn) (err error) {
	if *held == nil || (*held).IsClosed() {
		if *held, err = e.lockCare(ctx); err != nil || *held == nil {
			return err
		}
	}
	if err = e.addPartitions(ctx, *held); err == nil && e.opt.Retention != 0 {
		err = e.care(ctx, *held)
	}
	if err != nil && sqlState(err) == "" {
		hangUp(*held)
		*held = nil
	}
	return err
}

// lockCare returns the connection that has the lock, nil if another process's has it.
func (e *Engine) lockCare(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, careLimit)
	defer cancel()
	c, err := e.dial(ctx)
	if err != nil {
		return nil, err
	}
	var locked bool
	err = c.QueryRow(ctx, "SELECT pg_try_advisory_lock($1, $2)", lockClass, lockCaretake).Scan(&locked)
	if err == nil && locked {
		_, err = c.Exec(ctx, "SELECT set_config('lock_timeout', '1s', false)")
	}
	if err != nil || !locked {
		hangUp(c)
		return nil, err
	}
	return c, nil
}

// dial makes a connection that is none of the pool's, for what lasts as long as it.
func (e *Engine) dial(ctx context.Context) (*pgx.Conn, error) {
	return pgx.ConnectConfig(ctx, e.pool.Config().ConnConfig)
}

// addPartitions makes one after the other, each in a transaction of its own: what has been made stays.
func (e *Engine) addPartitions(ctx context.Context, c *pgx.Conn) error {
	add := func() (made int, err error) {
		ctx, cancel := context.WithTimeout(ctx, makingLimit)
		defer cancel()
		err = c.QueryRow(ctx, e.makePartitions(1)).Scan(&made)
		return made, err
	}
	for {
		if made, err := add(); err != nil {
			return fmt.Errorf("make partitions: %w", err)
		} else if made == 0 {
			return nil
		}
	}
}

// care deletes what is older than the retention.
func (e *Engine) care(ctx context.Context, c *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, careLimit)
	defer cancel()
	old, err := e.findExpired(ctx, c)
	if err != nil || old == nil {
		return err
	}
	if err := dropPartitions(ctx, c, old.records, e.opt.Retention); err != nil {
		return fmt.Errorf("drop partitions: %w", err)
	}
	for _, d := range []struct {
		statement string
		upTo      int64
	}{{deleteOther, old.records}, {deleteDeadLetters, old.deadLetters}, {deleteMessages, old.messages}} {
		if err := deleteOld(ctx, c, d.statement, d.upTo); err != nil {
			return fmt.Errorf("delete old rows: %w", err)
		}
	}
	_, err = c.Exec(ctx, forget, old.at)
	return err
}

// findExpired advances the clock, notes what is stored by now, and returns the mark up to which everything has been
// kept for the retention; nil if there is none yet.
func (e *Engine) findExpired(ctx context.Context, c *pgx.Conn) (*markRow, error) {
	records, err := recordNumbers.settled(ctx, c)
	if err != nil {
		return nil, err
	}
	messages, err := messageNumbers.settled(ctx, c)
	if err != nil {
		return nil, err
	}
	boot, uptime := e.uptime()
	var now int64
	err = c.QueryRow(ctx, advance, boot, uptime.Milliseconds(), retention.MaxStep.Milliseconds()).Scan(&now)
	if err != nil {
		return nil, err
	}
	if _, err := c.Exec(ctx, mark, now, records, messages, e.opt.Retention.Milliseconds()/100); err != nil {
		return nil, err
	}
	var m markRow
	err = c.QueryRow(ctx, expired, now-e.opt.Retention.Milliseconds()).
		Scan(&m.at, &m.records, &m.deadLetters, &m.messages)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &m, err
}

// dropPartitions drops those of which every record has been kept for the retention.
func dropPartitions(ctx context.Context, c *pgx.Conn, upTo int64, kept time.Duration) error {
	rows, err := c.Query(ctx, past)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := dropPartition(ctx, c, name, upTo, kept); err != nil {
			return err
		}
	}
	return nil
}

const (
	// droppable is whether a partition may go, by the index. Its name comes quoted from the server.
	droppable = `SELECT coalesce((SELECT max(seq) FROM %[1]s) <= $1,
	(SELECT high FROM ingestion_bounds WHERE name = $2) <= (extract(epoch FROM now()) * 1000)::bigint - $3)`

	// skip tells the consumers that have not read them of the records that go. From skipCounted on it is about how many
	// there are in the partition: nothing waits until they are counted.
	skip = `UPDATE consumers AS c SET expired = c.expired + 
		(SELECT CASE WHEN counted < $1 THEN counted ELSE greatest(counted, (SELECT reltuples::bigint FROM pg_class
			WHERE oid = '%[1]s'::regclass)) END
		FROM (SELECT count(*) AS counted FROM (SELECT FROM %[1]s AS p WHERE p.seq > c.seq LIMIT $1) AS unread) AS n)
	WHERE c.seq < (SELECT max(seq) FROM %[1]s)`
)

// dropPartition takes the table's lock for as long as that takes, and waits for it for no longer than lock_timeout:
// meanwhile nobody stores.
func dropPartition(ctx context.Context, c *pgx.Conn, name string, upTo int64, kept time.Duration) error {
	may := func() (may bool, err error) {
		err = c.QueryRow(ctx, fmt.Sprintf(droppable, name), upTo, name, kept.Milliseconds()).Scan(&may)
		return may, err
	}
	if old, err := may(); err != nil || !old {
		return err
	}
	return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf(skip, name), skipCounted); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "LOCK TABLE ONLY records IN ACCESS EXCLUSIVE MODE"); err != nil {
			return err
		}
		if old, err := may(); err != nil {
			return err
		} else if !old {
			return &engine.Error{Transient: true, Err: errors.New("a record has come while its partition was dropped")}
		}
		_, err := tx.Exec(ctx, "DROP TABLE "+name)
		return err
	})
}

// What is deleted row by row, in the order in which it was stored.
const (
	deleteOther = `WITH gone AS (DELETE FROM records_other WHERE seq IN (
		SELECT seq FROM records_other WHERE seq <= $1 ORDER BY seq LIMIT $2) RETURNING seq),
	told AS (UPDATE consumers AS c SET expired = c.expired + (SELECT count(*) FROM gone WHERE gone.seq > c.seq)
		WHERE c.seq < (SELECT max(seq) FROM gone))
SELECT count(*) FROM gone`
	deleteDeadLetters = `WITH gone AS (DELETE FROM dead_letters WHERE seq IN (
		SELECT seq FROM dead_letters WHERE seq <= $1 ORDER BY seq LIMIT $2) RETURNING seq)
SELECT count(*) FROM gone`
	deleteMessages = `WITH gone AS (DELETE FROM messages WHERE seq IN (
		SELECT seq FROM messages WHERE seq <= $1 ORDER BY seq LIMIT $2) RETURNING seq)
SELECT count(*) FROM gone`
)

func deleteOld(ctx context.Context, c *pgx.Conn, statement string, upTo int64) error {
	for {
		var deleted int
		err := c.QueryRow(ctx, statement, upTo, deleteChunk).Scan(&deleted)
		if err != nil || deleted < deleteChunk {
			return err
		}
	}
}
